//! A file system whose server has gone silent, as an NFS server does: whoever looks at a path on it
//! hangs in the kernel until it is back or given up.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// It is mounted, and nobody answers for it. Dropping it gives it up: who hangs gets an error.
#[derive(Debug)]
pub struct Away {
    folder: PathBuf,
    // Where the kernel's questions wait, for us to read them (fuse(4)). We never do.
    _questions: File,
}

impl Away {
    /// Mounts it on a folder that it makes, in the mounts of this thread's own.
    ///
    /// # Panics
    /// It cannot be mounted.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        let questions = File::options().read(true).write(true).open("/dev/fuse");
        let questions = questions.expect("the kernel's FUSE");
        let fd = questions.as_raw_fd();
        let options = format!("fd={fd},rootmode=40000,user_id=0,group_id=0");
        let options = std::ffi::CString::new(options).expect("no zero byte");
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("fuse", folder, "fuse", flags, options.as_c_str()).expect("our own mount");
        Self { folder: folder.to_owned(), _questions: questions }
    }
}

impl Drop for Away {
    fn drop(&mut self) {
        // Who hangs keeps it until the questions are closed, which comes next.
        let _ = unmount(&self.folder, UnmountFlags::DETACH);
    }
}
