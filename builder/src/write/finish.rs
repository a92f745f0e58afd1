//! What comes after the last byte: the system sees the new partitions, and a stick may be pulled
//! out.

use std::fs;
use std::path::Path;
use std::time::Duration;

use basalt_cmd::Cmd;
use serde::Serialize;

use super::target::DiskFacts;

/// For the kernel to read a partition table.
const DEADLINE: Duration = Duration::from_secs(30);

/// How a disk was left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Left {
    /// The system let it go: it may be pulled out.
    Ejected,
    /// It stays, as was asked for, or because it cannot be pulled out.
    Attached,
    /// It stays; why it was not let go.
    NotEjected(String),
}

/// Lets the kernel read the new partition table. Returns why it did not, where it did not: the disk
/// is written all the same.
pub(super) fn read_table_again(disk: &Path) -> Result<(), String> {
    let cmd = Cmd::new("blockdev").arg("--rereadpt").arg(disk).deadline(DEADLINE);
    let path = std::env::var("PATH").unwrap_or_default();
    let run = cmd.env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C").run();
    run.map(|_| ()).map_err(|error| error.to_string())
}

/// Lets a disk go that may be pulled out. Linux does it where a disk has `device/delete`: its cache
/// is flushed, it is spun down, and its name is gone until it is plugged in again.
pub(super) fn eject(facts: &DiskFacts) -> Left {
    let delete = facts.folder.join("device/delete");
    if !facts.is_loose() || !delete.exists() {
        return Left::Attached;
    }
    match fs::write(&delete, "1") {
        Ok(()) => Left::Ejected,
        Err(error) => Left::NotEjected(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::target::Bus;

    fn disk(folder: &Path, bus: Bus) -> DiskFacts {
        DiskFacts {
            name: "sdb".to_owned(),
            partition_of: None,
            size: 0,
            model: None,
            serial: None,
            bus,
            removable: false,
            read_only: false,
            parts: Vec::new(),
            uses: Vec::new(),
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn a_stick_is_let_go_and_a_disk_of_the_machine_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let delete = folder.path().join("device/delete");
        assert_eq!(eject(&disk(folder.path(), Bus::Usb)), Left::Attached);
        fs::create_dir(folder.path().join("device")).unwrap();
        fs::write(&delete, "").unwrap();
        assert_eq!(eject(&disk(folder.path(), Bus::Inside("SATA"))), Left::Attached);
        assert_eq!(fs::read_to_string(&delete).unwrap(), "");
        assert_eq!(eject(&disk(folder.path(), Bus::Usb)), Left::Ejected);
        assert_eq!(fs::read_to_string(&delete).unwrap(), "1");
    }
}
