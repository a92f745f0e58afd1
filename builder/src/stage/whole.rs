//! What the cache's repository has may be damaged; it goes into a signed commit, so it is read
//! whole before it is taken.

use anyhow::Result;
use basalt_deploy::Repo;

use crate::progress::Step;

/// The commit that the ref `name` leads to, every file of it as it was committed. A damaged one is
/// said and removed, and is `None` as one that was never made.
///
/// # Errors
/// The repository cannot be read or written.
pub(super) fn take(repo: &Repo, name: &str, step: &Step) -> Result<Option<String>> {
    let Some(commit) = repo.resolve(name)? else { return Ok(None) };
    step.note("reading what the cache has");
    let Some(damage) = repo.damage(&commit)? else { return Ok(Some(commit)) };
    step.say(&format!("the cache is damaged, what is damaged is made again: {damage}"));
    repo.discard(name, &damage)?;
    Ok(None)
}
