//! The endpoint's own CA. It signs the certificates of its hosts and of its server.
//!
//! A CA has a successor long before it ends. From then on the new one signs everything, the old one
//! has signed the new one's key, and both are trusted until the old one ends: who knows only the
//! old one, as a host that was away or a join string, finds a way to it in what the server shows.

mod authority;
mod files;
mod peer;
mod proof;

use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context, Result, anyhow};
use basalt_api::id::HostId;
use basalt_endpoint_core::Seconds;
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, KeyPair,
    PublicKeyData, SanType,
};
use sha2::{Digest, Sha256};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::data::Data;
use authority::Authority;

pub(crate) use files::read_pair;
pub use peer::PeerCertificate;
pub use proof::BadProof;

/// How long a CA is good where nobody says otherwise.
pub const CA_LIFE: Seconds = 20 * 366 * 24 * 3600;
/// How long a certificate of the server is good at most; the server renews it by itself.
const SERVER_LIFE: Seconds = 90 * 24 * 3600;

/// Signs certificates.
#[derive(Debug)]
pub struct Ca {
    data: Data,
    life: Seconds,
    current: RwLock<Arc<Authority>>,
}

/// A host's new certificate.
#[derive(Debug, Clone)]
pub struct HostCertificate {
    /// In PEM.
    pub pem: String,
    /// When it expires.
    pub until: Seconds,
}

/// A new certificate of the server.
#[derive(Debug)]
pub struct ServerIdentity {
    /// The certificate, then those of the CAs.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// When it expires.
    pub until: Seconds,
}

/// What became of the CAs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// There is a new one, with this fingerprint; the one before is trusted until then.
    Rolled {
        /// The new one's.
        fingerprint: String,
        /// When the old one ends.
        old_until: Seconds,
    },
    /// One has ended, and is trusted no more.
    Ended,
}

impl Ca {
    /// Reads the CA, or makes it on the first start, to be good for `life`.
    ///
    /// # Errors
    /// The files cannot be read or written, or make no sense.
    pub fn open(data: &Data, life: Seconds, now: Seconds) -> Result<Self> {
        let authority = files::open(data, life, now)?;
        let current = RwLock::new(Arc::new(authority));
        Ok(Self { data: data.clone(), life, current })
    }

    /// Makes a new CA once a third of the time of the current one is left, and lets go of those
    /// that have ended. What is returned is on the disk.
    ///
    /// # Errors
    /// The files cannot be written; everything stays as it was.
    pub fn keep(&self, now: Seconds) -> Result<Option<Turn>> {
        let current = self.current();
        if current.is_due(now) {
            let next = files::roll(&self.data, &current, self.life, now)?;
            let turn = Turn::Rolled { fingerprint: next.fingerprint(), old_until: current.until() };
            self.take(next);
            return Ok(Some(turn));
        }
        if !current.has_ended_ones(now) {
            return Ok(None);
        }
        self.take(files::without_ended(&self.data, &current, now)?);
        Ok(Some(Turn::Ended))
    }

    fn current(&self) -> Arc<Authority> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn take(&self, authority: Authority) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(authority);
    }

    /// SHA-256 of the certificate in hex, by which hosts and operators know the endpoint.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.current().fingerprint()
    }

    /// The certificates of all that are trusted, the current one first.
    #[must_use]
    pub fn trusted(&self) -> Vec<CertificateDer<'static>> {
        self.current().trusted().cloned().collect()
    }

    /// Those in PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        files::pem(self.current().trusted())
    }

    /// Whether the current CA has signed this certificate, and none before it.
    #[must_use]
    pub fn has_signed(&self, certificate: &PeerCertificate) -> bool {
        self.current().subject_hash() == certificate.issuer
    }

    /// Signs a host's certificate for the key of its request. Whatever else the request says is
    /// left out: who the host is, the endpoint decides. It does not outlive the CA.
    ///
    /// # Errors
    /// It cannot be signed.
    pub fn sign_host(
        &self,
        host: HostId,
        request: &SigningRequest,
        life: Seconds,
        now: Seconds,
    ) -> Result<HostCertificate> {
        let current = self.current();
        let until = (now + life).min(current.until());
        let usage = ExtendedKeyUsagePurpose::ClientAuth;
        let mut params = authority::leaf(&host.to_string(), now, until, usage)?;
        params.subject_alt_names = vec![SanType::URI(peer::uri(host).try_into()?)];
        let certificate = current.sign(&params, &request.0.public_key)?;
        Ok(HostCertificate { pem: certificate.pem(), until })
    }

    /// A new key and certificate for the server. Those of the CAs come along: a host may know
    /// them by a fingerprint only, and an old one by its signature leads to the new one.
    ///
    /// # Errors
    /// It cannot be signed, or a name is none.
    pub fn sign_server(&self, names: &[String], now: Seconds) -> Result<ServerIdentity> {
        let current = self.current();
        let key = KeyPair::generate()?;
        let until = (now + SERVER_LIFE).min(current.until());
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let mut params = authority::leaf("basalt-endpoint", now, until, usage)?;
        params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
        let certificate = current.sign(&params, &key).context("cannot sign")?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|error| anyhow!(error))?;
        let mut chain = vec![certificate.der().clone()];
        chain.extend(current.certificates().iter().cloned());
        Ok(ServerIdentity { chain, key, until })
    }
}

