//! Hashes of what a stage is made from. Two equal fingerprints mean equal inputs.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

/// An input that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`", path.display())]
pub struct InputError {
    /// The input.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A hash under construction. Every part is framed by its length, so that no two lists of parts
/// run into the same bytes.
pub struct Fingerprint(Sha256);

impl Fingerprint {
    /// Starts the fingerprint of one kind of thing. Change `kind` when the code that makes it
    /// changes what comes out, so that older results are not taken for new ones.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self(Sha256::new()).part(kind.as_bytes())
    }

    /// Adds bytes.
    #[must_use]
    pub fn part(mut self, bytes: &[u8]) -> Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds a value in its JSON form. Only for types whose maps are ordered.
    #[must_use]
    pub fn value(self, value: &impl Serialize) -> Self {
        // Our own types have string keys only, which is all that can fail here.
        let json = serde_json::to_vec(value).unwrap_or_default();
        self.part(&json)
    }

    /// Adds a file's content.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn file(self, path: &Path) -> Result<Self, InputError> {
        let hash = sha256_of_file(path).map_err(|source| input_error(path, source))?;
        Ok(self.part(hash.as_bytes()))
    }

    /// Adds a folder: names, contents, link targets and the executable bit; no times, no owners.
    ///
    /// # Errors
    /// Something in it cannot be read.
    pub fn folder(mut self, root: &Path) -> Result<Self, InputError> {
        for entry in walkdir::WalkDir::new(root).min_depth(1).sort_by_file_name() {
            let entry = entry.map_err(|error| input_error(root, error.into()))?;
            let path = entry.path();
            let inside = path.strip_prefix(root).unwrap_or(path);
            self = self.part(inside.as_os_str().as_bytes());
            let kind = entry.file_type();
            let failed = |source| input_error(path, source);
            if kind.is_symlink() {
                let target = fs::read_link(path).map_err(failed)?;
                self = self.part(b"link").part(target.as_os_str().as_bytes());
            } else if kind.is_file() {
                let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
                let tag: &[u8] = if mode & 0o100 == 0 { b"file" } else { b"program" };
                self = self.part(tag).file(path)?;
            } else {
                self = self.part(b"folder");
            }
        }
        Ok(self)
    }

    /// The fingerprint as 64 hex digits.
    #[must_use]
    pub fn hex(self) -> String {
        hex::encode(self.0.finalize())
    }
}

/// SHA-256 of a file's content, as 64 hex digits.
///
/// # Errors
/// The file cannot be read.
pub fn sha256_of_file(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut fs::File::open(path)?, &mut HashWriter(&mut hash))?;
    Ok(hex::encode(hash.finalize()))
}

/// Lets a hash be written to.
pub struct HashWriter<'a>(pub &'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn input_error(path: &Path, source: io::Error) -> InputError {
    InputError { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(write: impl Fn(&Path)) -> String {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path());
        Fingerprint::new("test").folder(dir.path()).unwrap().hex()
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        let one = Fingerprint::new("k").part(b"ab").part(b"c").hex();
        let other = Fingerprint::new("k").part(b"a").part(b"bc").hex();
        assert_ne!(one, other);
    }

    #[test]
    fn a_folder_is_its_names_contents_links_and_executable_bits() {
        let plain = of(|dir| fs::write(dir.join("a"), "x").unwrap());
        assert_eq!(plain, of(|dir| fs::write(dir.join("a"), "x").unwrap()));
        assert_ne!(plain, of(|dir| fs::write(dir.join("b"), "x").unwrap()));
        assert_ne!(plain, of(|dir| fs::write(dir.join("a"), "y").unwrap()));
        assert_ne!(plain, of(|dir| std::os::unix::fs::symlink("x", dir.join("a")).unwrap()));
        let program = of(|dir| {
            fs::write(dir.join("a"), "x").unwrap();
            fs::set_permissions(dir.join("a"), fs::Permissions::from_mode(0o755)).unwrap();
        });
        assert_ne!(plain, program);
    }

    #[test]
    fn a_missing_folder_is_named() {
        let error = Fingerprint::new("k").folder(Path::new("/nonexistent/overlay")).err().unwrap();
        assert_eq!(error.to_string(), "cannot read `/nonexistent/overlay`");
    }
}
