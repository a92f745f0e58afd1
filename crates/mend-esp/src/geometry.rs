//! Where things lie in a FAT32, by its boot sector (Microsoft's FAT specification, 3.1 and 3.3).

use std::io;

use crate::Volume;

/// Bytes of a table that is taken into memory: that of 16 GiB in clusters of 4 KiB. The unit that
/// runs this on a host has memory for it.
const MAX_TABLE: u64 = 16 << 20;
/// Where the kernel notes that it has a FAT32 mounted (`fat_set_state` in its fs/fat/inode.c).
const STATE: u64 = 65;
const DIRTY: u8 = 1;
/// Of the flags: one table alone is in use, and not the first one for certain.
const ONE_TABLE: u8 = 0x80;

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
    /// Where it says how much is free, if it does: in front of the tables.
    pub(crate) info: Option<u64>,
}

impl Geometry {
    /// None where it is no FAT32.
    ///
    /// # Errors
    /// It cannot be read, or is one that neither Basalt nor mkfs.fat makes.
    pub(crate) fn read(volume: &impl Volume) -> io::Result<Option<Self>> {
        let mut boot = [0; 512];
        volume.read(0, &mut boot)?;
        if !is_fat32(&boot) {
            return Ok(None);
        }
        match refused(&boot) {
            Some(why) => Err(io::Error::other(why)),
            None => Ok(Self::parse(&boot)),
        }
    }

    fn parse(boot: &[u8; 512]) -> Option<Self> {
        let sector = u64::from(le16(boot, 11));
        let reserved = u64::from(le16(boot, 14));
        let (copies, table) = (u64::from(boot[16]), table(boot));
        let (cluster, first) = (sector * u64::from(boot[13]), reserved * sector);
        let data = first + copies * table;
        let clusters = (u64::from(le32(boot, 32)) * sector).checked_sub(data)? / cluster;
        // The table's first two entries are of no cluster.
        let clusters = u32::try_from(clusters.min(table / 4 - 2)).ok()?;
        let tables = (0..copies).map(|copy| first + copy * table).collect();
        let info = u64::from(le16(boot, 48));
        let info = (info > 0 && info < reserved).then_some(info * sector);
        Some(Self { sector, cluster, tables, data, clusters, root: le32(boot, 44), info })
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

    /// The cluster that a place lies in, which is in one.
    pub(crate) fn cluster_at(&self, place: u64) -> Option<u32> {
        let number = place.checked_sub(self.data)? / self.cluster;
        u32::try_from(number).ok()?.checked_add(2)
    }
}

fn is_fat32(boot: &[u8; 512]) -> bool {
    let is_16 = le16(boot, 17) != 0 || le16(boot, 22) != 0;
    boot[510..] == [0x55, 0xaa]
        && matches!(le16(boot, 11), 512 | 1024 | 2048 | 4096)
        && boot[13].is_power_of_two()
        && le16(boot, 14) > 0
        && boot[16] > 0
        && le32(boot, 36) > 0
        && !is_16
}

/// Why nothing is decided about a FAT32, if so.
fn refused(boot: &[u8; 512]) -> Option<String> {
    let (copies, table) = (boot[16], table(boot));
    let has_one = boot[40] & ONE_TABLE != 0;
    // Who takes the one for the length of a FAT32, and who the other, is nowhere said.
    let has_two_lengths = le16(boot, 19) != 0;
    Some(match () {
        () if copies > 2 => format!("it has {copies} copies of its table; known are one and two"),
        () if table > MAX_TABLE => format!(
            "its table has {} MiB; those of up to {} are looked at",
            table.div_ceil(1 << 20),
            MAX_TABLE >> 20
        ),
        () if has_one => "only one of its tables is in use".to_owned(),
        () if has_two_lengths => "it says its length as a FAT16 does".to_owned(),
        () => return None,
    })
}

/// Bytes of a table.
fn table(boot: &[u8; 512]) -> u64 {
    u64::from(le32(boot, 36)) * u64::from(le16(boot, 11))
}

pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
