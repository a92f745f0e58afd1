//! What is private at rest: XChaCha20-Poly1305 under a key file of the host's own, so that a reboot
//! without the endpoint finds it again.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_api::id::WorkloadUid;
use basalt_api::workload::Seal;
use basalt_durable::PRIVATE;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

/// Bytes of the nonce before what is encrypted.
const NONCE: usize = 24;

/// Locks and opens, by the key in a folder.
#[derive(Debug, Clone)]
pub struct Vault {
    folder: PathBuf,
}

impl Vault {
    /// The one whose key is in `folder`; it is made when it is first needed.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Locks a value. What it is the value of is locked with it: it cannot be put elsewhere.
    ///
    /// # Errors
    /// The key cannot be read or made.
    pub fn lock(&self, of: &str, value: &[u8]) -> Result<Vec<u8>> {
        let cipher = cipher(&self.key()?)?;
        let mut bytes = random::<NONCE>()?.to_vec();
        let nonce = XNonce::try_from(&bytes[..])?;
        let payload = Payload { msg: value, aad: of.as_bytes() };
        bytes.extend(cipher.encrypt(&nonce, payload).ok().context("cannot encrypt")?);
        Ok(bytes)
    }

    /// Opens a value. Makes no key.
    ///
    /// # Errors
    /// It was locked by another key, or for something else, or is damaged.
    pub fn unlock(&self, of: &str, locked: &[u8]) -> Result<Vec<u8>> {
        let key = self.there()?.context("its key is gone")?;
        let (nonce, sealed) = locked.split_at_checked(NONCE).context("it is cut off")?;
        let payload = Payload { msg: sealed, aad: of.as_bytes() };
        let value = cipher(&key)?.decrypt(&XNonce::try_from(nonce)?, payload);
        value.ok().context("it was locked by another key, or is damaged")
    }

    fn path(&self) -> PathBuf {
        self.folder.join("key")
    }

    fn there(&self) -> Result<Option<Vec<u8>>> {
        let path = self.path();
        basalt_durable::read(&path).with_context(|| format!("cannot read `{}`", path.display()))
    }

    /// The key, made when it is first needed.
    fn key(&self) -> Result<Vec<u8>> {
        if let Some(key) = self.there()? {
            return Ok(key);
        }
        make(&self.path()).with_context(|| format!("cannot make `{}`", self.path().display()))
    }
}

impl Seal for Vault {
    type Error = io::Error;

    fn seal(&self, of: WorkloadUid, clear: &[u8]) -> io::Result<Vec<u8>> {
        self.lock(&label(of), clear).map_err(|error| io::Error::other(format!("{error:#}")))
    }

    fn open(&self, of: WorkloadUid, sealed: &[u8]) -> Option<Vec<u8>> {
        self.unlock(&label(of), sealed).ok()
    }
}

/// No name of a secret with its version has a slash.
fn label(of: WorkloadUid) -> String {
    format!("spec/{of}")
}

fn make(path: &Path) -> Result<Vec<u8>> {
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let key = random::<32>()?;
    basalt_durable::write(path, &key, PRIVATE)?;
    Ok(key.to_vec())
}

fn cipher(key: &[u8]) -> Result<XChaCha20Poly1305> {
    XChaCha20Poly1305::new_from_slice(key).ok().context("the key of secrets has a wrong length")
}

/// The kernel's random bytes.
fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    // So few come whole (getrandom(2): up to 256 bytes, once the pool is filled).
    let length = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if length == N { Ok(bytes) } else { Err(io::Error::other("the kernel gave no random bytes")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_opened_by_its_key_and_for_its_name_only() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::at(folder.path().join("secrets"));
        assert!(vault.unlock("one", &[0; 60]).is_err());
        assert!(!vault.path().exists(), "to open needs no new key");
        let locked = vault.lock("one", b"canary").unwrap();
        assert!(!locked.windows(6).any(|bytes| bytes == b"canary"));
        assert_eq!(vault.unlock("one", &locked).unwrap(), b"canary");
        assert!(vault.unlock("other", &locked).is_err());
        assert!(vault.unlock("one", &locked[..20]).is_err());
        fs::write(vault.path(), [7; 32]).unwrap();
        assert!(vault.unlock("one", &locked).is_err());
    }
}
