//! GPG signatures of commits. Debian's libostree knows no other kind.

use std::path::{Path, PathBuf};

use ostree::gio;

use crate::DeployError;
use crate::error::Doing;
use crate::repo::{NEVER, Repo, not_utf8};

/// A secret key in a GnuPG home folder.
#[derive(Debug, Clone)]
pub struct SigningKey {
    /// The GnuPG home that holds it; mode 0700.
    pub home: PathBuf,
    /// Its fingerprint, 40 hex digits.
    pub fingerprint: String,
}

impl Repo {
    /// Adds `key`'s signature to `commit`. The commit's checksum stays as it is.
    ///
    /// # Errors
    /// GnuPG cannot sign with that key.
    pub fn sign(&self, commit: &str, key: &SigningKey) -> Result<(), DeployError> {
        let home = key.home.to_str().ok_or_else(|| not_utf8(&key.home))?;
        match self.inner.sign_commit(commit, &key.fingerprint, Some(home), NEVER) {
            // The commit was there already, with this very signature.
            Err(error) if error.matches(gio::IOErrorEnum::Exists) => Ok(()),
            result => result.doing(|| format!("sign {commit} with the key {}", key.fingerprint)),
        }
    }

    /// Checks that `commit` carries a good signature by a key in the keyring file `trusted`.
    ///
    /// # Errors
    /// It carries none, or none that is good.
    pub fn verify(&self, commit: &str, trusted: &Path) -> Result<(), DeployError> {
        let keyring = gio::File::for_path(trusted);
        let doing = || format!("verify the signature of {commit} by `{}`", trusted.display());
        self.inner
            .verify_commit_ext(commit, gio::File::NONE, Some(&keyring), NEVER)
            .doing(doing)?
            .require_valid_signature()
            .doing(doing)
    }
}
