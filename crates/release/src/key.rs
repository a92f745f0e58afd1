//! Ed25519 keys, in the PEM files that `openssl genpkey -algorithm ed25519` and `openssl pkey
//! -pubout` write (RFC 8410).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use sha2::{Digest, Sha256};

/// What comes before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410, 4).
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0];

/// A key that signs releases.
pub struct SecretKey(Ed25519KeyPair);

/// A key whose releases are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Why a text is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no PEM file of that kind.
    #[error("no PEM block `{0}` that can be read")]
    Pem(&'static str),
    /// It is a key of another kind.
    #[error("the key is not an Ed25519 key")]
    Kind,
    /// The system gave no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

impl SecretKey {
    /// Makes a key, and returns it with its PEM file, which must stay secret.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn create() -> Result<(Self, String), KeyError> {
        let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let der = der.map_err(|_| KeyError::Random)?;
        let key = Ed25519KeyPair::from_pkcs8(der.as_ref()).map_err(|_| KeyError::Kind)?;
        Ok((Self(key), pem("PRIVATE KEY", der.as_ref())))
    }

    /// Reads a PEM file.
    ///
    /// # Errors
    /// It holds no Ed25519 key.
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text);
        let der = der.map_err(|_| KeyError::Pem("PRIVATE KEY"))?;
        // OpenSSL leaves the public half out, so there is nothing to compare it with.
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        key.map(Self).map_err(|_| KeyError::Kind)
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    /// Signs these bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).as_ref().to_vec()
    }
}

impl PublicKey {
    /// Reads a PEM file.
    ///
    /// # Errors
    /// It holds no Ed25519 key.
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(text);
        let der = der.map_err(|_| KeyError::Pem("PUBLIC KEY"))?;
        let key = der.strip_prefix(&SPKI_PREFIX).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or(KeyError::Kind)
    }

    /// Its PEM file.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem("PUBLIC KEY", &self.der())
    }

    /// Its name: the SHA-256 of its SubjectPublicKeyInfo, in hex.
    #[must_use]
    pub fn id(&self) -> String {
        hex::encode(Sha256::digest(self.der()))
    }

    /// Whether it made this signature of these bytes.
    pub(crate) fn verifies(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(bytes, signature).is_ok()
    }

    fn der(&self) -> Vec<u8> {
        SPKI_PREFIX.iter().chain(&self.0).copied().collect()
    }
}

/// RFC 7468: lines of 64 characters.
fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut file = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        file.extend(line.iter().map(|byte| char::from(*byte)));
        file.push('\n');
    }
    file + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `openssl genpkey -algorithm ed25519`, OpenSSL 3.0, and used nowhere.
    const OPENSSL: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIOfQRtqlSuviDVeJQuN9BHyvuRY6bDuoW/bxPWkhZlJC\n\
        -----END PRIVATE KEY-----\n";
    /// Its other half, by `openssl pkey -pubout`.
    const OPENSSL_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAcj9iDmB6G0DfPnWNigeUMAVz889IrFyoHnyW2qPituk=\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn keys_of_openssl_are_read_and_written() {
        let key = SecretKey::parse(OPENSSL.as_bytes()).unwrap();
        assert_eq!(key.public().to_pem(), OPENSSL_PUBLIC);
        assert_eq!(PublicKey::parse(OPENSSL_PUBLIC.as_bytes()), Ok(key.public()));
    }

    #[test]
    fn a_made_key_reads_back() {
        let (key, text) = SecretKey::create().unwrap();
        assert_eq!(SecretKey::parse(text.as_bytes()).unwrap().public(), key.public());
        assert_eq!(PublicKey::parse(key.public().to_pem().as_bytes()), Ok(key.public()));
        assert_eq!(key.public().id().len(), 64);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let secret = |text: &str| SecretKey::parse(text.as_bytes()).err();
        assert_eq!(secret(""), Some(KeyError::Pem("PRIVATE KEY")));
        assert_eq!(secret(OPENSSL_PUBLIC), Some(KeyError::Pem("PRIVATE KEY")));
        assert_eq!(secret(&pem("PRIVATE KEY", b"0")), Some(KeyError::Kind));
        let public = |text: &str| PublicKey::parse(text.as_bytes()).err();
        assert_eq!(public(OPENSSL), Some(KeyError::Pem("PUBLIC KEY")));
        assert_eq!(public(&pem("PUBLIC KEY", &SPKI_PREFIX)), Some(KeyError::Kind));
    }
}
