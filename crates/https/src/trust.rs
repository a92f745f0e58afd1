//! Whom the client believes, and who it is itself.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Whom the client believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// A server whose certificate one of these CAs has signed, in PEM.
    Ca(String),
    /// One whose chain holds the CA with this SHA-256 of its DER, in hex, and is signed by it.
    Fingerprint(String),
}

/// Who the client is: its certificate and its key, in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
}

/// Why a certificate, a key or a fingerprint cannot be used. Does not show a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadMaterial(String);

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// What TLS goes by.
pub(crate) fn config(
    trust: &Trust,
    identity: Option<&Identity>,
) -> Result<Arc<ClientConfig>, BadMaterial> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| BadMaterial(error.to_string()))?;
    let builder = match trust {
        Trust::Ca(pem) => builder.with_root_certificates(roots(pem)?),
        Trust::Fingerprint(hex) => {
            let verifier = Pinned { sha256: fingerprint(hex)?, provider };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = certificates(&identity.certificate)?;
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
                .map_err(|_| BadMaterial("the key makes no sense".to_owned()))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| BadMaterial(format!("certificate and key: {error}")))?
        }
    };
    Ok(Arc::new(config))
}

fn roots(pem: &str) -> Result<RootCertStore, BadMaterial> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| BadMaterial(format!("the CA: {error}")))?;
    }
    Ok(roots)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, BadMaterial> {
    let bad = || BadMaterial("the certificate makes no sense".to_owned());
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    all.ok().filter(|all| !all.is_empty()).ok_or_else(bad)
}

fn fingerprint(text: &str) -> Result<[u8; 32], BadMaterial> {
    let mut bytes = [0; 32];
    let text = text.replace(':', "");
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| BadMaterial("a fingerprint is 64 hex digits".to_owned()))?;
    Ok(bytes)
}

/// Believes a chain that holds the CA with a fingerprint, and is right by that CA.
#[derive(Debug)]
struct Pinned {
    sha256: [u8; 32],
    provider: Arc<CryptoProvider>,
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
        let is_it = |certificate: &&CertificateDer<'_>| {
            <[u8; 32]>::from(Sha256::digest(certificate)) == self.sha256
        };
        let ca = intermediates.iter().find(is_it);
        let ca = ca.ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let provider = Arc::clone(&self.provider);
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|error| Error::General(error.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
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
    use super::*;

    #[test]
    fn what_is_no_material_is_told_without_showing_it() {
        let told = |trust: Trust| config(&trust, None).unwrap_err().to_string();
        assert_eq!(told(Trust::Ca("no PEM".to_owned())), "the certificate makes no sense");
        let short = Trust::Fingerprint("beef".to_owned());
        assert_eq!(told(short), "a fingerprint is 64 hex digits");
        let colons = ["ab"; 32].join(":");
        assert!(config(&Trust::Fingerprint(colons), None).is_ok());
    }
}
