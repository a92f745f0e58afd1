//! What udev knows of the machine's disks and partitions.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One file for each device; those of disks and partitions begin with `b`.
const DATA: &str = "/run/udev/data";

/// The disks and partitions of which udev says `key=value`, by their paths in `/dev`.
///
/// # Errors
/// What udev knows cannot be read.
pub fn devices(key: &str, value: &str) -> Result<Vec<PathBuf>> {
    let doing = || format!("cannot read `{DATA}`");
    let mut found = Vec::new();
    for entry in fs::read_dir(DATA).with_context(doing)? {
        let entry = entry.with_context(doing)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(number) = name.strip_prefix('b') else { continue };
        // One that goes meanwhile is none.
        let Ok(record) = fs::read_to_string(entry.path()) else { continue };
        if says(&record, key, value) {
            found.push(device(number));
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a record of udev says so.
fn says(record: &str, key: &str, value: &str) -> bool {
    let properties = record.lines().filter_map(|line| line.strip_prefix("E:")?.split_once('='));
    properties.into_iter().find(|(name, _)| *name == key).is_some_and(|(_, it)| it == value)
}

/// The path of the device with this number, as `8:1`.
fn device(number: &str) -> PathBuf {
    let path = Path::new("/sys/dev/block").join(number).join("uevent");
    let uevent = fs::read_to_string(path).unwrap_or_default();
    let name = uevent.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    Path::new("/dev").join(name.unwrap_or(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_told_by_a_whole_value() {
        let check = |record: &str| says(record, "ID_PART_ENTRY_NAME", "basalt-var");
        assert!(check("S:disk/by-x\nE:ID_PART_ENTRY_NAME=basalt-var\nE:ID_FS_TYPE=ext4\n"));
        assert!(!check("E:ID_PART_ENTRY_NAME=basalt-var2\n") && !check(""));
        assert!(!check("E:ID_FS_LABEL=basalt-var\n") && !check("ID_PART_ENTRY_NAME=basalt-var"));
    }

    #[test]
    fn fuzz_record_of_udev() {
        let seeds = ["E:ID_PART_ENTRY_NAME=basalt-var\n"];
        basalt_fuzz::run_on_text!(&seeds, |text| says(text, "ID_PART_ENTRY_NAME", "basalt-var"));
    }
}
