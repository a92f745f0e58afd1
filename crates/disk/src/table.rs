//! The partition table: a protective MBR, a GPT at the beginning and its backup at the end.

mod ends;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{self, Read, Seek, SeekFrom, Write};

use basalt_sysroot::partition::{Extent, SectorSize};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{OperatingSystem, Type};
use gpt::{GptConfig, GptError};
use uuid::Uuid;

pub use ends::Ends;

/// Bytes of an entry (UEFI specification, 5.3.3), and how many are read.
const ENTRY: u32 = 128;
const MOST_ENTRIES: u32 = 1024;

/// A partition table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The disk's id.
    pub id: Uuid,
    /// The disk's size in bytes.
    pub size: u64,
    /// What the disk addresses.
    pub sector: SectorSize,
    /// The partitions by their numbers, from 1.
    pub entries: BTreeMap<u32, Entry>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lies.
    pub extent: Extent,
    /// Its type.
    pub kind: Uuid,
    /// Its own id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its attributes (UEFI specification, 5.3.3).
    pub flags: u64,
}

impl Table {
    /// Reads the table of a disk of this size; its backup where the first one is damaged.
    ///
    /// # Errors
    /// There is none, it is damaged, or the disk cannot be read.
    pub fn read(
        disk: &mut (impl Read + Write + Seek + Debug),
        size: u64,
        sector: SectorSize,
    ) -> Result<Self, GptError> {
        for header in [sector.bytes(), size.saturating_sub(sector.bytes())] {
            check_header(disk, header)?;
        }
        let config = GptConfig::new().writable(false).logical_block_size(block_size(sector));
        let table = config.open_from_device(disk)?;
        let mut entries = BTreeMap::new();
        for (number, found) in table.partitions().iter().filter(|(_, found)| found.is_used()) {
            let lies_outside = || wrong("a partition lies outside of the disk");
            entries.insert(*number, Entry::of(found, size, sector).ok_or_else(lies_outside)?);
        }
        Ok(Self { id: *table.guid(), size, sector, entries })
    }

    /// Writes it, and its backup. The library writes partitions one behind the other, so that their
    /// numbers must have no gap.
    ///
    /// # Errors
    /// The numbers have one, a partition lies outside, or the disk cannot be written.
    pub fn write(&self, disk: &mut (impl Read + Write + Seek + Debug)) -> Result<(), GptError> {
        if !self.entries.keys().copied().eq(1..=self.entries.len() as u32) {
            return Err(wrong("the numbers of the partitions have a gap"));
        }
        write_protective_mbr(disk, self.size / self.sector.bytes())?;
        let config = GptConfig::new().writable(true).logical_block_size(block_size(self.sector));
        let mut table = config.create_from_device(disk, Some(self.id))?;
        let partitions = self.entries.iter().map(|(at, it)| (*at, it.partition(self.sector)));
        table.update_partitions(partitions.collect())?;
        table.write_inplace()
    }
}

impl Entry {
    /// None for one that does not lie on a disk of this size.
    fn of(found: &Partition, size: u64, sector: SectorSize) -> Option<Self> {
        let sectors = found.last_lba.checked_add(1)?.checked_sub(found.first_lba)?;
        let start = found.first_lba.checked_mul(sector.bytes())?;
        let length = sectors.checked_mul(sector.bytes())?;
        let lies_inside = length > 0 && start.checked_add(length)? <= size;
        lies_inside.then(|| Self {
            extent: Extent { start, length },
            kind: found.part_type_guid.guid,
            id: found.part_guid,
            name: found.name.clone(),
            flags: found.flags,
        })
    }

    fn partition(&self, sector: SectorSize) -> Partition {
        let first_lba = self.extent.first_sector(sector);
        Partition {
            part_type_guid: Type { guid: self.kind, os: OperatingSystem::None },
            part_guid: self.id,
            first_lba,
            last_lba: first_lba + self.extent.sectors(sector) - 1,
            flags: self.flags,
            name: self.name.clone(),
        }
    }
}

