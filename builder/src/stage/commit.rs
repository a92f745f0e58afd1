//! Commits a composed tree, signs it, and brings it into the output's repository.

use std::path::Path;

use anyhow::Result;
use basalt_deploy::{CommitRequest, Repo, SigningKey};

use super::compose::{self, Inputs};
use super::release::Release;
use super::whole;
use crate::cache::{Cache, CachePaths};
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
    if let Some(commit) = whole::take(&repo, &name, step)? {
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

/// Where a commit goes from the cache.
pub struct Export<'a> {
    /// The repository.
    pub output: &'a Path,
    /// The ref that leads to it there.
    pub ref_name: &'a str,
    /// A file with the public half of the key that signed it.
    pub keyring: &'a Path,
}

/// Brings a commit from the cache into the output's repository and points the ref at it, once all
/// of it is there and its signature is good.
///
/// # Errors
/// Either repository cannot be used, there is no space, or the signature did not come along.
pub fn export(commit: &str, cache: &CachePaths, to: &Export, step: &Step) -> Result<()> {
    let Export { output, ref_name, keyring } = *to;
    let source = Repo::open(&cache.repo())?;
    let target = Repo::open_or_create(output)?;
    target.pull_local(&source, commit)?;
    // What an earlier build published may have suffered where it lies.
    if let Some(damage) = target.damage(commit)? {
        step.say(&format!("`{}` is damaged and mended: {damage}", output.display()));
        target.discard(ref_name, &damage)?;
        target.pull_local(&source, commit)?;
    }
    target.verify(commit, keyring)?;
    target.set_ref(ref_name, commit)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::key::{self, ReleaseKey};
    use crate::progress::Progress;

    fn key(folder: &Path, name: &str) -> ReleaseKey {
        key::load(&key::create(name, folder).unwrap().0).unwrap()
    }

    #[test]
    fn what_is_published_carries_a_signature_that_holds_by_its_key_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (ours, later, foreign) =
            (key(dir.path(), "ours"), key(dir.path(), "later"), key(dir.path(), "foreign"));
        let (cache, output) = (CachePaths::new(dir.path().join("cache")), dir.path().join("out"));
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(tree.join("file"), "content").unwrap();
        let repo = Repo::open_or_create(&cache.repo()).unwrap();
        let request = |key| CommitRequest {
            ref_name: "image",
            time: 1,
            version: Some("1"),
            build_id: Some("b"),
            key,
        };
        let commit = repo.commit(&tree, &request(None)).unwrap();
        let step = Progress::Silent.step("commit");
        let export = |key: &ReleaseKey| {
            let to = Export { output: &output, ref_name: "base", keyring: &key.keyring };
            super::export(&commit, &cache, &to, &step)
        };
        let head = || Repo::open(&output).unwrap().resolve("base").unwrap();

        let unsigned = format!("{:#}", export(&ours).unwrap_err());
        assert!(unsigned.contains("verify the signature of "), "{unsigned}");
        assert_eq!(head(), None);
        repo.sign(&commit, &ours.signing).unwrap();
        export(&foreign).unwrap_err();
        assert_eq!(head(), None);
        export(&ours).unwrap();
        assert_eq!(head(), Some(commit.clone()));
        // A key that signs later what was published before.
        repo.sign(&commit, &later.signing).unwrap();
        export(&later).unwrap();
        export(&ours).unwrap();
        export(&foreign).unwrap_err();
    }

    /// The output may lie anywhere, and anything may happen to it there.
    #[test]
    fn what_is_damaged_where_it_was_brought_to_is_brought_again() {
        let dir = tempfile::tempdir().unwrap();
        let key = key(dir.path(), "ours");
        let cache = CachePaths::new(dir.path().join("cache"));
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("folder")).unwrap();
        fs::write(tree.join("folder/file"), "content").unwrap();
        let request = CommitRequest {
            ref_name: "image",
            time: 1,
            version: Some("1"),
            build_id: Some("b"),
            key: Some(&key.signing),
        };
        let repo = Repo::open_or_create(&cache.repo()).unwrap();
        let commit = repo.commit(&tree, &request).unwrap();
        let step = Progress::Silent.step("commit");
        for ending in ["file", "dirtree", "dirmeta", "commit"] {
            let output = dir.path().join(ending);
            let to = Export { output: &output, ref_name: "base", keyring: &key.keyring };
            export(&commit, &cache, &to, &step).unwrap();
            for entry in walkdir::WalkDir::new(output.join("objects")) {
                let path = entry.unwrap().into_path();
                if path.extension().is_some_and(|found| found == ending) {
                    // Not in place: the cache has the same file.
                    fs::remove_file(&path).unwrap();
                    fs::write(&path, "other").unwrap();
                }
            }
            let target = Repo::open(&output).unwrap();
            assert!(target.damage(&commit).unwrap().is_some(), "{ending}");
            export(&commit, &cache, &to, &step).unwrap();
            assert!(target.damage(&commit).unwrap().is_none(), "{ending}");
        }
    }
}
