//! Reads a FAT32 as firmware and the loader do: leniently, and whatever a power cut left.
//!
//! A folder ends where its chain does; a file is what its chain holds, up to its size. Long names
//! count where all their parts are there and fit the short one; otherwise the short one does.

use std::io;

use crate::disk::Bytes;

const ENTRY: usize = 32;
const FOLDER: u8 = 0x10;
const LABEL: u8 = 0x08;
const LONG: u8 = 0x0f;
const FREE: u8 = 0xe5;
/// Where a name begins that ends in one of these, it is the last part.
const LAST_PART: u8 = 0x40;
/// A folder of ours has a few entries; what is longer is a chain that leads nowhere.
const FOLDER_CLUSTERS: usize = 256;

/// A file system in a disk.
pub(crate) struct Fat<'a> {
    disk: &'a dyn Bytes,
    /// Where it begins on the disk.
    start: u64,
    cluster: u64,
    fat: u64,
    data: u64,
    root: u32,
    clusters: u32,
}

/// What a folder names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) is_folder: bool,
    first: u32,
    size: u64,
}

/// Where a file lies: bytes from the beginning of the disk.
pub(crate) type Piece = (u64, u64);

impl<'a> Fat<'a> {
    /// The one that begins at byte `start`.
    pub(crate) fn open(disk: &'a dyn Bytes, start: u64) -> io::Result<Self> {
        let mut boot = [0; 512];
        disk.read(start, &mut boot)?;
        let (sector, per_cluster) = (u64::from(le16(&boot, 11)), u64::from(boot[13]));
        let fat_sectors = u64::from(le32(&boot, 36));
        let fat = u64::from(le16(&boot, 14)) * sector;
        let data = fat + u64::from(boot[16]) * fat_sectors * sector;
        if boot[510..] != [0x55, 0xaa] || sector != 512 || per_cluster == 0 || fat_sectors == 0 {
            return Err(io::Error::other("the ESP's boot sector is no FAT32's"));
        }
        let cluster = sector * per_cluster;
        let length = u64::from(le32(&boot, 32)) * sector;
        let clusters = length.saturating_sub(data) / cluster;
        let clusters = u32::try_from(clusters).map_err(io::Error::other)?;
        Ok(Self { disk, start, cluster, fat, data, root: le32(&boot, 44), clusters })
    }

    /// What lies in a folder, by its path; nothing where there is none.
    pub(crate) fn list(&self, path: &str) -> io::Result<Vec<Named>> {
        let mut cluster = self.root;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            let within = self.named(cluster)?;
            let Some(next) = within.into_iter().find(|it| it.is_folder && it.is(part)) else {
                return Ok(Vec::new());
            };
            cluster = next.first;
        }
        self.named(cluster)
    }

    /// A file by its path.
    pub(crate) fn find(&self, path: &str) -> io::Result<Option<Named>> {
        let (folder, name) = path.trim_start_matches('/').rsplit_once('/').unwrap_or(("", path));
        Ok(self.list(folder)?.into_iter().find(|it| !it.is_folder && it.is(name)))
    }

    /// Where a file lies; an error where its chain ends before it does.
    pub(crate) fn pieces(&self, file: &Named) -> io::Result<Vec<Piece>> {
        let mut pieces: Vec<Piece> = Vec::new();
        let (mut cluster, mut left) = (file.first, file.size);
        while left > 0 {
            let at = self.at(cluster).ok_or_else(|| io::Error::other("its chain is broken"))?;
            let length = left.min(self.cluster);
            match pieces.last_mut() {
                Some((begin, so_far)) if *begin + *so_far == at => *so_far += length,
                _ => pieces.push((at, length)),
            }
            left -= length;
            if left > 0 {
                cluster = self.next(cluster)?;
            }
        }
        Ok(pieces)
    }

    /// What a file of a few sectors holds.
    pub(crate) fn read(&self, file: &Named) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        for (at, length) in self.pieces(file)? {
            let mut part = vec![0; usize::try_from(length).map_err(io::Error::other)?];
            self.disk.read(at, &mut part)?;
            all.extend(part);
        }
        Ok(all)
    }

    fn named(&self, first: u32) -> io::Result<Vec<Named>> {
        let (mut names, mut parts) = (Vec::new(), LongName::default());
        let (mut cluster, mut bytes) = (first, vec![0; usize::try_from(self.cluster).unwrap_or(0)]);
        for _ in 0..FOLDER_CLUSTERS {
            let Some(at) = self.at(cluster) else { break };
            self.disk.read(at, &mut bytes)?;
            for entry in bytes.chunks_exact(ENTRY) {
                match (entry[0], entry[11]) {
                    (0, _) => return Ok(names),
                    (FREE, _) => parts = LongName::default(),
                    (_, LONG) => parts.take(entry),
                    (_, flags) if flags & LABEL != 0 => parts = LongName::default(),
                    _ => names.push(named(entry, &std::mem::take(&mut parts))),
                }
            }
            cluster = self.next(cluster)?;
        }
        Ok(names)
    }

    /// Where a cluster lies on the disk; none where it is none.
    fn at(&self, cluster: u32) -> Option<u64> {
        let number = cluster.checked_sub(2).filter(|number| *number < self.clusters)?;
        Some(self.start + self.data + u64::from(number) * self.cluster)
    }

    fn next(&self, cluster: u32) -> io::Result<u32> {
        let mut entry = [0; 4];
        self.disk.read(self.start + self.fat + u64::from(cluster) * 4, &mut entry)?;
        Ok(u32::from_le_bytes(entry) & 0x0fff_ffff)
    }
}

