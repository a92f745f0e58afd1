//! Trust in one CA, known by the SHA-256 of its certificate. The server sends that certificate
//! along; once its fingerprint fits, the server's own is checked against it like any other.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// SHA-256 of a CA's certificate in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl FromStr for Fingerprint {
    type Err = String;

    /// Hex digits, with colons between them or without.
    fn from_str(text: &str) -> Result<Self, String> {
        let digits: String = text.trim().chars().filter(|c| *c != ':').collect();
        let bytes = hex::decode(&digits).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| "a fingerprint is a SHA-256: 64 hex digits".to_owned())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

#[derive(Debug)]
pub(super) struct Pinned {
    ca: Fingerprint,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    pub(super) fn new(ca: Fingerprint, provider: Arc<CryptoProvider>) -> Self {
        Self { ca, provider }
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_meant = |der: &&CertificateDer| Sha256::digest(der)[..] == self.ca.0;
        let Some(ca) = intermediates.iter().find(is_meant) else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        let checked =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let verifier = checked.map_err(|error| Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_rustls::rustls::crypto::ring::default_provider;

    use super::*;
    use crate::ca::Ca;
    use crate::data::Data;

    const NOW: i64 = 1_800_000_000;

    fn ca() -> (tempfile::TempDir, Ca) {
        let folder = tempfile::tempdir().unwrap();
        let ca = Ca::open(&Data::at(folder.path()), NOW).unwrap();
        (folder, ca)
    }

    #[test]
    fn only_the_ca_that_is_meant_and_a_certificate_of_its_own_are_trusted() {
        let ((_one, ours), (_two, theirs)) = (ca(), ca());
        let verify = |pin: &Ca, signer: &Ca, sent: &Ca, name: &str| {
            let pinned =
                Pinned::new(pin.fingerprint().parse().unwrap(), Arc::new(default_provider()));
            let (chain, _) = signer.sign_server(&["a.example".to_owned()], NOW).unwrap();
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()));
            let sent = [sent.certificate().clone()];
            pinned.verify_server_cert(&chain[0], &sent, &name, &[], now).is_ok()
        };
        assert!(verify(&ours, &ours, &ours, "a.example"));
        assert!(!verify(&ours, &ours, &ours, "b.example"), "another name");
        assert!(!verify(&theirs, &ours, &ours, "a.example"), "another CA");
        // Somebody in between shows the right CA and a certificate of his own.
        assert!(!verify(&ours, &theirs, &ours, "a.example"), "a stolen CA certificate");
    }

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let text = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        assert_eq!(text.parse::<Fingerprint>(), colons.parse());
        assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), text);
        assert!("ab".parse::<Fingerprint>().is_err());
    }
}
