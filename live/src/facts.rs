//! What this boot goes by: its kernel arguments, and the rootfs that the initrd names.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_live::{Asked, Rootfs};

/// Kernel arguments at most; the kernel itself takes 4096.
const CMDLINE: &str = "/proc/cmdline";

/// What was asked for on the kernel command line.
///
/// # Errors
/// It asks for no live system.
pub fn asked() -> Result<Asked> {
    let line = fs::read_to_string(CMDLINE).with_context(|| format!("cannot read `{CMDLINE}`"))?;
    Ok(Asked::parse(&line)?)
}

/// The rootfs that this initrd belongs to.
///
/// # Errors
/// The initrd names none.
pub fn rootfs() -> Result<Rootfs> {
    let path = Path::new("/").join(Rootfs::PATH);
    let doing = || format!("cannot read which rootfs this initrd belongs to, `{}`", path.display());
    let bytes = fs::read(&path).with_context(doing)?;
    Rootfs::parse(&bytes).with_context(doing)
}

/// The machine's memory in bytes.
///
/// # Errors
/// The kernel does not say.
pub fn memory() -> Result<u64> {
    let text = fs::read_to_string("/proc/meminfo").context("cannot read `/proc/meminfo`")?;
    basalt_live::room::memory(&text)
        .context("`/proc/meminfo` does not say how much memory there is")
}
