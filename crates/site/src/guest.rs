//! A small guest that boots in seconds, by UEFI and by a BIOS: Debian's cloud kernel, two loaders
//! and a busybox that does what is written in [`initrd`]. Made once and kept.

mod initrd;

use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};
use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use crate::image::hash;

/// What it says on its console when it is up.
pub const UP: &str = "guest is up";

const LOADER: &str = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const DOWNLOAD: Duration = Duration::from_secs(300);
/// Bytes of the disk.
const DISK: usize = 40 << 20;
/// What systemd-boot does with it, and what SYSLINUX does where there is only a BIOS.
const ENTRY: &str = "title guest\nlinux /vmlinuz\ninitrd /initrd\n\
                     options console=ttyS0 quiet panic=-1\n";
const BIOS_ENTRY: &str = "default guest\nlabel guest\nlinux vmlinuz\ninitrd initrd\n\
                          append console=ttyS0 quiet panic=-1\n";

/// The raw image of its disk, made in the folder `cache` unless it is there. Whoever else wants it
/// meanwhile waits.
///
/// # Errors
/// The kernel cannot be downloaded, or something cannot be read or written.
pub fn disk(cache: &Path) -> Result<PathBuf> {
    let cannot = || format!("cannot write in `{}`", cache.display());
    fs::create_dir_all(cache).with_context(cannot)?;
    let lock = File::create(cache.join("lock")).with_context(cannot)?;
    flock(&lock, FlockOperation::LockExclusive).with_context(cannot)?;
    let kernel = kernel_package()?;
    let recipe = format!("{kernel}{}{ENTRY}{BIOS_ENTRY}{DISK}", initrd::recipe());
    let path = cache.join(format!("{:.16}.raw", hash(recipe.as_bytes())));
    if !path.is_file() {
        let tree = unpack(cache, &kernel)?;
        let new = path.with_extension("new");
        let bytes = compose(tree.path()).context("cannot make the guest's disk")?;
        fs::write(&new, bytes).with_context(cannot)?;
        Cmd::new("syslinux").arg("--install").arg(&new).run()?;
        fs::rename(&new, &path).with_context(cannot)?;
    }
    Ok(path)
}

/// The name of Debian's present kernel for clouds.
fn kernel_package() -> Result<String> {
    let cmd = Cmd::new("apt-cache").args(["depends", "--important", "linux-image-cloud-amd64"]);
    let text = cmd.env("LC_ALL", "C.UTF-8").run()?.stdout_text();
    let name = text.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    let name = name.context("apt knows no kernel for clouds\nhint: `apt-get update`")?;
    Ok(name.to_owned())
}

/// The package's files, downloaded once.
fn unpack(cache: &Path, kernel: &str) -> Result<TempDir> {
    let deb = match downloaded(cache, kernel)? {
        Some(deb) => deb,
        None => {
            let cmd = Cmd::new("apt-get").args(["download", kernel]).current_dir(cache);
            cmd.deadline(DOWNLOAD).run()?;
            downloaded(cache, kernel)?.with_context(|| format!("apt-get brought no `{kernel}`"))?
        }
    };
    let tree = tempfile::tempdir().context("cannot make a folder")?;
    Cmd::new("dpkg-deb").arg("-x").args([&deb, tree.path()]).run()?;
    Ok(tree)
}

fn downloaded(cache: &Path, kernel: &str) -> Result<Option<PathBuf>> {
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&format!("{kernel}_")) && name.ends_with(".deb")
    };
    Ok(files(cache)?.into_iter().find(is_it))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read `{}`", folder.display());
    let entries = fs::read_dir(folder).with_context(cannot)?;
    entries.map(|entry| Ok(entry.with_context(cannot)?.path())).collect()
}

/// The whole disk as one FAT, which UEFI boots from as it does from a stick.
fn compose(tree: &Path) -> Result<Vec<u8>> {
    let is_kernel = |path: &PathBuf| path.to_string_lossy().contains("/vmlinuz-");
    let kernel = files(&tree.join("boot"))?.into_iter().find(is_kernel);
    let kernel = kernel.context("the package has no kernel")?;
    let loader = fs::read(LOADER).with_context(|| {
        format!("cannot read `{LOADER}`\nhint: install the package `systemd-boot-efi`")
    })?;
    let mut disk = Cursor::new(vec![0; DISK]);
    fatfs::format_volume(&mut disk, FormatVolumeOptions::new())?;
    {
        let fat = FileSystem::new(&mut disk, FsOptions::new())?;
        let put = |path: &str, bytes: &[u8]| -> Result<()> {
            for (at, _) in path.match_indices('/') {
                fat.root_dir().create_dir(&path[..at])?;
            }
            Ok(fat.root_dir().create_file(path)?.write_all(bytes)?)
        };
        put("EFI/BOOT/BOOTX64.EFI", &loader)?;
        put("loader/loader.conf", b"timeout 0\n")?;
        put("loader/entries/guest.conf", ENTRY.as_bytes())?;
        put("syslinux.cfg", BIOS_ENTRY.as_bytes())?;
        put("vmlinuz", &fs::read(kernel)?)?;
        put("initrd", &initrd::initrd(tree)?)?;
    }
    Ok(disk.into_inner())
}
