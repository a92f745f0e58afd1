//! Lays a folder of files over a tree.
//!
//! The tree may be a hard-linked checkout, so files are replaced and never written into. Its links
//! mean what they will mean on a host: `/etc/ssl/certs` is the tree's, not this machine's.

mod inside;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::fs::{AtFlags, Mode, OFlags, fchmod, openat, renameat, symlinkat, unlinkat};

use inside::Tree;

/// Takes the place of what it replaces by a rename.
const TEMPORARY: &str = ".basalt-new";

/// Lays everything in `from` over `tree`: owner root, mode 0755 for folders and programs, 0644
/// for other files. A folder that the tree already has keeps its mode.
///
/// # Errors
/// Something cannot be read or written; the message names it.
pub fn lay(from: &Path, tree: &Path) -> Result<()> {
    let tree = open(tree)?;
    for entry in walkdir::WalkDir::new(from).min_depth(1).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot read `{}`", from.display()))?;
        let inside = entry.path().strip_prefix(from).unwrap_or(entry.path());
        lay_one(entry.path(), entry.file_type(), &tree, inside)
            .with_context(|| format!("cannot lay `{}` over the tree", entry.path().display()))?;
    }
    Ok(())
}

/// Puts `bytes` at `path` in the tree `tree`, replacing what is there; makes missing folders.
///
/// # Errors
/// The tree cannot be written.
pub fn put(tree: &Path, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
    let mut bytes = bytes;
    replace_file(&open(tree)?, Path::new(path), &mut bytes, mode)
        .with_context(|| format!("cannot write `/{}` in the tree", path.trim_start_matches('/')))
}

/// As [`put`], with the content of the file `from`.
///
/// # Errors
/// `from` cannot be read, or the tree not written.
pub fn put_file(tree: &Path, path: &Path, from: &Path, mode: u32) -> Result<()> {
    let tree = open(tree)?;
    File::open(from)
        .and_then(|mut from| replace_file(&tree, path, &mut from, mode))
        .with_context(|| format!("cannot copy `{}` to `/{}`", from.display(), path.display()))
}

fn open(tree: &Path) -> Result<Tree> {
    Tree::open(tree).with_context(|| format!("cannot open the tree `{}`", tree.display()))
}

fn lay_one(from: &Path, kind: fs::FileType, tree: &Tree, to: &Path) -> io::Result<()> {
    if kind.is_dir() {
        return tree.folder(to).map(drop);
    }
    if kind.is_symlink() {
        let target = fs::read_link(from)?;
        return replace(tree, to, |folder, temporary| Ok(symlinkat(&target, folder, temporary)?));
    }
    if !kind.is_file() {
        return Err(io::Error::other("it is neither a file nor a folder nor a link"));
    }
    let mut file = File::open(from)?;
    let executable = file.metadata()?.permissions().mode() & 0o100 != 0;
    replace_file(tree, to, &mut file, if executable { 0o755 } else { 0o644 })
}

fn replace_file(tree: &Tree, to: &Path, from: &mut impl io::Read, mode: u32) -> io::Result<()> {
    replace(tree, to, |folder, temporary| {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = File::from(openat(folder, temporary, flags, Mode::from(0o600))?);
        io::copy(from, &mut file)?;
        Ok(fchmod(&file, Mode::from(mode))?)
    })
}

/// Makes a new file beside `to` and renames it over it.
fn replace(
    tree: &Tree,
    to: &Path,
    make: impl FnOnce(BorrowedFd<'_>, &OsStr) -> io::Result<()>,
) -> io::Result<()> {
    let (folder, name) = tree.place(to)?;
    let (folder, temporary) = (std::os::fd::AsFd::as_fd(&folder), OsStr::new(TEMPORARY));
    match unlinkat(folder, temporary, AtFlags::empty()) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => (),
        Err(error) => return Err(error.into()),
    }
    make(folder, temporary)?;
    Ok(renameat(folder, temporary, folder, name)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// An overlay, a tree and a folder of "this machine", which nobody may write to.
    fn ground() -> (tempfile::TempDir, [std::path::PathBuf; 3]) {
        let dir = tempfile::tempdir().unwrap();
        let folders = ["from", "tree", "machine"].map(|name| dir.path().join(name));
        for folder in &folders {
            fs::create_dir(folder).unwrap();
        }
        (dir, folders)
    }

    #[test]
    fn the_trees_links_lead_where_they_will_on_a_host() {
        let (_dir, [from, tree, machine]) = ground();
        // On this machine the link's target exists; in the tree it is another folder.
        let inside = tree.join(machine.strip_prefix("/").unwrap());
        fs::create_dir_all(&inside).unwrap();
        symlink(&machine, tree.join("absolute")).unwrap();
        symlink("../../../../../../../../../../tmp", tree.join("upwards")).unwrap();
        fs::create_dir_all(tree.join("tmp")).unwrap();
        for folder in ["absolute", "upwards"] {
            fs::create_dir_all(from.join(folder).join("new")).unwrap();
            fs::write(from.join(folder).join("new/file"), folder).unwrap();
        }
        lay(&from, &tree).unwrap();
        put(&tree, "/absolute/put/file", b"put", 0o644).unwrap();
        assert_eq!(fs::read_to_string(inside.join("new/file")).unwrap(), "absolute");
        assert_eq!(fs::read_to_string(inside.join("put/file")).unwrap(), "put");
        assert_eq!(fs::read_to_string(tree.join("tmp/new/file")).unwrap(), "upwards");
        assert_eq!(fs::read_dir(&machine).unwrap().count(), 0);
        assert!(tree.join("absolute").is_symlink());
    }

    #[test]
    fn a_link_that_leads_nowhere_in_the_tree_is_named() {
        let (_dir, [from, tree, machine]) = ground();
        symlink(&machine, tree.join("link")).unwrap();
        fs::create_dir(from.join("link")).unwrap();
        fs::write(from.join("link/file"), "").unwrap();
        let error = format!("{:#}", lay(&from, &tree).unwrap_err());
        assert!(error.contains("from/link` over the tree: "), "{error}");
        assert!(error.contains("the link `link` is no folder in the tree"), "{error}");
        assert_eq!(fs::read_dir(&machine).unwrap().count(), 0);
    }

    #[test]
    fn a_file_takes_the_place_of_a_link_and_not_of_what_it_leads_to() {
        let (_dir, [from, tree, machine]) = ground();
        fs::write(machine.join("file"), "theirs").unwrap();
        symlink(machine.join("file"), tree.join("file")).unwrap();
        fs::write(from.join("file"), "ours").unwrap();
        lay(&from, &tree).unwrap();
        assert_eq!(fs::read_to_string(machine.join("file")).unwrap(), "theirs");
        assert!(!tree.join("file").is_symlink());
    }

    #[test]
    fn what_has_no_form_in_an_image_is_refused() {
        let (_dir, [from, tree, _]) = ground();
        let _socket = std::os::unix::net::UnixListener::bind(from.join("socket")).unwrap();
        let error = format!("{:#}", lay(&from, &tree).unwrap_err());
        assert!(error.contains("neither a file nor a folder"), "{error}");
    }

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