/// A request for a certificate (PKCS #10) whose signature is by the key that it is for.
#[derive(Debug, Clone)]
pub struct SigningRequest(CertificateSigningRequestParams);

impl SigningRequest {
    /// Reads a request and checks its signature; none where it is bad.
    #[must_use]
    pub fn parse(pem: &str) -> Option<Self> {
        CertificateSigningRequestParams::from_pem(pem).ok().map(Self)
    }

    /// The key, as its bits stand in certificates.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.0.public_key.der_bytes()
    }

    /// SHA-256 of the key.
    #[must_use]
    pub fn key_hash(&self) -> [u8; 32] {
        Sha256::digest(self.key()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use x509_parser::prelude::{FromDer, X509Certificate};

    use super::*;

    const NOW: Seconds = 1_800_000_000;
    /// Bytes of a serial number.
    const SERIAL: usize = 16;

    fn serial(der: &CertificateDer<'_>) -> Vec<u8> {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        certificate.raw_serial().to_vec()
    }

    /// A host, and what it asks to have signed.
    fn a_host() -> (HostId, SigningRequest) {
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        let request = SigningRequest::parse(&request.pem().unwrap()).unwrap();
        (HostId(uuid::Uuid::from_u128(1)), request)
    }

    /// A host's clock may be behind by a day.
    #[test]
    fn every_certificate_is_good_since_a_day_before_it_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::open(&Data::at(folder.path()), CA_LIFE, NOW).unwrap();
        let (host, request) = a_host();
        let of_host = ca.sign_host(host, &request, 900, NOW).unwrap();
        let of_host = CertificateDer::from_pem_slice(of_host.pem.as_bytes()).unwrap();
        let mut chain = ca.sign_server(&["a".to_owned()], NOW).unwrap().chain;
        assert_eq!(chain.len(), 2, "the server's and the CA's");
        chain.push(of_host);
        for der in chain {
            let (_, certificate) = X509Certificate::from_der(&der).unwrap();
            let from = certificate.validity().not_before.timestamp();
            assert_eq!(from, NOW - 24 * 3600, "{}", certificate.subject());
        }
    }

    #[test]
    fn no_two_certificates_have_the_same_serial_number_also_of_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::open(&Data::at(folder.path()), CA_LIFE, NOW).unwrap();
        let (host, request) = a_host();
        let of_host = |_| {
            let certificate = ca.sign_host(host, &request, 900, NOW).unwrap();
            CertificateDer::from_pem_slice(certificate.pem.as_bytes()).unwrap()
        };
        let mut all: Vec<CertificateDer> = (0..50).map(of_host).collect();
        all.extend(ca.sign_server(&["a".to_owned()], NOW).unwrap().chain);
        ca.keep(NOW + CA_LIFE - 10).unwrap();
        all.extend(ca.sign_server(&["a".to_owned()], NOW).unwrap().chain);
        // The CA is in both chains.
        let certificates: BTreeSet<&[u8]> = all.iter().map(AsRef::as_ref).collect();
        let serials: BTreeSet<Vec<u8>> = all.iter().map(serial).collect();
        assert_eq!((certificates.len(), serials.len()), (55, 55));
        // Positive, and of one length: what is in DER needs no byte before it.
        assert!(serials.iter().all(|serial| serial.len() == SERIAL && serial[0] & 0x80 == 0));
    }
}
