//! Where an image goes: a disk or a file, which is opened once, for nobody else, and kept so.

mod refuse;

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_sysroot::partition::SectorSize;
use rustix::fs::{FlockOperation, OFlags, flock, ioctl_blksszget, major, minor};
use rustix::io::Errno;

pub use basalt_disk::{Bus, DiskFacts, Part, System, Use};
pub use refuse::{Refusal, refuse};

/// What an image is written to.
pub struct Target {
    /// As it was typed.
    pub path: PathBuf,
    /// Open for reading and writing, and locked.
    pub file: File,
    /// Which kind it is.
    pub kind: Kind,
}

/// The kinds of targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A disk of this machine.
    Disk {
        /// What is known of it.
        facts: Box<DiskFacts>,
        /// Its size in bytes.
        size: u64,
        /// What it addresses.
        sector: SectorSize,
    },
    /// A file, which becomes as long as the image.
    File,
}

/// What was typed of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// `--to`.
    pub to: PathBuf,
    /// `--fixed`.
    pub fixed: Option<PathBuf>,
}

/// Whether there is a disk at a path.
#[must_use]
pub fn is_disk(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.file_type().is_block_device())
}

impl Target {
    /// Opens the target. Nothing of it is changed, but that a file is made where none is.
    ///
    /// # Errors
    /// It must not be written, somebody else uses it, or it is neither a disk nor a file.
    pub fn open(asked: &Asked, system: &System) -> Result<Self> {
        let path = &asked.to;
        let doing = || format!("cannot write to `{}`", path.display());
        match path.metadata() {
            Ok(found) if found.file_type().is_block_device() => {
                Self::open_disk(asked, system, found.rdev()).with_context(doing)
            }
            Ok(found) if !found.is_file() => bail!("{}: it is neither a disk nor a file", doing()),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).with_context(doing),
            Err(_) if path.starts_with("/dev") => {
                bail!("{}: there is no such disk\nhint: `lsblk` lists them", doing())
            }
            _ => Self::open_file(asked).with_context(doing),
        }
    }

    fn open_disk(asked: &Asked, system: &System, number: u64) -> Result<Self> {
        let facts = system.disk((major(number), minor(number)))?;
        if let Some(refusal) = refuse(&facts, asked) {
            bail!(refusal);
        }
        // The kernel lets nobody open a disk so while anything of it is mounted or held.
        let exclusive = OFlags::EXCL.bits() as i32;
        let mut options = OpenOptions::new();
        options.read(true).write(true).custom_flags(exclusive);
        let mut file = options.open(&asked.to).map_err(explain_open)?;
        lock(&file)?;
        if file.metadata()?.rdev() != number {
            bail!("it became another disk meanwhile");
        }
        let size = file.seek(SeekFrom::End(0))?;
        let sector = match ioctl_blksszget(&file)? {
            512 => SectorSize::B512,
            4096 => SectorSize::B4096,
            other => bail!("its sectors have {other} bytes, and no image is made for that"),
        };
        let kind = Kind::Disk { facts: Box::new(facts), size, sector };
        Ok(Self { path: asked.to.clone(), file, kind })
    }

    fn open_file(asked: &Asked) -> Result<Self> {
        if asked.fixed.is_some() {
            bail!("`--fixed` goes with a disk, and it is none");
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&asked.to)?;
        lock(&file)?;
        Ok(Self { path: asked.to.clone(), file, kind: Kind::File })
    }

    /// How people call it.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.kind {
            Kind::Disk { facts, .. } => facts.name.clone(),
            Kind::File => self.path.display().to_string(),
        }
    }
}

/// Nobody else who asks writes to it at the same time; udev, too, leaves a locked disk alone.
fn lock(file: &File) -> Result<()> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => bail!("somebody else is writing to it"),
        Err(error) => Err(error).context("it cannot be locked"),
    }
}

fn explain_open(error: io::Error) -> anyhow::Error {
    let text = match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::BUSY) => "it is in use\nhint: unmount what is on it, and close what holds it",
        Some(Errno::ACCESS | Errno::PERM) => "only root may write to it\nhint: use `sudo`",
        Some(Errno::ROFS) => "it is write-protected",
        Some(Errno::NOMEDIUM) => "there is no medium in it",
        _ => return error.into(),
    };
    anyhow::Error::from(error).context(text)
}
