//! The partitions of a Basalt disk: their types and names, and where they lie.
//!
//! A disk image has an ESP and a root; the space behind them is left free, and the host makes
//! /var there on its first boot, as large as the disk it finds itself on.

use uuid::{Uuid, uuid};

/// Type of the EFI system partition (UEFI specification).
pub const ESP_TYPE: Uuid = uuid!("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
/// Type of a root partition for x86-64 (Discoverable Partitions Specification).
pub const ROOT_X86_64_TYPE: Uuid = uuid!("4f68bce3-e8cd-4db1-96e7-fbcaf984b709");
/// Type of a partition for /var (Discoverable Partitions Specification).
pub const VAR_TYPE: Uuid = uuid!("4d21b016-b534-45c2-a9fb-5c16e091fd2d");

/// Partition name of the ESP.
pub const ESP_NAME: &str = "esp";
/// Partition name of the root.
pub const ROOT_NAME: &str = "root";
/// Partition name of /var.
pub const VAR_NAME: &str = "var";
/// FAT label of the ESP.
pub const ESP_LABEL: &str = "ESP";
/// ext4 label of the root.
pub const ROOT_LABEL: &str = "root";
/// Numbers of the partitions that a disk image has.
pub const ESP_NUMBER: u32 = 1;
/// See [`ESP_NUMBER`].
pub const ROOT_NUMBER: u32 = 2;

/// Every partition begins and ends at a multiple of this many bytes: flash erase blocks and RAID
/// stripes divide it.
pub const ALIGNMENT: u64 = 1 << 20;
/// Bytes of a GPT's entry array: 128 entries of 128 bytes.
const ENTRY_ARRAY: u64 = 16 << 10;
/// A FAT with fewer clusters is not FAT32, and firmware need not read anything else.
const FAT32_CLUSTERS: u64 = 65_525;

/// What a disk addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SectorSize {
    /// 512 bytes: almost every disk, USB stick and virtual machine.
    #[default]
    B512,
    /// 4096 bytes: disks that the trade calls 4Kn.
    B4096,
}

/// A piece of the disk, in bytes from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first byte.
    pub start: u64,
    /// How many there are.
    pub length: u64,
}

/// Sizes that a layout is computed from, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// The whole disk.
    pub disk: u64,
    /// The ESP.
    pub esp: u64,
    /// The root.
    pub root: u64,
}

/// Where everything lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// What the disk addresses; every number of the partition table is in these units.
    pub sector: SectorSize,
    /// The whole disk.
    pub disk: u64,
    /// The ESP.
    pub esp: Extent,
    /// The root.
    pub root: Extent,
    /// What is free behind the root; its length may be 0.
    pub free: Extent,
}

/// Sizes that make no disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A size is not a multiple of the alignment.
    #[error("the size of the {what} is {bytes} bytes, which is not a whole number of MiB")]
    Unaligned {
        /// Which size.
        what: &'static str,
        /// Its value.
        bytes: u64,
    },
    /// The ESP cannot be FAT32.
    #[error("an ESP of {} MiB cannot be FAT32, it needs {} MiB", esp >> 20, needed >> 20)]
    EspTooSmall {
        /// What was asked for.
        esp: u64,
        /// The least.
        needed: u64,
    },
    /// There is no room for what the disk is to hold.
    #[error("a disk of {} MiB is too small, its partitions need {} MiB", disk >> 20, needed >> 20)]
    DiskTooSmall {
        /// What was asked for.
        disk: u64,
        /// The least; `u64::MAX` when no disk is large enough.
        needed: u64,
    },
}

impl SectorSize {
    /// Its length in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::B512 => 512,
            Self::B4096 => 4096,
        }
    }

    /// The smallest ESP that can be FAT32 on such a disk, in bytes.
    #[must_use]
    pub fn smallest_esp(self) -> u64 {
        // Clusters of one sector, two FATs of four bytes a cluster, and the reserved sectors.
        let needed = FAT32_CLUSTERS * (self.bytes() + 8) + 64 * self.bytes();
        needed.next_multiple_of(ALIGNMENT)
    }
}

impl Extent {
    /// The first byte behind it.
    #[must_use]
    pub fn end(self) -> u64 {
        self.start + self.length
    }

    /// Its first sector.
    #[must_use]
    pub fn first_sector(self, sector: SectorSize) -> u64 {
        self.start / sector.bytes()
    }

    /// How many sectors it has.
    #[must_use]
    pub fn sectors(self, sector: SectorSize) -> u64 {
        self.length / sector.bytes()
    }
}

