//! `/var`, of which a reset takes the host's own or everything.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

/// What is the host's own, and not its workloads': identity, ledger and secrets; what it knows of
/// releases, and its kernel arguments; the configuration that came on the ESP; who may log in.
/// Each comes back by itself, as on a fresh disk.
pub(super) const SETTINGS: [&str; 4] = ["lib/hostd", "lib/hostd-os", "lib/basalt", "roothome"];
/// Where it is put at once, and then removed from piece by piece.
const TRASH: &str = ".factory-reset";

/// A new file system on a disk of many terabytes, which is told that nothing of it is used.
const FORMAT: Duration = Duration::from_secs(3600);
const MOUNT: Duration = Duration::from_secs(300);

/// Its partition, which nobody uses yet.
pub(crate) trait Var {
    /// Takes the host's own away. May be cut anywhere and repeated.
    ///
    /// # Errors
    /// The disk fails, or holds no file system that can be read.
    fn drop_settings(&self) -> Result<()>;

    /// Takes everything away. May be cut anywhere and repeated.
    ///
    /// # Errors
    /// The disk fails.
    fn drop_all(&self) -> Result<()>;
}

/// That of the running host.
pub(crate) struct Partition {
    /// The device; none where the first boot has not made it.
    pub(crate) device: PathBuf,
    /// Where it may be mounted for us alone.
    pub(crate) place: PathBuf,
}

impl Var for Partition {
    fn drop_settings(&self) -> Result<()> {
        if !self.device.exists() {
            return Ok(());
        }
        fs::create_dir_all(&self.place)
            .with_context(|| format!("cannot make `{}`", self.place.display()))?;
        let options = ["-t", "ext4", "-o", "nodev,nosuid,noexec"];
        let mount = Cmd::new("mount").args(options).arg(&self.device).arg(&self.place);
        mount
            .deadline(MOUNT)
            .run()
            .context("cannot look into /var\nhint: the reset of the loader's menu makes it anew, if you want")?;
        let dropped = drop_settings(&self.place);
        // Unmounted, it is on the disk.
        Cmd::new("umount").arg(&self.place).deadline(MOUNT).run()?;
        dropped
    }

    /// As systemd-repart makes it on a first boot. What was there is lost at once: without its file
    /// system nothing finds it, and a disk that can is told to forget it.
    fn drop_all(&self) -> Result<()> {
        if !self.device.exists() {
            return Ok(());
        }
        let options = ["-q", "-F", "-L", "var", "-I", "256", "-m", "0", "-b", "4096"];
        let more = ["-E", "discard,lazy_itable_init=1"];
        let make = Cmd::new("mkfs.ext4").args(options).args(more).arg(&self.device);
        make.deadline(FORMAT).run()?;
        Ok(())
    }
}

/// Takes the host's own out of the folder `var`. Each goes by one rename: whoever looks after a cut
/// finds all of it or nothing.
pub(super) fn drop_settings(var: &Path) -> Result<()> {
    let trash = var.join(TRASH);
    remove(&trash)?;
    let doing = || format!("cannot use `{}`", trash.display());
    fs::create_dir(&trash).with_context(doing)?;
    for (number, path) in (0..).zip(SETTINGS) {
        let path = var.join(path);
        match basalt_durable::rename(&path, &trash.join(format!("{number}"))) {
            Err(error) if error.kind() == ErrorKind::NotFound => (),
            moved => moved.with_context(|| format!("cannot take away `{}`", path.display()))?,
        }
        if let Some(folder) = path.parent().filter(|folder| folder.is_dir()) {
            basalt_durable::sync_folder(folder).with_context(doing)?;
        }
    }
    remove(&trash)
}

fn remove(trash: &Path) -> Result<()> {
    let removed = match fs::remove_dir_all(trash) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    removed
        .and_then(|()| basalt_durable::sync_folder(trash.parent().unwrap_or(trash)))
        .with_context(|| format!("cannot remove `{}`", trash.display()))
}

/// Whether somebody would find a file system there.
#[cfg(test)]
pub(super) fn is_ext4(device: &Path) -> std::io::Result<bool> {
    let bytes = fs::read(device)?;
    // The magic number of its superblock.
    Ok(bytes.get(0x438..0x43a) == Some(&[0x53, 0xef]))
}
