//! Packs a sysroot into a SquashFS: the same one from the same sysroot, whenever it is packed.

use std::fs::{self, File};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use crate::cache::remove_tree;

/// Compressing 800 MB takes a minute and a half of a busy core.
const DEADLINE: Duration = Duration::from_secs(30 * 60);
/// What one access reads: larger ones pack better, and cost memory where a live system has least.
const BLOCK: &str = "256K";
/// Of zstd's levels the one behind which little is gained.
const LEVEL: &str = "15";
/// Where libostree keeps what it is fetching, under names of the day.
const UNDER_WAY: &str = "ostree/repo/tmp";

/// Packs what is in `sysroot` into the file `to`; every time in it is `time`, in seconds since 1970.
///
/// # Errors
/// `mksquashfs` is missing or fails, or there is no space.
pub(super) fn pack(sysroot: &Path, to: &Path, time: u64) -> Result<()> {
    clear(&sysroot.join(UNDER_WAY))?;
    let time = time.to_string();
    Cmd::new("mksquashfs")
        .arg(sysroot)
        .arg(to)
        .args(["-noappend", "-no-progress", "-quiet", "-no-recovery", "-no-exports", "-xattrs"])
        .args(["-comp", "zstd", "-Xcompression-level", LEVEL, "-b", BLOCK])
        .args(["-reproducible", "-mkfs-time", &time, "-all-time", &time, "-root-mode", "755"])
        .deadline(DEADLINE)
        .run()
        .context("cannot pack the live root\nhint: it takes the package `squashfs-tools`")?;
    let synced = File::open(to).and_then(|file| file.sync_all());
    synced.with_context(|| format!("cannot write `{}`", to.display()))
}

fn clear(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        remove_tree(folder)?;
        fs::create_dir(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysroot with files of several names, one of them twice and one with a time of its own.
    fn ground(order: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(UNDER_WAY)).unwrap();
        for name in order {
            fs::write(dir.path().join(name), name.repeat(1000)).unwrap();
        }
        fs::hard_link(dir.path().join("a"), dir.path().join("linked")).unwrap();
        dir
    }

    #[test]
    fn the_same_sysroot_gives_the_same_bytes_whatever_the_day_and_the_order() {
        let out = tempfile::tempdir().unwrap();
        let (one, two) = (ground(&["a", "b", "c"]), ground(&["c", "a", "b"]));
        let staging = two.path().join(UNDER_WAY).join("staging-of-the-day");
        fs::create_dir(staging).unwrap();
        File::open(two.path().join("b"))
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH + Duration::from_secs(7))
            .unwrap();
        let packed = |sysroot: &tempfile::TempDir, name: &str| {
            let to = out.path().join(name);
            pack(sysroot.path(), &to, 1_700_000_000).unwrap();
            fs::read(to).unwrap()
        };
        let first = packed(&one, "first");
        assert!(first == packed(&two, "second"), "they differ");
        fs::write(two.path().join("b"), "other").unwrap();
        assert!(first != packed(&two, "third"), "they are equal");
    }
}
