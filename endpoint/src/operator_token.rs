//! The operator's token. The file is the truth: who can read the endpoint's folder is its operator.

use std::sync::RwLock;

use anyhow::{Context, Result};
use basalt_durable::PRIVATE;
use sha2::{Digest, Sha256};

use crate::chance;
use crate::data::{self, Data};

/// Knows the token by its hash.
#[derive(Debug)]
pub struct OperatorToken {
    path: std::path::PathBuf,
    hash: RwLock<[u8; 32]>,
}

impl OperatorToken {
    /// Reads the token, or makes it on the first start.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub fn open(data: &Data) -> Result<Self> {
        let path = data.operator_token();
        let token = data::read_or_make(&path, || Ok(chance::token()?.into_bytes()))?;
        Ok(Self { hash: RwLock::new(hash(token.trim_ascii())), path })
    }

    /// Whether `token` is the operator's. Comparing hashes tells nothing by the time it takes.
    #[must_use]
    pub fn is(&self, token: &[u8]) -> bool {
        let known = self.hash.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        hash(token) == *known
    }

    /// Makes a new token; the old one is worth nothing from now on. Blocks.
    ///
    /// # Errors
    /// The file cannot be written; the old token stays.
    pub fn rotate(&self) -> Result<String> {
        let token = chance::token()?;
        let mut known = self.hash.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        basalt_durable::write(&self.path, token.as_bytes(), PRIVATE)
            .with_context(|| format!("cannot write `{}`", self.path.display()))?;
        *known = hash(token.as_bytes());
        Ok(token)
    }
}

fn hash(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_rotated_token_replaces_the_old_one_and_stays_over_a_start() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path());
        let operator = OperatorToken::open(&data).unwrap();
        let old = fs::read(data.operator_token()).unwrap();
        assert!(operator.is(&old) && !operator.is(b""));
        let new = operator.rotate().unwrap();
        assert!(operator.is(new.as_bytes()) && !operator.is(&old));
        assert!(OperatorToken::open(&data).unwrap().is(new.as_bytes()));
        let mode = fs::metadata(data.operator_token()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
