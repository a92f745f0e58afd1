//! Objects of a repository that are no longer what their name says, and how they are got rid of.
//!
//! A file of a bare repository is an ordinary file with many hard links: a bad disk, a `chmod -R`
//! over a forgotten checkout, a program that writes in place, and every later commit carries it.

use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use ostree::gio::Cancellable;
use ostree::{ObjectName, ObjectType};

use crate::error::Doing;
use crate::{DeployError, Repo};

const NEVER: Option<&Cancellable> = None;
/// As libostree counts: this commit alone, none of its parents.
const NO_PARENTS: i32 = 0;

/// What is wrong with a commit.
#[derive(Debug)]
pub struct Damage {
    objects: Vec<ObjectName>,
    first: String,
}

impl std::fmt::Display for Damage {
    /// How much, and libostree's words about the first of it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.objects.len() {
            0 | 1 => f.write_str(&self.first),
            many => write!(f, "{many} objects: {}", self.first),
        }
    }
}

impl Repo {
    /// Reads all of `commit` and hashes it; `None` when everything is there and as it was written.
    ///
    /// # Errors
    /// There is no such commit.
    pub fn damage(&self, commit: &str) -> Result<Option<Damage>, DeployError> {
        self.inner.load_commit(commit).doing(|| format!("read the commit {commit}"))?;
        // What is damaged so badly that the rest cannot be listed is damage too.
        let reachable = match self.inner.traverse_commit(commit, NO_PARENTS, NEVER) {
            Ok(reachable) => reachable,
            Err(error) => {
                let objects = vec![ObjectName::new(commit, ObjectType::Commit)];
                return Ok(Some(Damage { objects, first: error.to_string() }));
            }
        };
        let reachable: Vec<ObjectName> = reachable.into_iter().collect();
        self.damage_among(&reachable)
    }

    /// Hashes objects on every processor: one alone hashes some 250 MB a second.
    fn damage_among(&self, objects: &[ObjectName]) -> Result<Option<Damage>, DeployError> {
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        let (path, part) = (self.path(), objects.len().div_ceil(workers).max(1));
        let found: Result<Vec<_>, DeployError> = thread::scope(|scope| {
            let start = |part| scope.spawn(move || damaged(path, part));
            let workers: Vec<_> = objects.chunks(part).map(start).collect();
            let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
            joined.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        let mut damage: Option<Damage> = None;
        for (object, said) in found?.into_iter().flatten() {
            let damage = damage.get_or_insert_with(|| Damage { objects: Vec::new(), first: said });
            damage.objects.push(object);
        }
        Ok(damage)
    }

    /// Removes what is damaged, and the ref `name` that led to it, so that the next one who commits
    /// or pulls the same writes it anew. May be cut anywhere and called again.
    ///
    /// # Errors
    /// The repository cannot be written.
    pub fn discard(&self, name: &str, damage: &Damage) -> Result<(), DeployError> {
        let doing = || format!("remove what is damaged from `{}`", self.path().display());
        self.inner.set_ref_immediate(None, name, None, NEVER).doing(doing)?;
        for object in &damage.objects {
            let (kind, checksum) = (object.object_type(), object.checksum());
            if self.inner.has_object(kind, checksum, NEVER).doing(doing)? {
                self.inner.delete_object(kind, checksum, NEVER).doing(doing)?;
            }
        }
        Ok(())
    }
}

/// Those of `objects` that are damaged, with libostree's words. A repository is no thread's but the
/// one's that opened it.
fn damaged(repo: &Path, objects: &[ObjectName]) -> Result<Vec<(ObjectName, String)>, DeployError> {
    let repo = Repo::open(repo)?;
    let check = |object: &ObjectName| {
        let (kind, checksum) = (object.object_type(), object.checksum());
        let error = repo.inner.fsck_object(kind, checksum, NEVER).err()?;
        Some((ObjectName::new(checksum, kind), error.to_string()))
    };
    Ok(objects.iter().filter_map(check).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    use crate::{CommitRequest, Repo};

    const NAME: &str = "tree";

    struct Ground {
        dir: tempfile::TempDir,
        repo: Repo,
    }

    impl Ground {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join("tree/folder")).unwrap();
            fs::write(dir.path().join("tree/one"), "first").unwrap();
            fs::write(dir.path().join("tree/folder/two"), "second").unwrap();
            let repo = Repo::open_or_create(&dir.path().join("repo")).unwrap();
            Self { dir, repo }
        }

        fn commit(&self) -> String {
            let request =
                CommitRequest { ref_name: NAME, time: 1, version: None, build_id: None, key: None };
            self.repo.commit(&self.dir.path().join("tree"), &request).unwrap()
        }

        /// Objects whose file ends so.
        fn objects(&self, ending: &str) -> Vec<PathBuf> {
            let files = walkdir::WalkDir::new(self.dir.path().join("repo/objects"));
            let paths = files.into_iter().map(|entry| entry.unwrap().into_path());
            paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
        }

        /// Commits, damages every object that ends so, and commits again after the discarding.
        fn is_healed_from(&self, ending: &str, damage: impl Fn(&Path)) -> String {
            let commit = self.commit();
            assert!(self.repo.damage(&commit).unwrap().is_none());
            let objects = self.objects(ending);
            assert!(!objects.is_empty(), "{ending}");
            objects.iter().for_each(|object| damage(object));
            let found = self.repo.damage(&commit).unwrap().expect("it is damaged");
            self.repo.discard(NAME, &found).unwrap();
            self.repo.discard(NAME, &found).unwrap();
            assert_eq!(self.repo.resolve(NAME).unwrap(), None);
            assert_eq!(self.commit(), commit);
            assert!(self.repo.damage(&commit).unwrap().is_none(), "{ending}");
            found.to_string()
        }
    }

    fn make_executable(path: &Path) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn a_changed_mode_or_content_is_damage_that_the_next_commit_mends() {
        let said = Ground::new().is_healed_from(".file", make_executable);
        assert!(said.starts_with("2 objects: ") && said.contains("Corrupted"), "{said}");
        Ground::new().is_healed_from(".file", |path| fs::write(path, "other").unwrap());
    }

    #[test]
    fn what_is_missing_is_damage_too() {
        let remove = |path: &Path| fs::remove_file(path).unwrap();
        Ground::new().is_healed_from(".file", remove);
        Ground::new().is_healed_from(".dirtree", remove);
        Ground::new().is_healed_from(".dirmeta", remove);
    }

    #[test]
    fn a_commit_that_is_not_there_is_an_error_and_no_damage() {
        let ground = Ground::new();
        ground.commit();
        ground.repo.damage(&"0".repeat(64)).unwrap_err();
    }
}