impl Layout {
    /// Places the partitions one behind the other, with room for both partition tables.
    ///
    /// # Errors
    /// A size is 0 or no whole number of MiB, the ESP is too small for FAT32, or the disk for
    /// both partitions.
    pub fn new(sizes: &Sizes, sector: SectorSize) -> Result<Self, LayoutError> {
        check_aligned("disk", sizes.disk)?;
        check_aligned("ESP", sizes.esp)?;
        check_aligned("root", sizes.root)?;
        if sizes.esp < sector.smallest_esp() {
            return Err(LayoutError::EspTooSmall { esp: sizes.esp, needed: sector.smallest_esp() });
        }
        let needed = needed(sizes).unwrap_or(u64::MAX);
        if needed > sizes.disk {
            return Err(LayoutError::DiskTooSmall { disk: sizes.disk, needed });
        }
        let esp = Extent { start: ALIGNMENT, length: sizes.esp };
        let root = Extent { start: esp.end(), length: sizes.root };
        // The last MiB is the backup table's.
        let free = Extent { start: root.end(), length: sizes.disk - needed };
        Ok(Self { sector, disk: sizes.disk, esp, root, free })
    }

    /// The last sector that a partition may use: behind it lies the backup table.
    #[must_use]
    pub fn last_usable_sector(&self) -> u64 {
        let table = 1 + ENTRY_ARRAY / self.sector.bytes();
        self.disk / self.sector.bytes() - table - 1
    }
}

/// The least disk: a MiB for each table, and the partitions. `None` when no number holds it.
fn needed(sizes: &Sizes) -> Option<u64> {
    sizes.esp.checked_add(sizes.root)?.checked_add(2 * ALIGNMENT)
}

fn check_aligned(what: &'static str, bytes: u64) -> Result<(), LayoutError> {
    if bytes > 0 && bytes.is_multiple_of(ALIGNMENT) {
        Ok(())
    } else {
        Err(LayoutError::Unaligned { what, bytes })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn layout(disk: u64, esp: u64, root: u64, sector: SectorSize) -> Result<Layout, LayoutError> {
        Layout::new(&Sizes { disk: disk * MIB, esp: esp * MIB, root: root * MIB }, sector)
    }

    #[test]
    fn partitions_follow_each_other_and_leave_the_rest_free() {
        let layout = layout(12 * 1024, 1024, 4096, SectorSize::B512).unwrap();
        assert_eq!(layout.esp, Extent { start: MIB, length: 1024 * MIB });
        assert_eq!(layout.root, Extent { start: 1025 * MIB, length: 4096 * MIB });
        assert_eq!(layout.free, Extent { start: 5121 * MIB, length: 7166 * MIB });
        assert_eq!(layout.esp.first_sector(layout.sector), 2048);
        assert_eq!(layout.last_usable_sector(), 12 * 1024 * 2048 - 34);
    }

    #[test]
    fn the_backup_table_of_a_4kn_disk_has_fewer_sectors() {
        let layout = layout(1024, 300, 600, SectorSize::B4096).unwrap();
        assert_eq!(layout.esp.first_sector(layout.sector), 256);
        assert_eq!(layout.last_usable_sector(), 1024 * 256 - 6);
    }

    #[test]
    fn impossible_sizes_say_what_would_be_possible() {
        let check = |disk, esp, root, sector, expected: &str| {
            assert_eq!(layout(disk, esp, root, sector).unwrap_err().to_string(), expected);
        };
        let small = "a disk of 130 MiB is too small, its partitions need 131 MiB";
        check(130, 64, 65, SectorSize::B512, small);
        check(1024, 32, 64, SectorSize::B512, "an ESP of 32 MiB cannot be FAT32, it needs 33 MiB");
        check(
            1024,
            64,
            64,
            SectorSize::B4096,
            "an ESP of 64 MiB cannot be FAT32, it needs 257 MiB",
        );
        let zero = "the size of the root is 0 bytes, which is not a whole number of MiB";
        check(1024, 64, 0, SectorSize::B512, zero);
    }

    #[test]
    fn sizes_beyond_all_numbers_are_an_error() {
        let huge = u64::MAX - u64::MAX % MIB;
        let sizes = Sizes { disk: huge, esp: huge, root: huge };
        let error = Layout::new(&sizes, SectorSize::B512);
        assert_eq!(error, Err(LayoutError::DiskTooSmall { disk: huge, needed: u64::MAX }));
    }

    proptest! {
        #[test]
        fn nothing_overlaps_and_all_is_aligned(disk in 0..1u64 << 20, esp in 0..2000u64, root in 0..1u64 << 20, large: bool) {
            let sector = if large { SectorSize::B4096 } else { SectorSize::B512 };
            if let Ok(layout) = layout(disk, esp, root, sector) {
                let table = 2 * sector.bytes() + ENTRY_ARRAY;
                prop_assert!(layout.esp.start >= table);
                prop_assert_eq!(layout.esp.end(), layout.root.start);
                prop_assert_eq!(layout.root.end(), layout.free.start);
                prop_assert!(layout.free.end() <= (layout.last_usable_sector() + 1) * sector.bytes());
                for extent in [layout.esp, layout.root, layout.free] {
                    prop_assert!(extent.start.is_multiple_of(ALIGNMENT));
                }
            }
        }
    }
}
