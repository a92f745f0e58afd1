//! Volumes by their labels, mounted to be read, for nobody but the installer.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::execute::tool;

/// Where the volume of the kickstart is while it is carried out: where Anaconda has it, too.
const AT: &str = "/run/install/repo";

/// The device of a volume, by `LABEL=…`, `UUID=…` or itself; none where there is none.
pub(super) fn device(volume: &str) -> Result<Option<PathBuf>> {
    if volume.starts_with("/dev/") {
        return Ok(Some(PathBuf::from(volume)).filter(|path| path.exists()));
    }
    // Not from its cache: a stick may have come a moment ago.
    let blkid = tool("blkid").args(["-c", "/dev/null", "-o", "device", "-t", volume]);
    let output = blkid.output()?;
    // It ends with 2 where there is none.
    if !output.status.success() && output.status.code() != Some(2) {
        bail!("cannot look for the volume `{volume}`: {}", String::from_utf8_lossy(&output.stderr));
    }
    let text = output.stdout_text();
    let found: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    match found[..] {
        [] => Ok(None),
        [one] => Ok(Some(one.into())),
        _ => bail!("several volumes are called `{volume}`: {}", found.join(", ")),
    }
}

/// Mounts one to be read.
pub(super) fn mount(device: &Path) -> Result<PathBuf> {
    let doing = || format!("cannot read the volume `{}`", device.display());
    fs::create_dir_all(AT).with_context(doing)?;
    tool("mount").args(["-o", "ro"]).arg(device).arg(AT).run().with_context(doing)?;
    Ok(AT.into())
}
