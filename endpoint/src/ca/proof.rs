//! Whether a host that asks for a new certificate is the one whose old certificate it shows, even
//! when that has expired.

use std::time::Duration;

use basalt_api::enrol::RenewRequest;
use basalt_api::id::HostId;
use basalt_endpoint_core::Seconds;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Ca, SigningRequest, peer};

/// Why a proof is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadProof {
    /// There is no certificate in PEM.
    #[error("`certificate` is no certificate in PEM")]
    Certificate,
    /// It is not of this CA, or not a host's.
    #[error("`certificate` was not signed by this endpoint for a host")]
    Foreign,
    /// There is no request in PEM, or its signature is bad.
    #[error("`csr` is no request in PEM that is signed by its own key")]
    Request,
    /// The keys differ.
    #[error("`csr` is not signed by the key of `certificate`")]
    OtherKey,
}

impl Ca {
    /// Who proves by the body of a renewal that it has the key of a certificate of ours. When that
    /// was good does not matter; the signature of the request proves that the key is there.
    ///
    /// # Errors
    /// It is no proof.
    pub fn prove(
        &self,
        request: &RenewRequest,
        now: Seconds,
    ) -> Result<(HostId, SigningRequest), BadProof> {
        let der = CertificateDer::from_pem_slice(request.certificate.as_bytes())
            .map_err(|_| BadProof::Certificate)?;
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|_| BadProof::Certificate)?;
        let validity = certificate.validity();
        // Expired or not, it must have been good once.
        let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        let at = now.min(until).max(from);
        self.check_chain(&der, at)?;
        let host = peer::of(&certificate).ok_or(BadProof::Foreign)?.host;
        let csr = SigningRequest::parse(&request.csr).ok_or(BadProof::Request)?;
        if certificate.public_key().subject_public_key.data != csr.key() {
            return Err(BadProof::OtherKey);
        }
        Ok((host, csr))
    }

    fn check_chain(&self, der: &CertificateDer, at: Seconds) -> Result<(), BadProof> {
        let leaf = EndEntityCert::try_from(der).map_err(|_| BadProof::Certificate)?;
        let trusted = self.trusted();
        let anchors = trusted.iter().map(anchor_from_trusted_cert).collect::<Result<Vec<_>, _>>();
        let anchors = anchors.map_err(|_| BadProof::Foreign)?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(at).unwrap_or(0)));
        let algorithms = default_provider().signature_verification_algorithms.all;
        leaf.verify_for_usage(algorithms, &anchors, &[], at, KeyUsage::client_auth(), None, None)
            .map(|_| ())
            .map_err(|_| BadProof::Foreign)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;
    use uuid::Uuid;

    use super::*;
    use crate::ca::CA_LIFE;
    use crate::data::Data;

    const NOW: Seconds = 1_800_000_000;
    const HOST: HostId = HostId(Uuid::from_u128(7));

    fn ca() -> (TempDir, Ca) {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::open(&Data::at(folder.path()), CA_LIFE, NOW).unwrap();
        (folder, ca)
    }

    fn csr(key: &KeyPair) -> String {
        CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
    }

    fn check(signer: &Ca, verifier: &Ca, keys: [&KeyPair; 2], expected: Result<HostId, BadProof>) {
        let request = SigningRequest::parse(&csr(keys[0])).unwrap();
        let certificate = signer.sign_host(HOST, &request, 100, NOW).unwrap().pem;
        let renew = RenewRequest { csr: csr(keys[1]), certificate };
        let found = verifier.prove(&renew, NOW + 10_000).map(|(host, _)| host);
        assert_eq!(found, expected);
    }

    #[test]
    fn an_expired_certificate_and_its_key_are_a_proof_and_nothing_else_is() {
        let ((_one, ours), (_two, theirs)) = (ca(), ca());
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        check(&ours, &ours, [&key, &key], Ok(HOST));
        check(&ours, &ours, [&key, &other], Err(BadProof::OtherKey));
        check(&theirs, &ours, [&key, &key], Err(BadProof::Foreign));
    }

    #[test]
    fn a_servers_certificate_is_no_hosts() {
        let (_folder, ca) = ca();
        let chain = ca.sign_server(&["a.example".to_owned()], NOW).unwrap().chain;
        assert_eq!(PeerCertificateOf(&chain[0]).host(), None);
        assert_eq!(ca.check_chain(&chain[0], NOW), Err(BadProof::Foreign));
    }

    struct PeerCertificateOf<'a>(&'a [u8]);

    impl PeerCertificateOf<'_> {
        fn host(&self) -> Option<HostId> {
            super::super::PeerCertificate::read(self.0).map(|peer| peer.host)
        }
    }

    #[test]
    fn a_broken_request_is_told() {
        let (_folder, ca) = ca();
        let key = KeyPair::generate().unwrap();
        let request = SigningRequest::parse(&csr(&key)).unwrap();
        let certificate = ca.sign_host(HOST, &request, 100, NOW).unwrap().pem;
        let prove = |csr: &str, certificate: &str| {
            let renew = RenewRequest { csr: csr.to_owned(), certificate: certificate.to_owned() };
            ca.prove(&renew, NOW).map(|(host, _)| host)
        };
        assert_eq!(prove("x", &certificate), Err(BadProof::Request));
        assert_eq!(prove(&csr(&key), "x"), Err(BadProof::Certificate));
        assert_eq!(prove(&csr(&key), &csr(&key)), Err(BadProof::Certificate));
    }

    #[test]
    fn a_certificate_of_the_ca_before_is_a_proof_while_that_is_trusted() {
        let (_folder, ca) = ca();
        let key = KeyPair::generate().unwrap();
        let request = SigningRequest::parse(&csr(&key)).unwrap();
        let certificate = ca.sign_host(HOST, &request, 100, NOW).unwrap().pem;
        let late = NOW + CA_LIFE - 10;
        ca.keep(late).unwrap();
        let peer = |pem: &str| {
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
            super::super::PeerCertificate::read(&der).unwrap()
        };
        assert!(!ca.has_signed(&peer(&certificate)));
        let renew = RenewRequest { csr: csr(&key), certificate };
        assert_eq!(ca.prove(&renew, late).map(|(host, _)| host), Ok(HOST));
        let renewed = ca.sign_host(HOST, &request, 100, late).unwrap().pem;
        assert!(ca.has_signed(&peer(&renewed)));
        ca.keep(NOW + CA_LIFE).unwrap();
        let refused = ca.prove(&renew, NOW + CA_LIFE).map(|(host, _)| host);
        assert_eq!(refused, Err(BadProof::Foreign));
    }

    #[test]
    fn fuzz_certificate_and_request_of_a_host() {
        let (_folder, ca) = ca();
        let key = KeyPair::generate().unwrap();
        let request = SigningRequest::parse(&csr(&key)).unwrap();
        let pem = ca.sign_host(HOST, &request, 100, NOW).unwrap().pem;
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        basalt_fuzz::run(&[&der, pem.as_bytes(), csr(&key).as_bytes()], |bytes| {
            let _ = super::super::PeerCertificate::read(bytes);
            let text = String::from_utf8_lossy(bytes);
            let _ = SigningRequest::parse(&text);
            let _ = CertificateDer::from_pem_slice(text.as_bytes());
        });
    }
}
