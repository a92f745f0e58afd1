//! The disk in QEMU's own form: compressed, and no larger than what is on it.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use crate::manifest::Part;

/// Its name in the output folder.
const FILE: &str = "disk.qcow2";
/// Compressing a whole disk on a slow machine.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// Makes it in `folder` from the raw disk `from`.
///
/// # Errors
/// `qemu-img` is missing or fails, or there is no space.
pub fn make(from: &Path, folder: &Path) -> Result<Part> {
    let path = folder.join(FILE);
    Cmd::new("qemu-img")
        .args(["convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd"])
        .arg(from)
        .arg(&path)
        .deadline(DEADLINE)
        .run()
        .context("cannot make the disk as qcow2\nhint: it takes the package `qemu-utils`")?;
    let file = File::open(&path).and_then(|file| file.sync_all());
    file.with_context(|| format!("cannot write `{}`", path.display()))?;
    Part::of(folder, FILE)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn it_holds_what_the_raw_disk_does_and_is_not_larger_than_that() {
        let dir = tempfile::tempdir().unwrap();
        let raw = dir.path().join("disk.raw");
        let file = File::create(&raw).unwrap();
        file.set_len(64 << 20).unwrap();
        file.write_all_at(b"in the middle", 32 << 20).unwrap();
        let part = make(&raw, dir.path()).unwrap();
        assert!(part.size < 2 << 20, "{}", part.size);
        assert_eq!(fs::metadata(dir.path().join(&part.file)).unwrap().len(), part.size);
        let same = Cmd::new("qemu-img").arg("compare").arg(&raw).arg(dir.path().join(FILE));
        same.run().unwrap();
    }
}
