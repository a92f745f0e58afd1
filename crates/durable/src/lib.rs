//! Writing so that a power cut leaves the old or the new, never a half; and reading what may not
//! have been written yet.
//!
//! Knows files and folders and nothing of what is in them.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Mode of a file for everybody to read.
pub const PUBLIC: u32 = 0o644;
/// Mode of a file for its owner only.
pub const PRIVATE: u32 = 0o600;

/// The content of a file; `None` when there is none.
///
/// # Errors
/// It is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let Some(mut file) = open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// The same for a file of which only a part is read; `None` when there is none.
///
/// # Errors
/// It is there and cannot be opened.
pub fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Replaces `path` by `bytes`: temporary file, fsync, rename, fsync of the folder.
///
/// # Errors
/// The folder cannot be written, or the disk is full; `path` is then as it was.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let folder = folder_of(path);
    let mut temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    temporary.write_all(bytes)?;
    temporary.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// Moves a finished file or folder to its final name on the same file system, and makes the move
/// itself durable. The content must have been synced.
///
/// # Errors
/// `to` is a folder that is not empty, or cannot be written.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder(folder_of(to))
}

/// Removes a file, durably; one that is gone already is as good.
///
/// # Errors
/// It cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_folder(folder_of(path)),
    }
}

/// Makes the names in a folder durable.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_the_whole_file_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "a longer old text").unwrap();
        write(&path, b"new", PRIVATE).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, PRIVATE);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_write_that_fails_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(write(&path, b"new", PUBLIC).is_err());
        assert!(path.is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_not_there_is_none_and_what_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(&folder.path().join("never")).unwrap(), None);
        assert!(open(&folder.path().join("never")).unwrap().is_none());
        write(&folder.path().join("file"), b"text", PUBLIC).unwrap();
        assert_eq!(read(&folder.path().join("file")).unwrap().unwrap(), b"text");
        assert!(read(folder.path()).is_err(), "a folder is no file");
        let below = folder.path().join("file/below");
        assert!(read(&below).is_err() && open(&below).is_err(), "nor is a file a folder");
    }

    #[test]
    fn removing_what_is_gone_is_no_mistake() {
        let folder = tempfile::tempdir().unwrap();
        assert!(remove(&folder.path().join("never")).is_ok());
    }
}
