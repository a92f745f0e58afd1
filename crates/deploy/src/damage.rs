//! Objects of a repository that are no longer what their name says, and how they are got rid of.
//!
//! A file of a bare repository is an ordinary file with many hard links: a bad disk, a `chmod -R`
//! over a forgotten checkout, a program that writes in place, and every later commit carries it.

use std::collections::HashSet;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use ostree::{ObjectType, RepoListObjectsFlags};

use crate::error::Doing;
use crate::repo::NEVER;
use crate::{DeployError, Repo};

/// What is wrong with a commit.
#[derive(Debug)]
pub struct Damage {
    commit: Object,
    objects: Vec<Object>,
    first: String,
}

/// A file of a repository, and what it is by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Object {
    kind: ObjectType,
    checksum: String,
}

/// A damaged object, and libostree's words about it.
type Finding = (Object, String);

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
    /// Where a folder's own object is damaged, nobody knows what was in it, and libostree would
    /// take for good whatever is there when it commits the same again: then the whole repository is
    /// read.
    ///
    /// # Errors
    /// There is no such commit.
    pub fn damage(&self, commit: &str) -> Result<Option<Damage>, DeployError> {
        if !self.has(commit)? {
            return Err(DeployError::NoCommit(commit.to_owned()));
        }
        let own = Object { kind: ObjectType::Commit, checksum: commit.to_owned() };
        let (files, mut found) = self.listed(&own)?;
        let others = if found.is_empty() { files } else { self.everything()? };
        found.extend(self.damaged_among(&others)?);
        let Some((_, first)) = found.first() else { return Ok(None) };
        let first = first.clone();
        let objects: HashSet<Object> = found.into_iter().map(|(object, _)| object).collect();
        Ok(Some(Damage { commit: own, objects: objects.into_iter().collect(), first }))
    }

    /// The files of a commit, and what is damaged of all that lists them. Each is hashed before it
    /// is followed: libostree's own walk ends in a stack overflow where a folder leads to itself.
    fn listed(&self, commit: &Object) -> Result<(Vec<Object>, Vec<Finding>), DeployError> {
        let mut seen = HashSet::from([commit.clone()]);
        let (mut next, mut files, mut found) = (vec![commit.clone()], Vec::new(), Vec::new());
        while let Some(object) = next.pop() {
            if let Some(said) = self.says_of(&object) {
                found.push((object, said));
                continue;
            }
            for child in self.children(&object)? {
                if !seen.insert(child.clone()) {
                    continue;
                }
                match child.kind {
                    ObjectType::File => files.push(child),
                    _ => next.push(child),
                }
            }
        }
        Ok((files, found))
    }

    /// What a commit or a folder that is as it was written leads to.
    fn children(&self, object: &Object) -> Result<Vec<Object>, DeployError> {
        use ObjectType::{Commit, DirMeta, DirTree, File};
        let mut children = Vec::new();
        if object.kind == DirMeta {
            return Ok(children);
        }
        let doing = || format!("read the object {}", object.checksum);
        let variant = self.inner.load_variant(object.kind, &object.checksum).doing(doing)?;
        let mut lead = |kind, checksum: &ostree::glib::Variant| {
            let checksum = checksum.data().iter().map(|byte| format!("{byte:02x}")).collect();
            children.push(Object { kind, checksum });
        };
        if object.kind == Commit {
            // OSTREE_COMMIT_GVARIANT_FORMAT: the last two are the root folder's.
            lead(DirTree, &variant.child_value(6));
            lead(DirMeta, &variant.child_value(7));
        } else {
            // OSTREE_TREE_GVARIANT_FORMAT: files, then folders; a name comes first in each.
            for file in variant.child_value(0).iter() {
                lead(File, &file.child_value(1));
            }
            for folder in variant.child_value(1).iter() {
                lead(DirTree, &folder.child_value(1));
                lead(DirMeta, &folder.child_value(2));
            }
        }
        Ok(children)
    }

    /// All that commits of this repository are made of.
    fn everything(&self) -> Result<Vec<Object>, DeployError> {
        use ObjectType::{Commit, DirMeta, DirTree, File};
        let doing = || format!("list the objects of `{}`", self.path().display());
        let all = self.inner.list_objects(RepoListObjectsFlags::ALL.bits(), NEVER).doing(doing)?;
        let names = all
            .into_keys()
            .map(|name| Object { kind: name.object_type(), checksum: name.checksum().to_owned() });
        Ok(names.filter(|it| matches!(it.kind, Commit | DirMeta | DirTree | File)).collect())
    }

    /// Hashes objects on every processor: one alone hashes some 250 MB a second.
    fn damaged_among(&self, objects: &[Object]) -> Result<Vec<Finding>, DeployError> {
        let workers = thread::available_parallelism().map_or(1, NonZero::get);
        let (path, part) = (self.path(), objects.len().div_ceil(workers).max(1));
        let found: Result<Vec<_>, DeployError> = thread::scope(|scope| {
            let start = |part| scope.spawn(move || damaged(path, part));
            let workers: Vec<_> = objects.chunks(part).map(start).collect();
            let joined = workers.into_iter().map(thread::ScopedJoinHandle::join);
            joined.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        Ok(found?.into_iter().flatten().collect())
    }

    /// Libostree's words when an object is missing or not what its name says.
    fn says_of(&self, object: &Object) -> Option<String> {
        let checked = self.inner.fsck_object(object.kind, &object.checksum, NEVER);
        checked.err().map(|error| error.to_string())
    }

    /// Removes what is damaged, the commit, which is no whole one any more, and the ref `name` that
    /// led to it, so that the next one who commits or pulls the same writes it anew. May be cut
    /// anywhere and called again.
    ///
    /// # Errors
    /// The repository cannot be written.
    pub fn discard(&self, name: &str, damage: &Damage) -> Result<(), DeployError> {
        let doing = || format!("remove what is damaged from `{}`", self.path().display());
        self.inner.set_ref_immediate(None, name, None, NEVER).doing(doing)?;
        for Object { kind, checksum } in [&damage.commit].into_iter().chain(&damage.objects) {
            if self.inner.has_object(*kind, checksum, NEVER).doing(doing)? {
                self.inner.delete_object(*kind, checksum, NEVER).doing(doing)?;
            }
        }
        Ok(())
    }
}

/// Those of `objects` that are damaged. A repository is no thread's but the one's that opened it.
fn damaged(repo: &Path, objects: &[Object]) -> Result<Vec<Finding>, DeployError> {
    let repo = Repo::open(repo)?;
    let check = |object: &Object| Some((object.clone(), repo.says_of(object)?));
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
    fn a_listing_that_is_no_longer_one_is_found_itself_and_written_anew() {
        let ways: [fn(&Path); 3] = [
            |path| fs::write(path, "").unwrap(),
            |path| fs::write(path, "other").unwrap(),
            |path| {
                let mut bytes = fs::read(path).unwrap();
                bytes.iter_mut().for_each(|byte| *byte = !*byte);
                fs::write(path, bytes).unwrap();
            },
        ];
        for ending in [".dirtree", ".dirmeta", ".commit"] {
            ways.into_iter().for_each(|way| drop(Ground::new().is_healed_from(ending, way)));
        }
    }

    /// It can be read, it leads to what is there, and it is not what its name says.
    #[test]
    fn a_listing_of_something_else_is_damage_that_the_next_commit_mends() {
        let ground = Ground::new();
        ground.commit();
        let trees: Vec<Vec<u8>> =
            ground.objects(".dirtree").iter().map(|path| fs::read(path).unwrap()).collect();
        for tree in &trees {
            let said =
                Ground::new().is_healed_from(".dirtree", |path| fs::write(path, tree).unwrap());
            assert!(said.contains("Corrupted"), "{said}");
        }
        Ground::new().is_healed_from(".dirmeta", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[11] ^= 1;
            fs::write(path, bytes).unwrap();
        });
    }

    #[test]
    fn what_others_have_stays_while_a_damaged_listing_goes() {
        let ground = Ground::new();
        let commit = ground.commit();
        let ours = ground.objects(".dirtree");
        fs::write(ground.dir.path().join("tree/folder/three"), "third").unwrap();
        let request =
            CommitRequest { ref_name: "other", time: 1, version: None, build_id: None, key: None };
        let other = ground.repo.commit(&ground.dir.path().join("tree"), &request).unwrap();
        ours.iter().for_each(|path| fs::write(path, "other").unwrap());
        let found = ground.repo.damage(&commit).unwrap().expect("it is damaged");
        ground.repo.discard(NAME, &found).unwrap();
        assert!(ground.repo.damage(&other).unwrap().is_none());
        assert_eq!(ground.repo.resolve("other").unwrap(), Some(other));
    }

    #[test]
    fn a_commit_that_is_not_there_is_an_error_and_no_damage() {
        let ground = Ground::new();
        ground.commit();
        ground.repo.damage(&"0".repeat(64)).unwrap_err();
    }
}
