//! Making commits and reading what they say of themselves.

use std::path::Path;

use ostree::glib::{Variant, VariantDict};
use ostree::prelude::*;
use rustix::fs::CWD;

use crate::error::Doing;
use crate::repo::{Checkout, NEVER, Repo, not_utf8};
use crate::{DeployError, SigningKey};

/// The key under which OSTree and its tools keep a commit's version.
const VERSION_KEY: &str = "version";
/// The key under which a Basalt commit keeps the hash of what it was built from.
const BUILD_ID_KEY: &str = "basalt.build-id";

/// What a commit is to say of itself. Only these and the tree decide its checksum: commits have
/// no parent, so that the same inputs give the same commit whatever was built before.
pub struct CommitRequest<'a> {
    /// The ref that will name it.
    pub ref_name: &'a str,
    /// Seconds since 1970 that it carries.
    pub time: u64,
    /// Its version, when it is a release.
    pub version: Option<&'a str>,
    /// Hash of its inputs, when it is a release.
    pub build_id: Option<&'a str>,
    /// Who signs it.
    pub key: Option<&'a SigningKey>,
}

/// What a commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its checksum, 64 hex digits.
    pub commit: String,
    /// Its version, when it has one.
    pub version: Option<String>,
    /// Hash of its inputs, when it has one.
    pub build_id: Option<String>,
}

impl Repo {
    /// Commits the folder `tree` as it is: owners, modes, extended attributes. The ref appears
    /// only when the commit is whole and signed.
    ///
    /// # Errors
    /// The tree holds something OSTree has no form for (a device node, a socket), or cannot be
    /// read, or the repository cannot be written, or the key does not sign.
    pub fn commit(&self, tree: &Path, request: &CommitRequest) -> Result<String, DeployError> {
        self.commit_with(tree, None, request)
    }

    /// As [`commit`](Self::commit), without reading again the files that are as they were
    /// checked out.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn commit_checkout(
        &self,
        tree: &Checkout,
        request: &CommitRequest,
    ) -> Result<String, DeployError> {
        self.commit_with(&tree.path, Some(tree), request)
    }

    /// What the commit at `name` says of itself; `None` when there is no such ref.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn describe(&self, name: &str) -> Result<Option<CommitInfo>, DeployError> {
        let Some(commit) = self.resolve(name)? else { return Ok(None) };
        let (variant, _) =
            self.inner.load_commit(&commit).doing(|| format!("read the commit {commit}"))?;
        let metadata = VariantDict::new(Some(&variant.child_value(0)));
        let text = |key| metadata.lookup::<String>(key).ok().flatten();
        Ok(Some(CommitInfo { version: text(VERSION_KEY), build_id: text(BUILD_ID_KEY), commit }))
    }

    fn commit_with(
        &self,
        tree: &Path,
        known: Option<&Checkout>,
        request: &CommitRequest,
    ) -> Result<String, DeployError> {
        let doing = || format!("commit `{}`", tree.display());
        let transaction = self.inner.auto_transaction(NEVER).doing(doing)?;
        let root = self.write_tree(tree, known).doing(doing)?;
        let root = root.downcast_ref::<ostree::RepoFile>().ok_or_else(|| not_utf8(tree))?;
        let commit = self
            .inner
            .write_commit_with_time(
                None,
                None,
                None,
                Some(&metadata(request)),
                root,
                request.time,
                NEVER,
            )
            .doing(doing)?;
        transaction.commit(NEVER).doing(doing)?;
        if let Some(key) = request.key {
            self.sign(&commit, key)?;
        }
        self.set_ref(request.ref_name, &commit)?;
        Ok(commit.to_string())
    }

    fn write_tree(
        &self,
        tree: &Path,
        known: Option<&Checkout>,
    ) -> Result<ostree::gio::File, ostree::glib::Error> {
        let modifier = ostree::RepoCommitModifier::new(ostree::RepoCommitModifierFlags::NONE, None);
        if let Some(checkout) = known {
            modifier.set_devino_cache(&checkout.known);
        }
        let mtree = ostree::MutableTree::new();
        let cwd = rustix::fd::AsRawFd::as_raw_fd(&CWD);
        let path = tree.to_string_lossy();
        self.inner.write_dfd_to_mtree(cwd, &path, &mtree, Some(&modifier), NEVER)?;
        self.inner.write_mtree(&mtree, NEVER)
    }
}

fn metadata(request: &CommitRequest) -> Variant {
    let metadata = VariantDict::new(None);
    if let Some(version) = request.version {
        metadata.insert(VERSION_KEY, version);
    }
    if let Some(build_id) = request.build_id {
        metadata.insert(BUILD_ID_KEY, build_id);
    }
    metadata.end()
}
