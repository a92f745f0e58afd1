//! `/etc`: what an operator changed after an update was laid out, and what the image changed too.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

/// Conflicts that are told.
const MAX_CONFLICTS: usize = 100;

/// Whether anything in `etc` changed after `since`, in nanoseconds of the epoch: also a file that
/// went, for then its folder changed.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn changed_since(etc: &Path, since: i128) -> io::Result<bool> {
    for entry in WalkDir::new(etc) {
        let about = entry.map_err(io::Error::from)?.metadata().map_err(io::Error::from)?;
        if changed_at(&about) > since {
            return Ok(true);
        }
    }
    Ok(false)
}

/// When a file's content, attributes or name changed last, in nanoseconds of the epoch.
pub(crate) fn changed_at(about: &fs::Metadata) -> i128 {
    i128::from(about.ctime()) * 1_000_000_000 + i128::from(about.ctime_nsec())
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
    fn a_change_is_seen_after_a_moment_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "a=1 d/b=2");
        let file = dir.path().join("d/b");
        let written = changed_at(&fs::metadata(&file).unwrap());
        assert!(!changed_since(dir.path(), written + 1_000_000_000).unwrap());
        fs::remove_file(&file).unwrap();
        let folder = changed_at(&fs::metadata(dir.path().join("d")).unwrap());
        assert!(changed_since(dir.path(), folder - 1).unwrap());
        assert!(!changed_since(dir.path(), folder).unwrap());
    }
}
