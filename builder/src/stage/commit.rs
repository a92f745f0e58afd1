//! Commits a composed tree, signs it, and brings it into the output's repository.

use std::path::Path;

use anyhow::Result;
use basalt_deploy::{CommitRequest, Repo, SigningKey};

use super::compose::{self, Inputs};
use super::release::Release;
use crate::cache::Cache;
use crate::progress::Step;

/// The ref that keeps an image's commit in the cache.
#[must_use]
pub fn cache_ref(build_id: &str, version: &str) -> String {
    format!("image/{build_id}/{version}")
}

/// When a commit says it was made, and who signs it.
pub struct Stamp<'a> {
    /// Seconds since 1970.
    pub time: u64,
    /// The key.
    pub key: &'a SigningKey,
}

/// Composes and commits, unless the cache has the commit; then copies it to `output` under the
/// definition's ref. Returns the commit's checksum.
///
/// # Errors
/// Composing fails, the key does not sign, or a repository cannot be written.
pub fn make(
    inputs: &Inputs,
    release: &Release,
    stamp: &Stamp,
    cache: &Cache,
    step: &Step,
) -> Result<String> {
    let repo = Repo::open(&cache.repo())?;
    let name = cache_ref(&release.build_id, &release.version);
    if let Some(commit) = repo.resolve(&name)? {
        // The key may be another one than at the last time.
        repo.sign(&commit, stamp.key)?;
        return Ok(commit);
    }
    let tree = compose::make(inputs, release, cache, step)?;
    step.note("committing");
    let request = CommitRequest {
        ref_name: &name,
        time: stamp.time,
        version: Some(&release.version),
        build_id: Some(&release.build_id),
        key: Some(stamp.key),
    };
    let commit = repo.commit_checkout(&tree, &request)?;
    compose::clear(cache)?;
    Ok(commit)
}

/// Brings a commit from the cache into the repository at `output` and points `ref_name` at it.
///
/// # Errors
/// Either repository cannot be used, or there is no space.
pub fn export(commit: &str, ref_name: &str, cache: &Cache, output: &Path) -> Result<()> {
    let source = Repo::open(&cache.repo())?;
    let target = Repo::open_or_create(output)?;
    target.pull_local(&source, commit)?;
    target.set_ref(ref_name, commit)?;
    Ok(())
}
