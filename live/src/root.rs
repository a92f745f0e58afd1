//! Brings the rootfs into memory, where systemd mounts it from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_live::{Room, Rootfs};

use crate::console::say;
use crate::memory::{self, Use};
use crate::{facts, fetch};

/// Where everything of it lies; it moves into the real root with all of `/run`.
const FOLDER: &str = "/run/live";
/// The rootfs as it was fetched. The mount unit names it.
const FILE: &str = "rootfs.squashfs";
/// Folders of what is written over it: the mount unit of the root names them.
const OVERLAY: [&str; 2] = ["upper", "work"];

/// Fetches the rootfs that the initrd names, and makes room for what is written over it. May be
/// called again after it failed.
///
/// # Errors
/// The kernel arguments ask for no live system, there is too little memory, there is no network,
/// or nobody gives the rootfs.
pub fn bring() -> Result<()> {
    let (asked, rootfs) = (facts::asked()?, facts::rootfs()?);
    let Rootfs { name, version, size, .. } = &rootfs;
    let room = Room::plan(facts::memory()?, *size, asked.overlay)?;
    say(&format!("live system {name} {version}, for `{}`", asked.mode.word()));
    let image = Path::new(FOLDER).join("image");
    memory::mount_empty(&image, room.image, Use::Data)?;
    fetch::fetch(&asked.rootfs, &rootfs, &image.join(FILE))?;
    memory::protect(&image)?;
    say("the rootfs is whole, and the one that this initrd names");
    make_overlay(&Path::new(FOLDER).join("over"), room.overlay)
}

fn make_overlay(folder: &Path, size: u64) -> Result<()> {
    memory::mount_empty(folder, size, Use::Root)?;
    for path in OVERLAY.map(|name| folder.join(name)) {
        make(&path)?;
    }
    make(&PathBuf::from(FOLDER).join("lower"))
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))
}
