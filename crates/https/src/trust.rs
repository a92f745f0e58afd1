//! Whom the client believes, and who it is itself.

use std::fmt;
use std::str::FromStr;
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
    /// One whose chain holds this CA, and is signed by it.
    Fingerprint(Fingerprint),
}

/// SHA-256 of a CA's certificate in DER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

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

impl FromStr for Fingerprint {
    type Err = BadMaterial;

    /// Hex digits, with colons between them or without.
    fn from_str(text: &str) -> Result<Self, BadMaterial> {
        let mut bytes = [0; 32];
        let digits = text.trim().replace(':', "");
        hex::decode_to_slice(digits, &mut bytes)
            .map_err(|_| BadMaterial("a fingerprint is a SHA-256: 64 hex digits".to_owned()))?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        Trust::Fingerprint(ca) => {
            let verifier = Pinned { ca: *ca, provider };
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

/// Believes a chain that holds the CA with a fingerprint, and is right by that CA.
#[derive(Debug)]
struct Pinned {
    ca: Fingerprint,
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
            <[u8; 32]>::from(Sha256::digest(certificate)) == self.ca.0
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
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    #[test]
    fn what_is_no_material_is_told_without_showing_it() {
        let told = config(&Trust::Ca("no PEM".to_owned()), None).unwrap_err().to_string();
        assert_eq!(told, "the certificate makes no sense");
        let told = "beef".parse::<Fingerprint>().unwrap_err().to_string();
        assert_eq!(told, "a fingerprint is a SHA-256: 64 hex digits");
    }

    #[test]
    fn a_fingerprint_is_read_with_and_without_colons() {
        let text = "ab".repeat(32);
        let colons = ["AB"; 32].join(":");
        assert_eq!(text.parse::<Fingerprint>(), format!(" {colons}\n").parse());
        assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), text);
    }

    struct Authority {
        issuer: Issuer<'static, KeyPair>,
        params: CertificateParams,
        key: KeyPair,
        certificate: CertificateDer<'static>,
    }

    fn authority(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
        let pem = KeyPair::generate().unwrap().serialize_pem();
        let key = || KeyPair::from_pem(&pem).unwrap();
        let certificate = params.self_signed(&key()).unwrap().der().clone();
        let issuer = Issuer::new(params.clone(), key());
        Authority { issuer, params, key: key(), certificate }
    }

    impl Authority {
        fn server(&self) -> CertificateDer<'static> {
            let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
            let key = KeyPair::generate().unwrap();
            params.signed_by(&key, &self.issuer).unwrap().der().clone()
        }

        /// Another's key, signed by this one.
        fn vouches_for(&self, other: &Self) -> CertificateDer<'static> {
            other.params.signed_by(&other.key, &self.issuer).unwrap().der().clone()
        }

        fn believes(&self, server: &CertificateDer<'_>, sent: &[&CertificateDer<'static>]) -> bool {
            self.believes_by_name(server, sent, "a.example")
        }

        fn believes_by_name(
            &self,
            server: &CertificateDer<'_>,
            sent: &[&CertificateDer<'static>],
            name: &str,
        ) -> bool {
            let ca = Fingerprint(Sha256::digest(&self.certificate).into());
            let pinned = Pinned { ca, provider: Arc::new(ring::default_provider()) };
            let sent: Vec<_> = sent.iter().map(|der| (*der).clone()).collect();
            let name = ServerName::try_from(name.to_owned()).unwrap();
            pinned.verify_server_cert(server, &sent, &name, &[], UnixTime::now()).is_ok()
        }
    }

    #[test]
    fn only_the_ca_that_is_meant_and_a_certificate_of_its_own_are_trusted() {
        let (ours, theirs) = (authority("ours"), authority("theirs"));
        let server = ours.server();
        assert!(ours.believes(&server, &[&ours.certificate]));
        assert!(!ours.believes_by_name(&server, &[&ours.certificate], "b.example"), "another name");
        assert!(!theirs.believes(&server, &[&ours.certificate]), "another CA");
        // Somebody in between shows the right CA and a certificate of his own.
        assert!(!ours.believes(&theirs.server(), &[&ours.certificate]), "a stolen CA certificate");
        assert!(!ours.believes(&theirs.server(), &[&ours.certificate, &theirs.certificate]));
    }

    #[test]
    fn who_knows_the_ca_before_finds_a_way_to_the_one_after_it() {
        let (old, new) = (authority("old"), authority("new"));
        let (server, bridge) = (new.server(), old.vouches_for(&new));
        assert!(old.believes(&server, &[&new.certificate, &bridge, &old.certificate]));
        assert!(new.believes(&server, &[&new.certificate, &bridge, &old.certificate]));
        assert!(!old.believes(&server, &[&new.certificate, &old.certificate]), "no bridge");
    }

    #[test]
    fn fuzz_certificate_and_key_in_pem() {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap().pem();
        let both = format!("{certificate}{}", key.serialize_pem());
        let identity = Identity { certificate: both.clone(), key: both.clone() };
        config(&Trust::Ca(certificate), Some(&identity)).unwrap();
        basalt_fuzz::run_on_text!(&[&both, "no PEM"], |text| {
            let identity = Identity { certificate: text.to_owned(), key: text.to_owned() };
            config(&Trust::Ca(text.to_owned()), Some(&identity))
        });
    }

    #[test]
    fn fuzz_fingerprint() {
        let (plain, colons) = ("ab".repeat(32), ["AB"; 32].join(":"));
        basalt_fuzz::run_on_text!(&[&plain, &colons], |text| {
            text.parse::<Fingerprint>().map(|read| assert_eq!(read.to_string().parse(), Ok(read)))
        });
    }

    /// The CA and the certificates of a chain in DER, each after its length as two bytes.
    fn chain(bytes: &[u8]) -> Vec<CertificateDer<'_>> {
        let (mut rest, mut chain) = (bytes, Vec::new());
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
            let (certificate, after) = after.split_at(length);
            chain.push(CertificateDer::from(certificate));
            rest = after;
        }
        chain
    }

    #[test]
    fn fuzz_chain_of_a_server() {
        let (old, new) = (authority("old"), authority("new"));
        let (server, bridge) = (new.server(), old.vouches_for(&new));
        let sent = [&server, &new.certificate, &bridge, &old.certificate];
        let prefixed = |der: &&CertificateDer<'static>| {
            let length = u16::try_from(der.len()).unwrap().to_be_bytes();
            [length.as_slice(), der.as_ref()].concat()
        };
        let seed: Vec<u8> = sent.iter().flat_map(prefixed).collect();
        assert_eq!(chain(&seed).iter().collect::<Vec<_>>(), sent);
        basalt_fuzz::run(&[&seed], |bytes| {
            let chain = chain(bytes);
            let [server, .., ca] = chain.as_slice() else { return };
            let believed = |ca: &[u8]| {
                let ca = Fingerprint(Sha256::digest(ca).into());
                let pinned = Pinned { ca, provider: Arc::new(ring::default_provider()) };
                let name = ServerName::try_from("a.example").unwrap();
                pinned.verify_server_cert(server, &chain[1..], &name, &[], UnixTime::now()).is_ok()
            };
            believed(ca);
            assert!(!believed(b"another"));
        });
    }
}
