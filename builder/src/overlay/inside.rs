//! Paths of a tree, resolved as on a host whose root it is.
//!
//! The kernel does it: links, absolute ones and `..` among them, never lead out of the tree. So an
//! overlay with `usr/lib/ssl/certs/x.pem`, built as root, cannot land in this machine's `/etc`.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, chmodat, mkdirat, open, openat2, statat};
use rustix::io::Errno;

/// Mode of the folders that are made.
const FOLDER: u32 = 0o755;
/// Times that a path is looked up while something else on this machine renames or mounts, which
/// makes the kernel give up rather than guess.
const TRIES: u32 = 100;

/// The root of a tree.
pub(super) struct Tree {
    root: OwnedFd,
}

impl Tree {
    /// Opens the tree at `path`.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: open(path, flags, Mode::empty())? })
    }

    /// The folder at `path`, made with those above it where there is none.
    pub(super) fn folder(&self, path: &Path) -> io::Result<OwnedFd> {
        match self.look_up(path) {
            Err(Errno::NOENT) => (),
            result => return Ok(result?),
        }
        let (above, name) = self.place(path)?;
        if statat(&above, name, AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            let text = format!("the link `{}` is no folder in the tree", path.display());
            return Err(io::Error::other(text));
        }
        mkdirat(&above, name, Mode::from(FOLDER))?;
        // Without what the umask takes away: a commit must not depend on it.
        chmodat(&above, name, Mode::from(FOLDER), AtFlags::empty())?;
        Ok(self.look_up(path)?)
    }

    /// The folder that `path` lies in, made where there is none, and its name there.
    pub(super) fn place<'p>(&self, path: &'p Path) -> io::Result<(OwnedFd, &'p OsStr)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        Ok((self.folder(path.parent().unwrap_or(Path::new("")))?, name))
    }

    fn look_up(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let look_up = || openat2(&self.root, path, flags, Mode::empty(), resolve);
        let mut found = (1..TRIES).map(|_| look_up());
        found.find(|found| !matches!(found, Err(Errno::AGAIN))).unwrap_or_else(look_up)
    }
}
