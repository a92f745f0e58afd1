//! Lays a folder of files over a tree.
//!
//! The tree may be a hard-linked checkout, so files are replaced and never written into.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Lays everything in `from` over `tree`: owner root, mode 0755 for folders and programs, 0644
/// for other files. A folder that the tree already has keeps its mode.
///
/// # Errors
/// Something cannot be read or written; the message names it.
pub fn lay(from: &Path, tree: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(from).min_depth(1).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot read `{}`", from.display()))?;
        let inside = entry.path().strip_prefix(from).unwrap_or(entry.path());
        let to = tree.join(inside);
        lay_one(entry.path(), entry.file_type(), &to)
            .with_context(|| format!("cannot lay `{}` over the tree", entry.path().display()))?;
    }
    Ok(())
}

/// Puts `bytes` at `path` in the tree `tree`, replacing what is there; makes missing folders.
///
/// # Errors
/// The tree cannot be written.
pub fn put(tree: &Path, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let to = tree.join(path.trim_start_matches('/'));
    let doing = || format!("cannot write `/{}` in the tree", path.trim_start_matches('/'));
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(doing)?;
    }
    replace(&to, |temporary| {
        fs::write(temporary, bytes)?;
        fs::set_permissions(temporary, fs::Permissions::from_mode(mode))
    })
    .with_context(doing)
}

fn lay_one(from: &Path, kind: fs::FileType, to: &Path) -> io::Result<()> {
    if kind.is_dir() {
        return if to.is_dir() { Ok(()) } else { fs::create_dir(to) };
    }
    if kind.is_symlink() {
        let target = fs::read_link(from)?;
        return replace(to, |temporary| symlink(&target, temporary));
    }
    let executable = fs::metadata(from)?.permissions().mode() & 0o100 != 0;
    let mode = if executable { 0o755 } else { 0o644 };
    replace(to, |temporary| {
        fs::copy(from, temporary)?;
        fs::set_permissions(temporary, fs::Permissions::from_mode(mode))
    })
}

/// Makes a new file beside `to` and renames it over it.
fn replace(to: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = beside(to);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    make(&temporary)?;
    fs::rename(&temporary, to)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".basalt-new-");
    name.push(path.file_name().unwrap_or_default());
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hard_linked_file_is_replaced_and_not_written_into() {
        let dir = tempfile::tempdir().unwrap();
        let (from, tree) = (dir.path().join("from"), dir.path().join("tree"));
        fs::create_dir_all(from.join("etc")).unwrap();
        fs::create_dir_all(tree.join("etc")).unwrap();
        fs::write(from.join("etc/a"), "new").unwrap();
        fs::write(dir.path().join("cached"), "old").unwrap();
        fs::hard_link(dir.path().join("cached"), tree.join("etc/a")).unwrap();
        lay(&from, &tree).unwrap();
        assert_eq!(fs::read_to_string(tree.join("etc/a")).unwrap(), "new");
        assert_eq!(fs::read_to_string(dir.path().join("cached")).unwrap(), "old");
    }

    #[test]
    fn only_the_executable_bit_of_a_mode_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (from, tree) = (dir.path().join("from"), dir.path().join("tree"));
        fs::create_dir_all(&from).unwrap();
        fs::create_dir_all(&tree).unwrap();
        for (name, mode) in [("a", 0o600), ("b", 0o777)] {
            fs::write(from.join(name), "").unwrap();
            fs::set_permissions(from.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        lay(&from, &tree).unwrap();
        let mode = |name| fs::metadata(tree.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("a"), mode("b")), (0o644, 0o755));
    }
}
