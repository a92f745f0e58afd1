//! The partition table: a protective MBR, a GPT at the beginning and its backup at the end.

use std::fmt::Debug;
use std::fs::File;
use std::io::{Read, Seek, Write};

use basalt_sysroot::partition::{
    ESP_NAME, ESP_NUMBER, ESP_TYPE, Extent, Layout, ROOT_NAME, ROOT_NUMBER, ROOT_X86_64_TYPE,
    SectorSize,
};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{OperatingSystem, Type};
use gpt::{GptConfig, GptError};
use uuid::Uuid;

use super::DiskIds;

/// Writes the table of `layout` into `file`, which has the disk's length.
pub(crate) fn write(file: &File, layout: &Layout, ids: &DiskIds) -> Result<(), GptError> {
    write_protective_mbr(&mut { file }, layout.disk / layout.sector.bytes())?;
    let config = GptConfig::new().writable(true).logical_block_size(block_size(layout.sector));
    let mut table = config.create_from_device(file, Some(ids.disk))?;
    let esp = partition(layout.esp, layout.sector, ESP_TYPE, ids.esp_partition, ESP_NAME);
    let root =
        partition(layout.root, layout.sector, ROOT_X86_64_TYPE, ids.root_partition, ROOT_NAME);
    table.update_partitions([(ESP_NUMBER, esp), (ROOT_NUMBER, root)].into())?;
    table.write_inplace()
}

fn partition(extent: Extent, sector: SectorSize, kind: Uuid, id: Uuid, name: &str) -> Partition {
    let first_lba = extent.first_sector(sector);
    Partition {
        part_type_guid: Type { guid: kind, os: OperatingSystem::None },
        part_guid: id,
        first_lba,
        last_lba: first_lba + extent.sectors(sector) - 1,
        flags: 0,
        name: name.to_owned(),
    }
}

/// Tells tools that know no GPT that the whole disk of so many sectors is in use.
pub(crate) fn write_protective_mbr(
    disk: &mut (impl Read + Write + Seek + Debug),
    sectors: u64,
) -> Result<(), GptError> {
    // The UEFI specification asks for all ones where the number does not fit.
    let mbr = ProtectiveMBR::with_lb_size(u32::try_from(sectors - 1).unwrap_or(u32::MAX));
    match mbr.overwrite_lba0(disk) {
        Ok(_) => Ok(()),
        Err(gpt::mbr::MBRError::Io(source)) => Err(GptError::Io(source)),
        Err(error) => Err(GptError::Io(std::io::Error::other(error))),
    }
}

/// The sector size for the library of partition tables.
pub(crate) fn block_size(sector: SectorSize) -> LogicalBlockSize {
    match sector {
        SectorSize::B512 => LogicalBlockSize::Lb512,
        SectorSize::B4096 => LogicalBlockSize::Lb4096,
    }
}
