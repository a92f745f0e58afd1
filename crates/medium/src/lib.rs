//! A medium that somebody brings to a machine, mounted to be read: nothing is written to it.

use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// What a medium is made with: a disc's file system, and what people put on sticks. A journal is
/// left alone: playing it back would write to the medium.
const KINDS: [(&str, &CStr); 6] = [
    ("iso9660", c""),
    ("udf", c""),
    ("vfat", c""),
    ("exfat", c""),
    ("ext4", c"noload"),
    ("xfs", c"norecovery"),
];
/// Silent, as most of these kinds are the wrong one. A kickstart may run what lies beside it.
const FLAGS: MountFlags =
    MountFlags::RDONLY.union(MountFlags::NODEV).union(MountFlags::NOSUID).union(MountFlags::SILENT);

/// A medium that is mounted, until this is dropped.
#[derive(Debug)]
pub struct Medium(PathBuf);

impl Medium {
    /// Mounts what is on this device in a folder, which is made if need be.
    ///
    /// # Errors
    /// It holds none of the file systems that a medium has, or cannot be read.
    pub fn mount(device: &Path, at: &Path) -> Result<Self> {
        fs::create_dir_all(at).with_context(|| format!("cannot make `{}`", at.display()))?;
        let doing = || format!("cannot read `{}`", device.display());
        let mut busy = Ok(());
        for (kind, options) in KINDS {
            match mount(device, at, kind, FLAGS, options) {
                Ok(()) => return Ok(Self(at.to_owned())),
                // Another file system, or the kernel knows none of this kind.
                Err(Errno::INVAL | Errno::NODEV) => (),
                // It is mounted as another kind, or to be written.
                Err(error @ Errno::BUSY) => busy = Err(error),
                Err(error) => return Err(error).with_context(doing),
            }
        }
        busy.with_context(doing)?;
        let kinds = KINDS.map(|(kind, _)| kind).join(", ");
        bail!("`{}` holds none of: {kinds}", device.display())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Leaves it mounted when this is dropped, for programs that come later. Returns where.
    #[must_use]
    pub fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            // What is still read goes when it is closed.
            let _ = unmount(&self.0, UnmountFlags::DETACH);
        }
    }
}
