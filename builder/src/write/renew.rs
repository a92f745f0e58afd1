//! Makes a disk its own: new ids, its partition table as large as it is, and what its host is told.
//!
//! All of it is done in memory, on [`Edits`](super::edits::Edits); whoever calls saves them. The
//! host finds its root by the partition that the loader came from, so no file on the disk names an
//! id that changes.

mod ext4;
mod fat;

use std::fmt::Debug;
use std::io::{Read, Seek, Write};

use anyhow::{Context, Result};
use basalt_disk::{add_file, block_size, write_protective_mbr};
use basalt_sysroot::partition::{ESP_TYPE, SectorSize};
use fscommon::StreamSlice;
use gpt::GptConfig;
use gpt::partition::Partition;
use uuid::Uuid;

/// Where a host looks for what it is told.
const HOST_TOML: &str = "basalt/host.toml";

/// A disk, as it is to become.
pub(super) trait Volume: Read + Write + Seek + Debug {}

impl<T: Read + Write + Seek + Debug> Volume for T {}

/// What became of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Renewed {
    /// The new id of the partition table.
    pub(super) disk: Uuid,
    /// File systems that keep their ids, each with the reason.
    pub(super) kept: Vec<String>,
}

/// Gives the disk of `size` bytes, its partitions and their file systems new ids, and puts its
/// backup table at its end. `host_toml` goes to the ESP.
///
/// # Errors
/// What is on the disk is not what it was when it was an image, or the disk cannot be read.
pub(super) fn renew(
    mut disk: &mut dyn Volume,
    size: u64,
    sector: SectorSize,
    host_toml: Option<&str>,
) -> Result<Renewed> {
    let sectors = size / sector.bytes();
    write_protective_mbr(&mut disk, sectors).context("cannot renew the partition table")?;
    let (id, partitions) = renew_table(disk, sector).context("cannot renew the partition table")?;
    let mut renewed = Renewed { disk: id, kept: Vec::new() };
    for partition in partitions {
        let name = &partition.name;
        let start = partition.first_lba * sector.bytes();
        let end = (partition.last_lba + 1) * sector.bytes();
        let mut volume = StreamSlice::new(&mut disk, start, end)?;
        let kept = ext4::renew(&mut volume, Uuid::new_v4())
            .with_context(|| format!("cannot renew the file system `{name}`"))?;
        renewed.kept.extend(kept.map(|why| format!("`{name}`: {why}")));
        if partition.part_type_guid.guid != ESP_TYPE {
            continue;
        }
        let (serial, ..) = Uuid::new_v4().as_fields();
        fat::renew(&mut volume, serial)
            .with_context(|| format!("cannot renew the file system `{name}`"))?;
        if let Some(text) = host_toml {
            add_file(&mut volume, HOST_TOML, text)
                .with_context(|| format!("cannot write `/{HOST_TOML}` to the ESP"))?;
        }
    }
    Ok(renewed)
}

/// Writes the table anew, with its backup where the disk ends.
fn renew_table(disk: &mut dyn Volume, sector: SectorSize) -> Result<(Uuid, Vec<Partition>)> {
    let config = GptConfig::new().writable(true).logical_block_size(block_size(sector));
    let mut table = config.open_from_device(disk)?;
    table.update_guid(None);
    let mut partitions = table.take_partitions();
    for partition in partitions.values_mut() {
        partition.part_guid = Uuid::new_v4();
    }
    table.update_partitions(partitions)?;
    table.write_inplace()?;
    Ok((*table.guid(), table.partitions().values().cloned().collect()))
}
