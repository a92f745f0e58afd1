//! Small partitions: clusters of a sector each, with tables of a sector behind two reserved ones.

const SECTOR: usize = 512;
const CLUSTERS: u8 = 100;
const RESERVED: u8 = 2;
const LAST: u32 = 0x0fff_ffff;
/// Clusters that a change is about: those in use, and some more.
const CHANGED: u8 = 30;

/// An entry of a folder.
pub(super) struct Entry {
    name: &'static [u8; 11],
    first: u8,
    /// None for a folder.
    size: Option<u16>,
    /// The folder that it lies in, by its cluster, and behind how many others.
    at: (u8, u8),
}

const fn folder(name: &'static [u8; 11], first: u8, at: (u8, u8)) -> Entry {
    Entry { name, first, size: None, at }
}

const fn file(name: &'static [u8; 11], first: u8, size: u16, at: (u8, u8)) -> Entry {
    Entry { name, first, size: Some(size), at }
}

/// Of the sound one.
const FOLDERS: [Entry; 7] = [
    folder(b"BASALT     ", 3, (2, 0)),
    folder(b"AA         ", 4, (3, 2)),
    folder(b"BB         ", 16, (3, 3)),
    folder(b"LOADER     ", 10, (2, 1)),
    folder(b"ENTRIES    ", 11, (10, 2)),
    folder(b"EFI        ", 13, (2, 2)),
    folder(b"VENDOR     ", 18, (13, 2)),
];
/// Of the sound one. Their clusters follow each other.
pub(super) const FILES: [Entry; 6] = [
    file(b"LINUX      ", 5, 1500, (4, 2)),
    file(b"INITRD     ", 8, 900, (4, 3)),
    file(b"LINUX      ", 17, 512, (16, 2)),
    file(b"ONE     CON", 12, 100, (11, 2)),
    file(b"TWO     CON", 24, 100, (11, 3)),
    file(b"TOOL    EFI", 20, 2000, (18, 2)),
];

struct Made {
    all: Vec<u8>,
    tables: u8,
}

impl Made {
    fn empty(tables: u8) -> Self {
        let length = usize::from(RESERVED + tables + CLUSTERS) * SECTOR;
        let mut all = vec![0; length];
        all[11..17].copy_from_slice(&[0, 2, 1, RESERVED, 0, tables]);
        all[32] = RESERVED + tables + CLUSTERS;
        all[36] = 1;
        all[44] = 2;
        all[48] = 1;
        all[510..512].copy_from_slice(&[0x55, 0xaa]);
        let mut made = Self { all, tables };
        made.link(2, LAST);
        made
    }

    fn at(&self, cluster: u8) -> usize {
        usize::from(RESERVED + self.tables + cluster - 2) * SECTOR
    }

    fn link(&mut self, cluster: u8, next: u32) {
        (0..self.tables).for_each(|table| self.link_in(table, cluster, next));
    }

    fn link_in(&mut self, table: u8, cluster: u8, next: u32) {
        let at = usize::from(RESERVED + table) * SECTOR + usize::from(cluster) * 4;
        self.all[at..at + 4].copy_from_slice(&next.to_le_bytes());
    }

    fn entry(&mut self, entry: &Entry) {
        let at = self.at(entry.at.0) + usize::from(entry.at.1) * 32;
        self.all[at..at + 11].copy_from_slice(entry.name);
        self.all[at + 11] = if entry.size.is_none() { 0x10 } else { 0x20 };
        self.all[at + 26] = entry.first;
        self.all[at + 28..at + 30].copy_from_slice(&entry.size.unwrap_or(0).to_le_bytes());
    }

    fn folder(&mut self, folder_: &Entry) {
        let (first, above) = (folder_.first, folder_.at.0);
        self.entry(folder_);
        self.entry(&folder(b".          ", first, (first, 0)));
        self.entry(&folder(b"..         ", above, (first, 1)));
        self.link(first, LAST);
    }

    fn file(&mut self, file: &Entry) {
        self.entry(file);
        let last = file.first + (file.size.unwrap_or(0).div_ceil(512) as u8).saturating_sub(1);
        for cluster in file.first..=last {
            let at = self.at(cluster);
            self.all[at..at + SECTOR].fill(cluster);
            self.link(cluster, if cluster == last { LAST } else { u32::from(cluster) + 1 });
        }
    }
}

/// `basalt` in the root has a folder that was never written.
pub(super) fn torn() -> Vec<u8> {
    let mut made = Made::empty(1);
    made.all[65] = 1;
    made.folder(&folder(b"BASALT     ", 3, (2, 0)));
    made.entry(&folder(b"FF34E6~1   ", 4, (3, 2)));
    made.link(9, 10);
    made.all.truncate(8 << 10);
    made.all
}

/// Two tables, files of Basalt's and another's, and nothing amiss.
pub(super) fn sound() -> Vec<u8> {
    let mut made = Made::empty(2);
    FOLDERS.iter().for_each(|folder| made.folder(folder));
    FILES.iter().for_each(|file| made.file(file));
    made.all
}

/// The same, changed: four bytes each say what of a table or of a folder.
pub(super) fn changed(changes: &[u8]) -> Vec<u8> {
    let mut made = Made { all: sound(), tables: 2 };
    for change in changes.chunks_exact(4) {
        let (what, place, value, byte) = (change[0], change[1], change[2], change[3]);
        let link = match value % 8 {
            0 => 0,
            1 => 1,
            2 => LAST,
            3 => 0x0fff_fff7,
            4 => 0x0fff_fff0,
            _ => u32::from(byte % CHANGED),
        };
        match what % 4 {
            0 => made.link(place % CHANGED, link),
            table @ (1 | 2) => made.link_in(table - 1, place % CHANGED, link),
            _ => {
                let at = made.at(FOLDERS[usize::from(place) % FOLDERS.len()].first);
                made.all[at + usize::from(value) % 160] = byte;
            }
        }
    }
    made.all
}
