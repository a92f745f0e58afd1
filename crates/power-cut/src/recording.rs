//! A recorded update: the disk before it, and the log of what was written.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Problem, doing};

/// The file that describes a recording, in its folder.
const FILE: &str = "recording.json";

/// What was recorded; its files lie in one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// The disk as it was before the first write of the log, raw.
    pub base: PathBuf,
    /// What was written, in the format of Linux's `dm-log-writes`.
    pub log: PathBuf,
    /// Where the update begins, in sectors of the log.
    pub begin: u64,
    /// Where it was told to be done.
    pub end: u64,
    /// Where nothing more is looked at.
    pub last: u64,
    /// What ran.
    pub from: Release,
    /// What was installed.
    pub to: Release,
}

/// A release, by what it says that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its version.
    pub version: String,
    /// Its commit.
    pub commit: String,
}

impl Recording {
    /// The one in `folder`, with full paths; none where nothing was recorded.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn read(folder: &Path) -> Result<Option<Self>, Problem> {
        let path = folder.join(FILE);
        if !path.exists() {
            return Ok(None);
        }
        let bytes = fs::read(&path).map_err(doing("read", &path))?;
        let it: Self = serde_json::from_slice(&bytes)
            .map_err(|error| doing("understand", &path)(error.into()))?;
        Ok(Some(Self { base: folder.join(&it.base), log: folder.join(&it.log), ..it }))
    }

    /// Writes it down in `folder`, beside its files.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Problem> {
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| doing("write", &path)(error.into()))?;
        fs::write(&path, text + "\n").map_err(doing("write", &path))
    }
}
