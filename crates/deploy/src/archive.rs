//! Repositories of mode `archive`: what a web server offers.

use std::path::Path;

use crate::error::Doing;
use crate::repo::{NEVER, not_utf8};
use crate::{DeployError, Repo, SigningKey};

impl Repo {
    /// Opens the archive at `path`, creating it when there is none. May be cut anywhere and called
    /// again.
    ///
    /// # Errors
    /// `path` cannot be written, or holds something else.
    pub fn open_or_create_archive(path: &Path) -> Result<Self, DeployError> {
        std::fs::create_dir_all(path).doing(|| format!("create `{}`", path.display()))?;
        let inner = ostree::Repo::new_for_path(path);
        let doing = || format!("create the archive `{}`", path.display());
        inner.create(ostree::RepoMode::Archive, NEVER).doing(doing)?;
        Self::opened(inner, path)
    }

    /// Writes the summary of every ref and delta anew, signed by `key`.
    ///
    /// # Errors
    /// The repository cannot be written, or GnuPG cannot sign with that key.
    pub fn summarize(&self, key: &SigningKey) -> Result<(), DeployError> {
        let doing = || format!("write the summary of `{}`", self.path().display());
        let home = key.home.to_str().ok_or_else(|| not_utf8(&key.home))?;
        self.inner.regenerate_summary(None, NEVER).doing(doing)?;
        self.inner.add_gpg_signature_summary(&[&key.fingerprint], Some(home), NEVER).doing(doing)
    }
}
