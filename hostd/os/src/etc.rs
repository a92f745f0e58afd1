//! `/etc`: what an operator changed after an update was laid out, and what the image changed too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{lgetxattr, llistxattr};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// Conflicts that are told.
const MAX_CONFLICTS: usize = 100;
/// Bytes of an extended attribute, and of the names of all that a file has: Linux allows no more.
const MAX_ATTRIBUTE: usize = 64 << 10;

/// All that `etc` holds, in one word: names, contents, links, permissions, owners, attributes.
/// Times are left out: they go by a clock that somebody may set back.
///
/// # Errors
/// A file cannot be read. One that goes meanwhile is left out.
pub(crate) fn digest(etc: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    for entry in WalkDir::new(etc).sort_by_file_name() {
        let entry = match entry.map_err(io::Error::from) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entry => entry?,
        };
        let path = entry.path();
        let about = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            about => about?,
        };
        let name = path.strip_prefix(etc).unwrap_or(path);
        let (mode, uid, gid) = (about.mode(), about.uid(), about.gid());
        part(&mut hash, name.as_os_str().as_bytes());
        part(&mut hash, format!("{mode} {uid} {gid}").as_bytes());
        part(&mut hash, &content(path, &about)?);
        for (name, value) in attributes(path)? {
            part(&mut hash, name.as_bytes());
            part(&mut hash, &value);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Its length comes first, so that no two lists of parts are the same bytes.
fn part(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// What a file holds, or where a link leads.
fn content(path: &Path, about: &fs::Metadata) -> io::Result<Vec<u8>> {
    let read = match about.file_type() {
        kind if kind.is_file() => fs::read(path),
        kind if kind.is_symlink() => fs::read_link(path).map(|to| to.into_os_string().into_vec()),
        _ => return Ok(Vec::new()),
    };
    match read {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read,
    }
}

/// Extended attributes, as access lists are; none where the file system knows none.
fn attributes(path: &Path) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let mut names = vec![0; MAX_ATTRIBUTE];
    let length = match llistxattr(path, &mut names) {
        Err(Errno::NOTSUP | Errno::NOENT) => return Ok(BTreeMap::new()),
        length => length?,
    };
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; MAX_ATTRIBUTE];
        match lgetxattr(path, name, &mut value) {
            Err(Errno::NODATA | Errno::NOENT) => continue,
            length => value.truncate(length?),
        }
        found.insert(String::from_utf8_lossy(name).into_owned(), value);
    }
    Ok(found)
}

/// Files of `/etc` that differ from what both releases brought, where these differ from each
/// other: the host's own stays, and what the image changed did not arrive. Relative paths, sorted.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn conflicts(etc: &Path, one: &Path, other: &Path) -> io::Result<Vec<String>> {
    let mut paths: BTreeSet<PathBuf> = BTreeSet::new();
    for root in [one, other] {
        paths.extend(files(root)?);
    }
    let mut found = Vec::new();
    for path in paths {
        let [one, other] = [Found::at(&one.join(&path))?, Found::at(&other.join(&path))?];
        if one == other {
            continue;
        }
        let own = Found::at(&etc.join(&path))?;
        if own != one && own != other {
            found.push(path.display().to_string());
        }
        if found.len() == MAX_CONFLICTS {
            break;
        }
    }
    Ok(found)
}

/// Everything below `root` but folders.
fn files(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(root) {
        let entry = entry.map_err(io::Error::from)?;
        if !entry.file_type().is_dir() {
            found.extend(entry.path().strip_prefix(root).map(Path::to_owned));
        }
    }
    Ok(found)
}

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    /// With its permissions and owner.
    File(Vec<u8>, u32, (u32, u32)),
    Link(Vec<u8>),
    Other,
}

impl Found {
    fn at(path: &Path) -> io::Result<Self> {
        let about = match fs::symlink_metadata(path) {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(Self::Nothing);
            }
            about => about?,
        };
        Ok(match about.file_type() {
            kind if kind.is_file() => {
                let (mode, owner) = (about.permissions().mode(), (about.uid(), about.gid()));
                Self::File(fs::read(path)?, mode, owner)
            }
            kind if kind.is_symlink() => {
                Self::Link(fs::read_link(path)?.as_os_str().as_bytes().to_vec())
            }
            _ => Self::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &str) {
        for file in files.split_whitespace() {
            let (name, text) = file.split_once('=').unwrap();
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[track_caller]
    fn check(etc: &str, one: &str, other: &str, expected: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let roots = ["etc", "one", "other"].map(|name| dir.path().join(name));
        for (root, files) in roots.iter().zip([etc, one, other]) {
            fs::create_dir(root).unwrap();
            write(root, files);
        }
        assert_eq!(conflicts(&roots[0], &roots[1], &roots[2]).unwrap(), expected);
    }

    #[test]
    fn a_conflict_is_what_both_the_host_and_the_image_changed() {
        check("a=1", "a=1", "a=1", &[]);
        check("a=mine", "a=1", "a=1", &[]);
        check("a=1", "a=1", "a=2", &[]);
        check("a=2", "a=1", "a=2", &[]);
        check("a=mine", "a=1", "a=2", &["a"]);
        check("", "a=1", "a=2", &["a"]);
        check("", "a=1", "", &[]);
        check("d/a=mine b=1", "b=1", "d/a=2 b=1", &["d/a"]);
        check("b=mine", "", "", &[]);
    }

    #[test]
    fn permissions_are_a_change_too() {
        let dir = tempfile::tempdir().unwrap();
        let roots = ["etc", "one", "other"].map(|name| dir.path().join(name));
        for (root, mode) in roots.iter().zip([0o600, 0o644, 0o640]) {
            write(root, "a=1");
            fs::set_permissions(root.join("a"), fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(conflicts(&roots[0], &roots[1], &roots[2]).unwrap(), ["a"]);
    }

    #[test]
    fn whatever_is_changed_is_another_digest_and_a_time_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        write(root, "a=1 d/b=2");
        std::os::unix::fs::symlink("a", root.join("link")).unwrap();
        let mut seen = BTreeSet::from([digest(root).unwrap()]);
        let mut is_new = || seen.insert(digest(root).unwrap());
        assert!(!is_new(), "nothing changed");
        write(root, "a=3");
        assert!(is_new(), "a content of the same size");
        let file = fs::File::options().write(true).open(root.join("a")).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        assert!(!is_new(), "only a time");
        fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
        assert!(is_new(), "permissions");
        fs::rename(root.join("d/b"), root.join("d/c")).unwrap();
        assert!(is_new(), "a name");
        fs::remove_file(root.join("link")).unwrap();
        std::os::unix::fs::symlink("d/c", root.join("link")).unwrap();
        assert!(is_new(), "a link");
        fs::create_dir(root.join("empty")).unwrap();
        assert!(is_new(), "a folder");
        let flags = rustix::fs::XattrFlags::empty();
        if rustix::fs::lsetxattr(root.join("a"), "user.x", b"1", flags).is_ok() {
            assert!(is_new(), "an attribute");
        }
    }
}
