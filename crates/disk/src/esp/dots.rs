//! Repairs the folders that fatfs 0.3.6 makes.
//!
//! It gives `.` and `..` long names, so that they are not the first two entries of their folder,
//! and lets a `..` that means the root name the root's cluster, where FAT32 wants 0. Tolerant
//! readers do not mind; fsck.fat calls every folder damaged. Both are known and fixed upstream
//! (rust-fatfs issue 117 and pull request 99), but not in a release.

use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes of a folder's entry. Offsets are those of Microsoft's FAT32 specification, version 1.03.
const ENTRY: usize = 32;
const DOT: &[u8; 11] = b".          ";
const DOT_DOT: &[u8; 11] = b"..         ";
/// Attributes of a part of a long name.
const LONG_NAME: u8 = 0x0f;
/// The attribute of a folder.
const FOLDER: u8 = 0x10;
/// First byte of an entry that is free, with others behind it.
const FREE: u8 = 0xe5;
/// Clusters from this number on end a chain.
const CHAIN_END: u32 = 0x0fff_fff8;

/// Repairs all folders of the FAT32 that `volume` is.
pub(super) fn repair(volume: &mut (impl Read + Write + Seek)) -> io::Result<()> {
    let fat = Geometry::read(volume)?;
    let mut pending = fat.folders_in(volume, fat.root)?;
    // Entries for the root say 0.
    pending.iter_mut().for_each(|folder| folder.parent = 0);
    while let Some(folder) = pending.pop() {
        put_dots_first(volume, fat.offset(folder.cluster), folder.parent)?;
        pending.extend(fat.folders_in(volume, folder.cluster)?);
    }
    Ok(())
}

struct Folder {
    cluster: u32,
    parent: u32,
}

/// Moves `.` and `..` to the front of the folder that begins at `offset`.
fn put_dots_first(
    volume: &mut (impl Read + Write + Seek),
    offset: u64,
    parent: u32,
) -> io::Result<()> {
    let mut found = [0; 4 * ENTRY];
    volume.seek(SeekFrom::Start(offset))?;
    volume.read_exact(&mut found)?;
    if found.starts_with(DOT) && found[ENTRY..].starts_with(DOT_DOT) {
        // As it should be: it was repaired before, or another tool made it.
        return Ok(());
    }
    let [_, dot, _, dot_dot] = found.as_chunks::<ENTRY>().0 else { return Err(not_as_known()) };
    if !dot.starts_with(DOT) || !dot_dot.starts_with(DOT_DOT) {
        return Err(not_as_known());
    }
    let mut repaired = [0; 4 * ENTRY];
    repaired[..ENTRY].copy_from_slice(dot);
    repaired[ENTRY..2 * ENTRY].copy_from_slice(dot_dot);
    set_cluster(&mut repaired[ENTRY..2 * ENTRY], parent);
    repaired[2 * ENTRY] = FREE;
    repaired[3 * ENTRY] = FREE;
    volume.seek(SeekFrom::Start(offset))?;
    volume.write_all(&repaired)
}

fn not_as_known() -> io::Error {
    io::Error::other("the FAT library wrote a folder otherwise than version 0.3.6 does")
}

fn cluster(entry: &[u8; ENTRY]) -> u32 {
    let [high, low] = [[entry[20], entry[21]], [entry[26], entry[27]]].map(u16::from_le_bytes);
    u32::from(high) << 16 | u32::from(low)
}

fn set_cluster(entry: &mut [u8], cluster: u32) {
    let bytes = cluster.to_le_bytes();
    entry[26..28].copy_from_slice(&bytes[..2]);
    entry[20..22].copy_from_slice(&bytes[2..]);
}

/// Where things lie in the volume.
struct Geometry {
    fat_start: u64,
    data_start: u64,
    cluster_bytes: usize,
    root: u32,
}

impl Geometry {
    fn read(volume: &mut (impl Read + Seek)) -> io::Result<Self> {
        let mut boot = [0; 512];
        volume.seek(SeekFrom::Start(0))?;
        volume.read_exact(&mut boot)?;
        let short = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let long = |at: usize| short(at) | short(at + 2) << 16;
        let sector = short(11);
        let fat_start = short(14) * sector;
        Ok(Self {
            fat_start,
            data_start: fat_start + u64::from(boot[16]) * long(36) * sector,
            cluster_bytes: usize::from(boot[13]) * short(11) as usize,
            root: long(44) as u32,
        })
    }

    /// The first byte of a cluster; they are counted from 2.
    fn offset(&self, cluster: u32) -> u64 {
        self.data_start + (u64::from(cluster) - 2) * self.cluster_bytes as u64
    }

    /// The folders in the folder that begins with cluster `parent`.
    fn folders_in(&self, volume: &mut (impl Read + Seek), parent: u32) -> io::Result<Vec<Folder>> {
        let mut found = Vec::new();
        let mut next = parent;
        while next < CHAIN_END {
            let mut content = vec![0; self.cluster_bytes];
            volume.seek(SeekFrom::Start(self.offset(next)))?;
            volume.read_exact(&mut content)?;
            let entries = content.as_chunks::<ENTRY>().0.iter().filter(|entry| is_folder(entry));
            found.extend(entries.map(|entry| Folder { cluster: cluster(entry), parent }));
            next = self.cluster_after(volume, next)?;
        }
        Ok(found)
    }

    fn cluster_after(&self, volume: &mut (impl Read + Seek), cluster: u32) -> io::Result<u32> {
        let mut entry = [0; 4];
        volume.seek(SeekFrom::Start(self.fat_start + 4 * u64::from(cluster)))?;
        volume.read_exact(&mut entry)?;
        // The upper four bits are reserved.
        Ok(u32::from_le_bytes(entry) & 0x0fff_ffff)
    }
}

/// Whether an entry is a folder that lies within its own.
fn is_folder(entry: &[u8; ENTRY]) -> bool {
    let [first, attributes] = [entry[0], entry[11]];
    let is_one = attributes & LONG_NAME != LONG_NAME && attributes & FOLDER != 0;
    is_one && first != FREE && first != 0 && first != b'.'
}