impl Named {
    /// FAT does not tell capitals apart.
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The parts of a long name that came so far, which is from its end.
#[derive(Default)]
struct LongName {
    parts: Vec<[u16; 13]>,
    /// The number of the part that came last.
    number: u8,
    checksum: u8,
}

impl LongName {
    fn take(&mut self, entry: &[u8]) {
        let (number, checksum) = (entry[0] & !LAST_PART, entry[13]);
        if entry[0] & LAST_PART != 0 {
            *self = Self { parts: Vec::new(), number: number + 1, checksum };
        }
        if number == 0 || number + 1 != self.number || checksum != self.checksum {
            *self = Self::default();
            return;
        }
        self.number = number;
        let units = (1..11).step_by(2).chain((14..26).step_by(2)).chain((28..32).step_by(2));
        let mut part = [0; 13];
        for (unit, at) in part.iter_mut().zip(units) {
            *unit = le16(entry, at);
        }
        self.parts.push(part);
    }

    /// The name, where it is whole and that of this short one.
    fn whole(&self, short: &[u8]) -> Option<String> {
        let sum = short.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        let units = self.parts.iter().rev().flatten().copied();
        let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        let is_whole = self.number == 1 && self.checksum == sum;
        if is_whole { String::from_utf16(&units).ok() } else { None }
    }
}

fn named(entry: &[u8], long: &LongName) -> Named {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    let (stem, end) = (part(&entry[..8]), part(&entry[8..11]));
    let short = if end.is_empty() { stem } else { format!("{stem}.{end}") };
    Named {
        name: long.whole(&entry[..11]).unwrap_or(short),
        is_folder: entry[11] & FOLDER != 0,
        first: u32::from(le16(entry, 20)) << 16 | u32::from(le16(entry, 26)),
        size: u64::from(le32(entry, 28)),
    }
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::{Path, PathBuf};

    use basalt_cmd::Cmd;

    use super::*;

    /// A FAT32 in a file, and these files in it, by path and content.
    pub(crate) fn esp(folder: &Path, files: &[(&str, &str)]) -> PathBuf {
        let path = empty(folder, 1);
        files.iter().for_each(|(name, content)| put(&path, name, content));
        path
    }

    /// One whose clusters have so many sectors.
    pub(crate) fn empty(folder: &Path, sectors: u64) -> PathBuf {
        let path = folder.join("esp");
        File::create(&path).unwrap().set_len(sectors * (64 << 20)).unwrap();
        let mkfs = Cmd::new("mkfs.vfat").args(["-F", "32", "-s"]).arg(sectors.to_string());
        mkfs.arg(&path).run().unwrap();
        path
    }

    /// Puts a file there, and the folders that lead to it.
    pub(crate) fn put(esp: &Path, name: &str, content: &str) {
        for (at, _) in name.match_indices('/') {
            // It may be there.
            let _ = tool("mmd", esp).args(["-D", "s"]).arg(format!("::{}", &name[..at])).run();
        }
        tool("mcopy", esp).args(["-", &format!("::{name}")]).stdin(content).run().unwrap();
    }

    pub(crate) fn tool(name: &str, esp: &Path) -> Cmd {
        Cmd::new(name).arg("-i").arg(esp)
    }

    fn names(esp: &Fat<'_>, path: &str) -> Vec<String> {
        esp.list(path).unwrap().into_iter().map(|it| it.name).collect()
    }

    #[test]
    fn what_others_wrote_is_read_by_its_long_name() {
        let folder = tempfile::tempdir().unwrap();
        let long = "x".repeat(3000);
        let path =
            esp(folder.path(), &[("loader/entries/basalt-12-b+3.conf", "a\n"), ("B.C", &long)]);
        let file = File::open(path).unwrap();
        let esp = Fat::open(&file, 0).unwrap();
        assert_eq!(names(&esp, "loader/entries")[2..], ["basalt-12-b+3.conf"]);
        let found = esp.find("/Loader/Entries/BASALT-12-b+3.conf").unwrap().unwrap();
        assert_eq!(esp.read(&found).unwrap(), b"a\n");
        let found = esp.find("b.c").unwrap().unwrap();
        assert_eq!(esp.read(&found).unwrap(), long.as_bytes());
        assert_eq!(esp.pieces(&found).unwrap().len(), 1);
        assert_eq!(esp.find("/loader/nothing").unwrap(), None);
        assert!(esp.list("no/folder").unwrap().is_empty());
        assert!(Fat::open(&file, 512).is_err());
    }

    #[test]
    fn of_a_name_that_was_cut_the_short_one_counts_and_a_broken_chain_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path =
            esp(folder.path(), &[("basalt-12-b+3.conf", "a\n"), ("long", &"x".repeat(3000))]);
        let file = File::options().read(true).write(true).open(path).unwrap();
        let esp = Fat::open(&file, 0).unwrap();
        let root = esp.at(esp.root).unwrap();
        let found = esp.find("long").unwrap().unwrap();
        // The second part of the long name, which stands first, did not reach the disk.
        file.write_all_at(&[FREE], root).unwrap();
        assert_eq!(names(&esp, ""), ["BASALT~1.CON", "LONG"]);
        // Nor did the part of the table that says where the file goes on.
        let next = esp.start + esp.fat + u64::from(found.first) * 4;
        file.write_all_at(&[0; 4], next).unwrap();
        assert!(esp.read(&found).is_err());
    }
}
