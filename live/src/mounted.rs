//! A medium that is mounted to be read, until it is let go.

use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// Where.
const AT: &str = "/run/live/medium";
/// What a medium is made with: a disc's file system, and what a laptop puts on a stick. The journal
/// of an ext4 is left alone: playing it back would write to the medium.
const KINDS: [(&str, &CStr); 3] = [("iso9660", c""), ("vfat", c""), ("ext4", c"noload")];
/// Nothing of it is run.
const FLAGS: MountFlags =
    MountFlags::RDONLY.union(MountFlags::NODEV).union(MountFlags::NOSUID).union(MountFlags::NOEXEC);

/// A medium that is mounted.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts what is on this device.
    ///
    /// # Errors
    /// It holds none of the file systems that a medium has, or cannot be read.
    pub fn read_only(device: &Path) -> Result<Self> {
        let at = PathBuf::from(AT);
        fs::create_dir_all(&at).with_context(|| format!("cannot make `{AT}`"))?;
        for (kind, options) in KINDS {
            match mount(device, &at, kind, FLAGS, options) {
                Ok(()) => return Ok(Self(at)),
                // Another file system, or the kernel knows none of this kind.
                Err(Errno::INVAL | Errno::NODEV) => (),
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("cannot read `{}`", device.display()));
                }
            }
        }
        let kinds = KINDS.map(|(kind, _)| kind).join(", ");
        bail!("`{}` holds none of: {kinds}", device.display())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What is still read goes when it is closed.
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
