//! A disk image on its way to a machine: copied, given ids of its own, something put on its ESP.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use basalt_cmd::Cmd;
use serde::Deserialize;

/// The type of an EFI partition (UEFI 2.10, 5.3.3).
const ESP: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
/// The sectors in which `sfdisk` counts.
const SECTOR: u64 = 512;

/// A partition, as `sfdisk --json` tells of it.
#[derive(Debug, Deserialize)]
pub struct Partition {
    start: u64,
    /// The id of its type, in capitals.
    #[serde(rename = "type")]
    kind: String,
    /// Its id, in capitals.
    pub uuid: String,
}

#[derive(Deserialize)]
struct Printed {
    partitiontable: Table,
}

#[derive(Deserialize)]
struct Table {
    partitions: Vec<Partition>,
}

/// Copies an image with its holes; the disk, its partitions and its root file system get ids of
/// their own, as those of every built disk are. The ESP's volume keeps the one that it has: nothing
/// of ours looks at it.
///
/// # Errors
/// There is no space, or a tool fails.
pub fn copy_with_new_ids(image: &Path, to: &Path) -> Result<()> {
    Cmd::new("cp").arg(image).arg(to).run()?;
    Cmd::new("sgdisk").arg("--randomize-guids").arg(to).run()?;
    let [_, root] = partitions(to)?;
    // It takes options behind a question mark.
    Cmd::new("tune2fs").args(["-U", "random"]).arg(at(to, "?offset=", &root)).run()?;
    Ok(())
}

/// The ESP and the root of a built disk.
///
/// # Errors
/// It has others.
pub fn partitions(disk: &Path) -> Result<[Partition; 2]> {
    let found = all(disk)?;
    let count = found.len();
    found.try_into().ok().with_context(|| format!("{count} partitions"))
}

fn all(disk: &Path) -> Result<Vec<Partition>> {
    let printed = Cmd::new("sfdisk").arg("--json").arg(disk).run()?.stdout_text();
    let Printed { partitiontable } =
        serde_json::from_str(&printed).with_context(|| format!("`sfdisk` said: {printed}"))?;
    Ok(partitiontable.partitions)
}

/// Puts a file onto the ESP.
///
/// # Errors
/// It cannot be written, or a tool fails.
pub fn put_on_esp(disk: &Path, path: &str, text: &str) -> Result<()> {
    let esp = all(disk)?.into_iter().find(|partition| partition.kind == ESP);
    let esp = at(disk, "@@", &esp.context("it has no EFI partition")?);
    let target = format!("::{path}");
    // `-` is its standard input.
    Cmd::new("mcopy").args(["-i", &esp, "-", &target]).stdin(text).run()?;
    let read = Cmd::new("mtype").args(["-i", &esp, &target]).run()?.stdout_text();
    ensure!(read == text.trim_end(), "`{path}` on the ESP says: {read}");
    Ok(())
}

/// A partition within a disk's file, as a tool that takes an offset after `sign` wants it.
fn at(disk: &Path, sign: &str, partition: &Partition) -> String {
    format!("{}{sign}{}", disk.display(), partition.start * SECTOR)
}
