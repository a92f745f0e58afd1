//! Where things lie in a FAT32, by its boot sector (Microsoft's FAT specification, 3.1 and 3.3).

use std::io;

use crate::Volume;

/// Bytes of a table that is taken into memory: that of 64 GiB in clusters of 4 KiB.
const MAX_TABLE: u64 = 64 << 20;
/// Where the kernel notes that it has a FAT32 mounted (`fat_set_state` in its fs/fat/inode.c).
const STATE: u64 = 65;
const DIRTY: u8 = 1;

/// Places and lengths are in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) sector: u64,
    pub(crate) cluster: u64,
    /// Where each copy of the table begins.
    pub(crate) tables: Vec<u64>,
    /// Where the first cluster lies, which has number 2.
    pub(crate) data: u64,
    /// How many clusters there are.
    pub(crate) clusters: u32,
    /// The first cluster of the root folder.
    pub(crate) root: u32,
    /// Where it says how much is free.
    pub(crate) info: u64,
}

impl Geometry {
    /// None where it is no FAT32.
    pub(crate) fn read(volume: &impl Volume) -> io::Result<Option<Self>> {
        let mut boot = [0; 512];
        volume.read(0, &mut boot)?;
        Ok(Self::parse(&boot))
    }

    fn parse(boot: &[u8; 512]) -> Option<Self> {
        let sector = u64::from(le16(boot, 11));
        let per_cluster = u64::from(boot[13]);
        let (reserved, copies) = (u64::from(le16(boot, 14)), u64::from(boot[16]));
        let (is_16, per_table) = (le16(boot, 17) != 0 || le16(boot, 22) != 0, le32(boot, 36));
        let is_one = boot[510..] == [0x55, 0xaa]
            && matches!(sector, 512 | 1024 | 2048 | 4096)
            && per_cluster.is_power_of_two()
            && reserved > 0
            && matches!(copies, 1 | 2)
            && !is_16
            && per_table > 0;
        let table = u64::from(per_table) * sector;
        if !is_one || table > MAX_TABLE {
            return None;
        }
        let (cluster, first) = (sector * per_cluster, reserved * sector);
        let data = first + copies * table;
        let clusters = (u64::from(le32(boot, 32)) * sector).checked_sub(data)? / cluster;
        // The table's first two entries are of no cluster.
        let clusters = u32::try_from(clusters.min(table / 4 - 2)).ok()?;
        let tables = (0..copies).map(|copy| first + copy * table).collect();
        let (root, info) = (le32(boot, 44), u64::from(le16(boot, 48)) * sector);
        Some(Self { sector, cluster, tables, data, clusters, root, info })
    }

    /// Whether it was mounted and not unmounted.
    pub(crate) fn is_dirty(&self, volume: &impl Volume) -> io::Result<bool> {
        let mut state = [0];
        volume.read(STATE, &mut state)?;
        Ok(state[0] & DIRTY != 0)
    }

    pub(crate) fn note_unmounted(&self, volume: &impl Volume) -> io::Result<()> {
        let mut state = [0];
        volume.read(STATE, &mut state)?;
        volume.write(STATE, &[state[0] & !DIRTY])
    }

    /// Where a cluster lies; none where there is none of this number.
    pub(crate) fn at(&self, cluster: u32) -> Option<u64> {
        let number = cluster.checked_sub(2).filter(|number| *number < self.clusters)?;
        Some(self.data + u64::from(number) * self.cluster)
    }
}

pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
