//! File systems in memory.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};

/// What lies here is read and written, and nothing else.
const FLAGS: MountFlags = MountFlags::NODEV.union(MountFlags::NOSUID).union(MountFlags::NOEXEC);

/// Mounts an empty one of at most `size` bytes at `path`; what an earlier try left there goes.
///
/// # Errors
/// It cannot be mounted.
pub fn mount_empty(path: &Path, size: u64, flags: Use) -> Result<()> {
    let doing = || format!("cannot mount a file system in memory at `{}`", path.display());
    fs::create_dir_all(path).with_context(doing)?;
    match unmount(path, UnmountFlags::DETACH) {
        // Nothing is mounted there.
        Ok(()) | Err(Errno::INVAL) => (),
        Err(error) => return Err(error).with_context(doing),
    }
    let flags = if flags == Use::Data { FLAGS } else { MountFlags::empty() };
    let options = std::ffi::CString::new(format!("size={size},mode=0755")).with_context(doing)?;
    mount("tmpfs", path, "tmpfs", flags, options.as_c_str()).with_context(doing)
}

/// What a file system in memory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// Programs are run from what is in it.
    Root,
    /// Nothing is run from it.
    Data,
}

/// From now on nothing at `path` changes any more.
///
/// # Errors
/// Somebody writes there.
pub fn protect(path: &Path) -> Result<()> {
    mount_remount(path, FLAGS | MountFlags::RDONLY, "")
        .with_context(|| format!("cannot protect `{}`", path.display()))
}
