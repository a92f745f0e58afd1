//! A bare OSTree repository: trees go in as commits and come out as hard-linked checkouts.

use std::path::{Path, PathBuf};

use ostree::gio::Cancellable;
use ostree::glib::VariantDict;
use rustix::fs::CWD;

use crate::DeployError;
use crate::error::Doing;

/// Nothing here is called off half-way.
pub(crate) const NEVER: Option<&Cancellable> = None;
/// As libostree counts: a commit alone, none of its parents.
pub(crate) const NO_PARENTS: i32 = 0;

/// A repository of mode `bare`: owners, modes and extended attributes are those of the files.
#[derive(Debug, Clone)]
pub struct Repo {
    pub(crate) inner: ostree::Repo,
    path: PathBuf,
}

/// A tree that was checked out, and what libostree remembers of it: files left as they were need
/// not be read again at the next commit.
pub struct Checkout {
    /// Where it lies.
    pub path: PathBuf,
    pub(crate) known: ostree::RepoDevInoCache,
}

impl Repo {
    /// Opens the repository at `path`, creating it when there is none. May be cut anywhere and
    /// called again.
    ///
    /// # Errors
    /// `path` cannot be written, or holds something that is no repository.
    pub fn open_or_create(path: &Path) -> Result<Self, DeployError> {
        std::fs::create_dir_all(path).doing(|| format!("create `{}`", path.display()))?;
        let inner = ostree::Repo::new_for_path(path);
        inner
            .create(ostree::RepoMode::Bare, NEVER)
            .doing(|| format!("create the repository `{}`", path.display()))?;
        Self::opened(inner, path)
    }

    /// Opens an existing repository.
    ///
    /// # Errors
    /// There is none at `path`.
    pub fn open(path: &Path) -> Result<Self, DeployError> {
        Self::opened(ostree::Repo::new_for_path(path), path)
    }

    pub(crate) fn opened(inner: ostree::Repo, path: &Path) -> Result<Self, DeployError> {
        inner.open(NEVER).doing(|| format!("open the repository `{}`", path.display()))?;
        Ok(Self { inner, path: path.to_owned() })
    }

    /// Where the repository lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The commit that `name` points at, if there is such a ref and its commit is whole.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn resolve(&self, name: &str) -> Result<Option<String>, DeployError> {
        let commit =
            self.inner.resolve_rev(name, true).doing(|| format!("look up the ref `{name}`"))?;
        let Some(commit) = commit else { return Ok(None) };
        Ok(self.has(&commit)?.then(|| commit.to_string()))
    }

    /// Whether it is of mode `bare`, its files as a host has them.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        self.inner.mode() == ostree::RepoMode::Bare
    }

    /// Whether it has this commit.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn has(&self, commit: &str) -> Result<bool, DeployError> {
        self.inner
            .has_object(ostree::ObjectType::Commit, commit, NEVER)
            .doing(|| format!("look up the commit `{commit}`"))
    }

    /// Points `name` at `commit`, atomically.
    ///
    /// # Errors
    /// The repository cannot be written.
    pub fn set_ref(&self, name: &str, commit: &str) -> Result<(), DeployError> {
        self.inner
            .set_ref_immediate(None, name, Some(commit), NEVER)
            .doing(|| format!("point the ref `{name}` at {commit}"))
    }

    /// Checks `commit` out into the new folder `to`, every file a hard link into the repository:
    /// whoever changes a file there must replace it, never write into it.
    ///
    /// # Errors
    /// `to` exists, lies on another file system, or the commit is not whole.
    pub fn checkout(&self, commit: &str, to: &Path) -> Result<Checkout, DeployError> {
        let known = ostree::RepoDevInoCache::new();
        let options = ostree::RepoCheckoutAtOptions {
            no_copy_fallback: true,
            devino_to_csum_cache: Some(known.clone()),
            ..Default::default()
        };
        self.inner
            .checkout_at(Some(&options), rustix::fd::AsRawFd::as_raw_fd(&CWD), to, commit, NEVER)
            .doing(|| format!("check {commit} out into `{}`", to.display()))?;
        Ok(Checkout { path: to.to_owned(), known })
    }

    /// Points `name`, as known of the remote `remote`, at `commit`, atomically.
    ///
    /// # Errors
    /// The repository cannot be written.
    pub fn set_remote_ref(
        &self,
        remote: &str,
        name: &str,
        commit: &str,
    ) -> Result<(), DeployError> {
        self.inner
            .set_ref_immediate(Some(remote), name, Some(commit), NEVER)
            .doing(|| format!("point the ref `{remote}:{name}` at {commit}"))
    }

    /// Brings `commit` over from `source`; hard links where both lie on one file system.
    ///
    /// # Errors
    /// Either repository cannot be used, or there is no space.
    pub fn pull_local(&self, source: &Self, commit: &str) -> Result<(), DeployError> {
        let from =
            source.path.canonicalize().doing(|| format!("find `{}`", source.path.display()))?;
        let url = format!("file://{}", from.to_str().ok_or_else(|| not_utf8(&from))?);
        let options = VariantDict::new(None);
        options.insert("refs", vec![commit.to_owned()]);
        self.inner
            .pull_with_options(&url, &options.end(), None, NEVER)
            .doing(|| format!("pull {commit} from `{}`", source.path.display()))
    }

    /// Leaves out the fsyncs: for repositories that are rebuilt whenever they are not whole.
    pub fn without_fsync(&self) {
        self.inner.set_disable_fsync(true);
    }
}

pub(crate) fn not_utf8(path: &Path) -> DeployError {
    DeployError::Path(path.display().to_string())
}
