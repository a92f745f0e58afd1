//! What a commit holds, read without checking it out.

use std::collections::BTreeMap;
use std::io::Read;

use ostree::gio::prelude::*;
use ostree::gio::{File, FileQueryInfoFlags, FileType};
use ostree::{ObjectName, ObjectType, RepoListRefsExtFlags};

use crate::error::Doing;
use crate::repo::{NEVER, NO_PARENTS};
use crate::{DeployError, Repo};

/// What a file takes on the root file system at least: a block of ext4.
const BLOCK: u64 = 4096;

/// How large a commit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of its files as they lie in this repository, each counted once.
    pub stored: u64,
    /// Bytes that its files take in blocks of 4 KiB, each counted once; what a host needs, when
    /// this repository is bare.
    pub blocks: u64,
}

impl Repo {
    /// Every ref of ours, with the commit that it leads to.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn refs(&self) -> Result<BTreeMap<String, String>, DeployError> {
        let flags = RepoListRefsExtFlags::EXCLUDE_REMOTES | RepoListRefsExtFlags::EXCLUDE_MIRRORS;
        let doing = || format!("list the refs of `{}`", self.path().display());
        let refs = self.inner.list_refs_ext(None, flags, NEVER).doing(doing)?;
        Ok(refs.into_iter().map(|(name, commit)| (name.to_string(), commit.to_string())).collect())
    }

    /// Every ref, those of remotes as `remote:ref`, with the commit that it leads to.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn all_refs(&self) -> Result<BTreeMap<String, String>, DeployError> {
        let doing = || format!("list the refs of `{}`", self.path().display());
        let flags = RepoListRefsExtFlags::empty();
        let refs = self.inner.list_refs_ext(None, flags, NEVER).doing(doing)?;
        Ok(refs.into_iter().map(|(name, commit)| (name.to_string(), commit.to_string())).collect())
    }

    /// The content of a file of `commit`; `None` when there is no such file.
    ///
    /// # Errors
    /// There is no such commit, or it cannot be read.
    pub fn read_file(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, DeployError> {
        let doing = || format!("read `{path}` of {commit}");
        let file = self.root(commit)?.resolve_relative_path(path);
        if file.query_file_type(FileQueryInfoFlags::NOFOLLOW_SYMLINKS, NEVER) != FileType::Regular {
            return Ok(None);
        }
        let Some(file) = file.downcast_ref::<ostree::RepoFile>() else { return Ok(None) };
        let (content, _, _) = self.inner.load_file(&file.checksum(), NEVER).doing(doing)?;
        let Some(content) = content else { return Ok(None) };
        let mut bytes = Vec::new();
        content.into_read().read_to_end(&mut bytes).doing(doing)?;
        Ok(Some(bytes))
    }

    /// Names in a folder of `commit`, sorted; none when there is no such folder. The files need not
    /// be there.
    ///
    /// # Errors
    /// There is no such commit, or it cannot be read.
    pub fn list_folder(&self, commit: &str, path: &str) -> Result<Vec<String>, DeployError> {
        let doing = || format!("list `{path}` of {commit}");
        let folder = self.root(commit)?.resolve_relative_path(path);
        let flags = FileQueryInfoFlags::NOFOLLOW_SYMLINKS;
        if folder.query_file_type(flags, NEVER) != FileType::Directory {
            return Ok(Vec::new());
        }
        let folder = folder.downcast_ref::<ostree::RepoFile>();
        folder.map_or(Ok(()), ostree::RepoFile::ensure_resolved).doing(doing)?;
        // Not `tree_get_contents`: the binding gives what it returns back twice.
        let Some(tree) = folder.and_then(ostree::RepoFile::tree_get_contents_checksum) else {
            return Ok(Vec::new());
        };
        let tree = self.inner.load_variant(ObjectType::DirTree, &tree).doing(doing)?;
        // A list of files and one of folders, of each first its name.
        let entries = tree.iter().flat_map(|list| list.iter().collect::<Vec<_>>());
        let names = entries.filter_map(|entry| entry.child_value(0).get::<String>());
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    /// Everything in `commit` by its path, without the root, each with a hash of what it is: for a
    /// file or a link its content, mode, owner and extended attributes, for a folder all but the
    /// content.
    ///
    /// # Errors
    /// There is no such commit, or it cannot be read.
    pub fn paths(&self, commit: &str) -> Result<BTreeMap<String, String>, DeployError> {
        let doing = || format!("list {commit}");
        let (mut paths, mut folders) = (BTreeMap::new(), vec![(String::new(), self.root(commit)?)]);
        while let Some((above, folder)) = folders.pop() {
            let flags = FileQueryInfoFlags::NOFOLLOW_SYMLINKS;
            let attributes = "standard::name,standard::type";
            let entries = folder.enumerate_children(attributes, flags, NEVER).doing(doing)?;
            while let Some(entry) = entries.next_file(NEVER).doing(doing)? {
                let path = format!("{above}{}", entry.name().to_string_lossy());
                let child = folder.child(entry.name());
                let Some(file) = child.downcast_ref::<ostree::RepoFile>() else { continue };
                file.ensure_resolved().doing(doing)?;
                if entry.file_type() == FileType::Directory {
                    let hash = file.tree_get_metadata_checksum().unwrap_or_default();
                    paths.insert(path.clone(), hash.to_string());
                    folders.push((path + "/", child));
                } else {
                    paths.insert(path, file.checksum().to_string());
                }
            }
        }
        Ok(paths)
    }

    /// Bytes of a file of `commit`; `None` when there is no such file.
    ///
    /// # Errors
    /// There is no such commit, or it cannot be read.
    pub fn file_size(&self, commit: &str, path: &str) -> Result<Option<u64>, DeployError> {
        let doing = || format!("read `{path}` of {commit}");
        let file = self.root(commit)?.resolve_relative_path(path);
        let flags = FileQueryInfoFlags::NOFOLLOW_SYMLINKS;
        if file.query_file_type(flags, NEVER) != FileType::Regular {
            return Ok(None);
        }
        let info = file.query_info("standard::size", flags, NEVER).doing(doing)?;
        Ok(u64::try_from(info.size()).ok())
    }

    /// How large `commit` is.
    ///
    /// # Errors
    /// There is no such commit, or something of it is missing.
    pub fn sizes(&self, commit: &str) -> Result<Sizes, DeployError> {
        self.sizes_of(commit, |_| false)
    }

    /// How large that of `commit` is which a commit of this repository, or of another, has not.
    ///
    /// # Errors
    /// There is no such commit, or something of it is missing.
    pub fn sizes_beside(
        &self,
        commit: &str,
        (repo, base): (&Self, &str),
    ) -> Result<Sizes, DeployError> {
        let doing = || format!("list {base} in `{}`", repo.path().display());
        let there = repo.inner.traverse_commit(base, NO_PARENTS, NEVER).doing(doing)?;
        self.sizes_of(commit, |object| there.contains(object))
    }

    fn sizes_of(
        &self,
        commit: &str,
        is_there: impl Fn(&ObjectName) -> bool,
    ) -> Result<Sizes, DeployError> {
        let doing = || format!("measure {commit} in `{}`", self.path().display());
        let mut sizes = Sizes { stored: 0, blocks: 0 };
        let objects = self.inner.traverse_commit(commit, NO_PARENTS, NEVER).doing(doing)?;
        for object in objects.iter().filter(|object| !is_there(object)) {
            let (kind, checksum) = (object.object_type(), object.checksum());
            let bytes = self.inner.query_object_storage_size(kind, checksum, NEVER).doing(doing)?;
            sizes.stored += bytes;
            let is_laid = matches!(kind, ObjectType::File | ObjectType::DirTree);
            sizes.blocks += if is_laid { bytes.div_ceil(BLOCK) * BLOCK } else { 0 };
        }
        Ok(sizes)
    }

    fn root(&self, commit: &str) -> Result<File, DeployError> {
        let (root, _) =
            self.inner.read_commit(commit, NEVER).doing(|| format!("read the commit {commit}"))?;
        Ok(root)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;
    use crate::CommitRequest;

    fn commit(repo: &Repo, tree: &Path, name: &str) -> String {
        let request =
            CommitRequest { ref_name: name, time: 1, version: None, build_id: None, key: None };
        repo.commit(tree, &request).unwrap()
    }

    #[test]
    fn a_commit_is_read_and_measured_in_either_kind_of_repository() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("folder")).unwrap();
        fs::write(tree.join("folder/one"), "a".repeat(5000)).unwrap();
        fs::write(tree.join("folder/same"), "a".repeat(5000)).unwrap();
        symlink("one", tree.join("folder/link")).unwrap();
        let bare = Repo::open_or_create(&dir.path().join("bare")).unwrap();
        let made = commit(&bare, &tree, "image/1");
        let archive = Repo::open_or_create_archive(&dir.path().join("archive")).unwrap();
        archive.pull_local(&bare, &made).unwrap();
        archive.set_ref("releases/1", &made).unwrap();
        for repo in [&bare, &archive] {
            assert_eq!(repo.read_file(&made, "folder/one").unwrap().unwrap().len(), 5000);
            assert_eq!(repo.file_size(&made, "folder/one").unwrap(), Some(5000));
            assert_eq!(repo.read_file(&made, "folder/link").unwrap(), None);
            assert_eq!(repo.read_file(&made, "folder").unwrap(), None);
            assert_eq!(repo.list_folder(&made, "folder").unwrap(), ["link", "one", "same"]);
            let paths = repo.paths(&made).unwrap();
            let names: Vec<&String> = paths.keys().collect();
            assert_eq!(names, ["folder", "folder/link", "folder/one", "folder/same"]);
            assert_eq!(paths["folder/one"], paths["folder/same"]);
            assert_ne!(paths["folder/one"], paths["folder/link"]);
            assert_eq!(repo.list_folder(&made, "nowhere").unwrap(), [""; 0]);
            assert!(repo.refs().unwrap().values().eq([&made]));
        }
        // Two files of one content are one object, and a link is one of its own.
        let folders = 2 * BLOCK;
        let blocks = bare.sizes(&made).unwrap().blocks;
        assert!((folders + 8192..=folders + 8192 + BLOCK).contains(&blocks), "{blocks}");
        assert!(archive.sizes(&made).unwrap().stored < bare.sizes(&made).unwrap().stored);
        // Beside itself it is nothing; beside another, what that has not: a file, and the folders
        // above it.
        assert_eq!(bare.sizes_beside(&made, (&archive, &made)).unwrap().blocks, 0);
        fs::write(tree.join("folder/two"), "b".repeat(5000)).unwrap();
        let next = commit(&bare, &tree, "image/1");
        assert_eq!(bare.sizes_beside(&next, (&archive, &made)).unwrap().blocks, 8192 + folders);
    }
}
