//! What can go wrong while a disk is put together, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use basalt_cmd::CmdError;
use basalt_disk::{EspError, EspFilesError};
use basalt_sysroot::partition::LayoutError;

/// Why there is no disk.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The sizes make no disk.
    #[error(
        "the sizes of the disk do not fit together\nhint: change them in the definition's `[disk]`"
    )]
    Layout(#[from] LayoutError),
    /// The file system that the disk is written to is full.
    #[error(
        "no space left for `{}`\nhint: free some space there, or build into another folder with `--out`",
        path.display()
    )]
    NoSpace {
        /// The file that was being written.
        path: PathBuf,
    },
    /// The ESP cannot hold its files.
    #[error(
        "the ESP of {} MiB is too small for its files of {} MiB\nhint: raise `esp` in the definition's `[disk]`",
        esp >> 20, (needed >> 20) + 1
    )]
    EspFull {
        /// Its size in bytes.
        esp: u64,
        /// What its files take, in bytes.
        needed: u64,
    },
    /// The root cannot hold the sysroot.
    #[error(
        "the root of {} MiB is too small for the sysroot `{}`\nhint: raise `root` in the definition's `[disk]`",
        root >> 20, sysroot.display()
    )]
    RootFull {
        /// Its size in bytes.
        root: u64,
        /// What was to go there.
        sysroot: PathBuf,
        /// What mke2fs said.
        #[source]
        source: CmdError,
    },
    /// The disk's file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file that is to go to the disk cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The boot files cannot be found.
    #[error(transparent)]
    EspFiles(#[from] EspFilesError),
    /// The partition table cannot be written.
    #[error("cannot write the partition table of `{}`", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// What the `gpt` library said.
        #[source]
        source: gpt::GptError,
    },
    /// A tool failed for another reason than space.
    #[error("cannot make the root file system")]
    Tool(#[source] CmdError),
    /// A deployment's folder did not become immutable.
    #[error("cannot protect the deployments on the disk: {said}")]
    Protect {
        /// What debugfs said.
        said: String,
    },
}

impl DiskError {
    pub(super) fn write(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if is_full(&source) { Self::NoSpace { path } } else { Self::Write { path, source } }
    }

    pub(super) fn esp(path: &Path, error: EspError) -> Self {
        match error {
            EspError::Disk(source) => Self::write(path, source),
            EspError::Source { path, source } => Self::Read { path, source },
            EspError::Full { esp, needed } => Self::EspFull { esp, needed },
            // Nothing is read back here.
            differs @ EspError::Differs(_) => Self::write(path, io::Error::other(differs)),
        }
    }

    pub(super) fn table(path: &Path, source: gpt::GptError) -> Self {
        match source {
            gpt::GptError::Io(source) => Self::write(path, source),
            source => Self::Table { path: path.to_owned(), source },
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
