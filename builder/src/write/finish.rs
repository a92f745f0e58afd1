//! What comes after the last byte: the system sees the new partitions, and a stick may be pulled
//! out.

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

/// Lets a disk go that may be pulled out.
pub(super) fn eject(facts: &DiskFacts) -> Left {
    match basalt_disk::let_go(facts) {
        Ok(true) => Left::Ejected,
        Ok(false) => Left::Attached,
        Err(error) => Left::NotEjected(error.to_string()),
    }
}
