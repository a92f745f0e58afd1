//! Secrets at rest: XChaCha20-Poly1305 under a key file of the endpoint's folder.

use anyhow::{Context, Result, anyhow};
use basalt_api::id::WorkloadUid;
use basalt_api::workload::Seal;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};

use crate::chance;
use crate::data::{self, Data};

/// Bytes of the nonce that precedes each value; random ones of this length never repeat.
const NONCE: usize = 24;

/// Locks and opens values.
pub struct Vault {
    cipher: XChaCha20Poly1305,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// Reads the key, or makes it on the first start.
    ///
    /// # Errors
    /// The file cannot be read or written, or holds no key.
    pub fn open(data: &Data) -> Result<Self> {
        let path = data.secrets_key();
        let key = data::read_or_make(&path, || Ok(chance::bytes::<32>()?.to_vec()))?;
        let key: [u8; 32] =
            key.try_into().map_err(|_| anyhow!("`{}` holds no key of 32 bytes", path.display()))?;
        Ok(Self { cipher: XChaCha20Poly1305::new(&Key::from(key)) })
    }

    /// Locks a value. What it is the value of is locked with it: it cannot be put elsewhere.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn lock(&self, of: &str, value: &[u8]) -> Result<Vec<u8>> {
        let nonce = chance::bytes::<NONCE>()?;
        let payload = Payload { msg: value, aad: of.as_bytes() };
        let locked = self.cipher.encrypt(&XNonce::from(nonce), payload);
        let locked = locked.map_err(|_| anyhow!("cannot encrypt"))?;
        Ok([&nonce[..], &locked].concat())
    }

    /// Opens a value.
    ///
    /// # Errors
    /// It was locked by another key, or for something else, or is damaged.
    pub fn unlock(&self, of: &str, locked: &[u8]) -> Result<Vec<u8>> {
        let (nonce, locked) = locked.split_first_chunk::<NONCE>().context("it is cut off")?;
        let payload = Payload { msg: locked, aad: of.as_bytes() };
        let value = self.cipher.decrypt(&XNonce::from(*nonce), payload);
        value.map_err(|_| anyhow!("it was locked by another key, or is damaged"))
    }
}

impl Seal for Vault {
    type Error = anyhow::Error;

    fn seal(&self, of: WorkloadUid, clear: &[u8]) -> Result<Vec<u8>> {
        self.lock(&label(of), clear)
    }

    fn open(&self, of: WorkloadUid, sealed: &[u8]) -> Option<Vec<u8>> {
        self.unlock(&label(of), sealed).ok()
    }
}

/// No version of a secret is called so: that ends in a number.
fn label(of: WorkloadUid) -> String {
    format!("spec/{of}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_opened_by_its_key_and_for_its_name_only() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let vault = Vault::open(&Data::at(one.path())).unwrap();
        let locked = vault.lock("db/1", b"canary").unwrap();
        assert!(!locked.windows(6).any(|bytes| bytes == b"canary"));
        assert_ne!(vault.lock("db/1", b"canary").unwrap(), locked);
        assert_eq!(
            Vault::open(&Data::at(one.path())).unwrap().unlock("db/1", &locked).unwrap(),
            b"canary"
        );
        assert!(vault.unlock("db/2", &locked).is_err());
        assert!(vault.unlock("db/1", &locked[..30]).is_err());
        assert!(vault.unlock("db/1", b"short").is_err());
        assert!(Vault::open(&Data::at(other.path())).unwrap().unlock("db/1", &locked).is_err());
    }
}
