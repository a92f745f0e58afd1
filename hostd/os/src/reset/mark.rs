//! What is wished, and how far it is: a file on the root, for a reset may take all of `/var`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use basalt_api::os::{RESET_FILE, ResetDepth};
use basalt_deploy::HostSysroot;
use basalt_durable::PRIVATE;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) depth: ResetDepth,
    pub(super) stage: Stage,
    /// When somebody asked.
    pub(super) at: Timestamp,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// Nothing has changed.
    Asked,
    /// Something may have.
    Begun,
    /// The next boot is a first one; what ran before it is still on the disk.
    LaidOut,
}

impl Mark {
    pub(super) fn of(sysroot: &HostSysroot) -> Result<Option<Self>> {
        let path = path(sysroot);
        let bytes = basalt_durable::read(&path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let Some(bytes) = bytes else { return Ok(None) };
        let mark = serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "`{}` is damaged: nobody knows which factory reset was asked for\nhint: ask for it \
                 once more, or remove the file",
                path.display()
            )
        })?;
        Ok(Some(mark))
    }

    pub(super) fn keep(self, sysroot: &HostSysroot) -> Result<()> {
        let path = path(sysroot);
        let doing = || format!("cannot write `{}`", path.display());
        let mut bytes = serde_json::to_vec(&self).with_context(doing)?;
        bytes.push(b'\n');
        basalt_durable::write(&path, &bytes, PRIVATE).with_context(doing)
    }

    pub(super) fn forget(sysroot: &HostSysroot) -> Result<()> {
        let path = path(sysroot);
        basalt_durable::remove(&path).with_context(|| format!("cannot remove `{}`", path.display()))
    }
}

fn path(sysroot: &HostSysroot) -> PathBuf {
    sysroot.ostree().join(RESET_FILE)
}