/// The library asserts that entries have the size that they have everywhere, and believes how many
/// there are.
fn check_header(disk: &mut (impl Read + Seek), at: u64) -> Result<(), GptError> {
    let mut header = [0; 92];
    disk.seek(SeekFrom::Start(at))?;
    disk.read_exact(&mut header)?;
    let number = |at: usize| {
        u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let is_plain = number(84) == ENTRY && number(80) <= MOST_ENTRIES;
    if header.starts_with(b"EFI PART") && !is_plain {
        return Err(wrong("its entries are others than anybody writes"));
    }
    disk.seek(SeekFrom::Start(0))?;
    Ok(())
}

fn wrong(why: &str) -> GptError {
    GptError::Io(io::Error::other(why))
}

/// Tells tools that know no GPT that the whole disk of so many sectors is in use.
///
/// # Errors
/// The disk cannot be written.
pub fn write_protective_mbr(
    disk: &mut (impl Read + Write + Seek + Debug),
    sectors: u64,
) -> Result<(), GptError> {
    // The UEFI specification asks for all ones where the number does not fit.
    let mbr = ProtectiveMBR::with_lb_size(u32::try_from(sectors - 1).unwrap_or(u32::MAX));
    match mbr.overwrite_lba0(disk) {
        Ok(_) => Ok(()),
        Err(gpt::mbr::MBRError::Io(source)) => Err(GptError::Io(source)),
        Err(error) => Err(GptError::Io(io::Error::other(error))),
    }
}

/// The sector size for the library of partition tables.
#[must_use]
pub fn block_size(sector: SectorSize) -> LogicalBlockSize {
    match sector {
        SectorSize::B512 => LogicalBlockSize::Lb512,
        SectorSize::B4096 => LogicalBlockSize::Lb4096,
    }
}

#[cfg(test)]
mod tests {
    use basalt_sysroot::partition::{ESP_TYPE, VAR_TYPE};

    use super::*;

    const MIB: u64 = 1 << 20;

    fn table(sector: SectorSize) -> Table {
        let entry = |start: u64, kind| Entry {
            extent: Extent { start: start * MIB, length: 10 * MIB },
            kind,
            id: Uuid::from_u128(u128::from(start)),
            name: format!("at {start}"),
            flags: 1 << 60,
        };
        let entries = [(1, entry(1, ESP_TYPE)), (2, entry(40, VAR_TYPE))].into();
        Table { id: Uuid::from_u128(7), size: 64 * MIB, sector, entries }
    }

    #[test]
    fn what_is_written_is_read_with_either_sector_size() {
        for sector in [SectorSize::B512, SectorSize::B4096] {
            let mut ends = Ends::blank(64 * MIB);
            table(sector).write(&mut ends).unwrap();
            assert_eq!(Table::read(&mut ends, 64 * MIB, sector).unwrap(), table(sector));
        }
    }

    #[test]
    fn a_damaged_table_is_read_from_its_backup_and_none_is_an_error() {
        let mut ends = Ends::blank(64 * MIB);
        assert!(Table::read(&mut ends, 64 * MIB, SectorSize::B512).is_err());
        table(SectorSize::B512).write(&mut ends).unwrap();
        ends.seek(SeekFrom::Start(512)).unwrap();
        ends.write_all(&[0; 512]).unwrap();
        let read = Table::read(&mut ends, 64 * MIB, SectorSize::B512).unwrap();
        assert_eq!(read.entries, table(SectorSize::B512).entries);
    }

    /// The header and the first entries; those behind them are zeros.
    #[test]
    fn fuzz_partition_table() {
        let mut ends = Ends::blank(64 * MIB);
        table(SectorSize::B512).write(&mut ends).unwrap();
        let seed = ends.head()[512..1024 + 512].to_vec();
        basalt_fuzz::run(&[&seed], |bytes| {
            let mut ends = Ends::blank(64 * MIB);
            ends.seek(SeekFrom::Start(512)).unwrap();
            ends.write_all(bytes).unwrap();
            if let Ok(table) = Table::read(&mut ends, 64 * MIB, SectorSize::B512) {
                assert!(table.entries.values().all(|entry| entry.extent.end() <= 64 * MIB));
            }
        });
    }

    #[test]
    fn numbers_with_a_gap_are_refused() {
        let mut table = table(SectorSize::B512);
        table.entries.remove(&1);
        assert!(table.write(&mut Ends::blank(64 * MIB)).is_err());
    }
}
