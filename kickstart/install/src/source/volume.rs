//! Volumes by their labels, mounted to be read, for nobody but the installer.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use basalt_medium::Medium;
use rustix::mount::{UnmountFlags, unmount};

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

/// Mounts one to be read. Nobody else reads from it unless it is kept.
pub(super) fn mount(device: &Path) -> Result<Medium> {
    Medium::mount(device, Path::new(AT))
}

/// Unmounts the volume of the kickstart: nothing reads from it any more.
pub(super) fn leave() {
    // There may be none.
    let _ = unmount(AT, UnmountFlags::DETACH);
}
