//! Repositories of mode `archive`: what a web server offers.

use std::path::Path;

use crate::error::Doing;
use crate::repo::NEVER;
use crate::{DeployError, Repo};

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
}
