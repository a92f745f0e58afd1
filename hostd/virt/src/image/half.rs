//! An image that is not whole, or not verified: under a name that nobody takes for an image.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use basalt_api::workload::VmDisk;

use super::{HALF, PART, file_name};

/// Nobody reads it but who writes it.
const UNFINISHED: u32 = 0o600;

/// It goes when it is dropped, unless it is kept for later.
pub(super) struct Half {
    pub(super) path: PathBuf,
    pub(super) file: File,
    stays: bool,
}

impl Half {
    /// An empty one of its own.
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let (file, path) = tempfile::Builder::new().prefix(HALF).tempfile_in(folder)?.into_parts();
        Ok(Self { path: path.keep().map_err(|error| error.error)?, file, stays: false })
    }

    /// The download of this disk's image, as far as it came. One download of an image is on its way
    /// at a time: they wait for each other in one lane.
    pub(super) fn part(folder: &Path, disk: &VmDisk) -> io::Result<Self> {
        let path = folder.join(format!("{PART}{}", file_name(&disk.sha256, disk.format)));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false).mode(UNFINISHED);
        Ok(Self { file: options.open(&path)?, path, stays: false })
    }

    pub(super) fn length(&self) -> u64 {
        self.file.metadata().map_or(0, |file| file.len())
    }

    /// The file once more, for somebody who goes on writing.
    pub(super) fn at_its_end(&self) -> io::Result<File> {
        let mut file = File::options().read(true).write(true).open(&self.path)?;
        file.seek(SeekFrom::End(0))?;
        Ok(file)
    }

    pub(super) fn empty(&self) -> io::Result<()> {
        self.file.set_len(0)
    }

    /// The next download goes on from it, where there is something to go on from.
    pub(super) fn keep_for_later(&mut self) {
        self.stays = self.length() > 0;
    }

    /// It is whole and verified, and becomes an image.
    pub(super) fn finish(mut self, image: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        basalt_durable::rename(&self.path, image)?;
        self.stays = true;
        Ok(())
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        if !self.stays {
            // What stays behind goes at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}
