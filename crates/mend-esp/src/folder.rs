//! The names in a folder (Microsoft's FAT specification, 6 and 7).

use crate::geometry::{le16, le32};

/// The mark of an entry that is gone.
pub(crate) const GONE: u8 = 0xe5;
const ENTRY: usize = 32;
const FOLDER: u8 = 0x10;
const LABEL: u8 = 0x08;
const LONG: u8 = 0x0f;
/// Where a long name's part begins with one of these, it is the last.
const LAST_PART: u8 = 0x40;
/// Where a part has its letters, two bytes each.
const LETTERS: [std::ops::Range<usize>; 3] = [1..11, 14..26, 28..32];

/// A name, and what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) is_folder: bool,
    pub(crate) first: u32,
    pub(crate) size: u32,
    /// Which entries of the folder it takes.
    pub(crate) entries: Vec<usize>,
}

/// What lies in a folder.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// All names but `.` and `..`.
    pub(crate) names: Vec<Name>,
    /// Entries that are parts of long names, and of none that is here.
    pub(crate) orphans: Vec<usize>,
}

impl Listing {
    /// How many entries that takes.
    pub(crate) fn entries(&self) -> usize {
        let of_names = self.names.iter().map(|name| name.entries.len());
        of_names.sum::<usize>() + self.orphans.len()
    }
}

/// What the bytes of a folder say. Like the kernel, and unlike the specification, this goes on
/// behind the first entry that never was used.
pub(crate) fn list(folder: &[u8]) -> Listing {
    let (mut listing, mut long) = (Listing::default(), Long::default());
    let Listing { names, orphans } = &mut listing;
    for (number, entry) in folder.chunks_exact(ENTRY).enumerate() {
        match (entry[0], entry[11]) {
            (0 | GONE, _) => orphans.extend(std::mem::take(&mut long).entries),
            (_, LONG) => orphans.extend(long.take(number, entry)),
            (_, flags) if flags & LABEL != 0 => {
                orphans.extend(std::mem::take(&mut long).entries);
            }
            _ => {
                let (name, rest) = name(number, entry, std::mem::take(&mut long));
                names.push(name);
                orphans.extend(rest);
            }
        }
    }
    orphans.extend(long.entries);
    names.retain(|name| name.text != "." && name.text != "..");
    listing
}

/// Whether a folder begins with itself and what it lies in, as each but the root does. What a
/// power cut left of one may be anything.
pub(crate) fn is_one(folder: &[u8], first: u32) -> bool {
    let Some((own, rest)) = folder.split_at_checked(ENTRY) else { return false };
    let Some((above, _)) = rest.split_at_checked(ENTRY) else { return false };
    let is_folder = |entry: &[u8], name: &[u8; 11]| entry[..11] == *name && entry[11] & FOLDER != 0;
    is_folder(own, b".          ") && is_folder(above, b"..         ") && cluster(own) == first
}

/// And the parts in front of it that are not its own.
fn name(number: usize, entry: &[u8], long: Long) -> (Name, Vec<usize>) {
    let (long_name, mut entries, rest) = match long.of(entry) {
        Ok((text, entries)) => (Some(text), entries, Vec::new()),
        Err(rest) => (None, Vec::new(), rest),
    };
    entries.push(number);
    let name = Name {
        text: long_name.unwrap_or_else(|| short(entry)),
        is_folder: entry[11] & FOLDER != 0,
        first: cluster(entry),
        size: le32(entry, 28),
        entries,
    };
    (name, rest)
}

fn cluster(entry: &[u8]) -> u32 {
    u32::from(le16(entry, 20)) << 16 | u32::from(le16(entry, 26))
}

/// In capitals; that a part is in small letters is noted beside it, which is Windows' way.
fn short(entry: &[u8]) -> String {
    let part = |bytes: &[u8], small: u8| {
        let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
        if entry[12] & small != 0 { text.to_ascii_lowercase() } else { text }
    };
    let (name, end) = (part(&entry[..8], 0x08), part(&entry[8..11], 0x10));
    if end.is_empty() { name } else { format!("{name}.{end}") }
}

/// The parts of a long name, which come before the short one, the last first.
#[derive(Default)]
struct Long {
    entries: Vec<usize>,
    parts: Vec<Vec<u16>>,
    sum: u8,
    /// The number of the part that has to come next; 0 where all are there.
    next: u8,
}

impl Long {
    /// Gives the parts of which nothing comes.
    fn take(&mut self, number: usize, entry: &[u8]) -> Vec<usize> {
        let order = entry[0] & !LAST_PART;
        let mut rest = Vec::new();
        if entry[0] & LAST_PART != 0 {
            rest = std::mem::take(self).entries;
            (self.sum, self.next) = (entry[13], order);
        }
        self.entries.push(number);
        if order == 0 || order != self.next || entry[13] != self.sum {
            rest.extend(std::mem::take(self).entries);
            return rest;
        }
        self.next -= 1;
        let letters = LETTERS.into_iter().flat_map(|place| entry[place].chunks_exact(2));
        self.parts.push(letters.map(|letter| le16(letter, 0)).collect());
        rest
    }

    /// The long name of this short one, and its entries; only those where they do not belong
    /// together.
    fn of(self, entry: &[u8]) -> Result<(String, Vec<usize>), Vec<usize>> {
        let sum = entry[..11].iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
        if self.parts.is_empty() || self.next != 0 || self.sum != sum {
            return Err(self.entries);
        }
        let letters = self.parts.iter().rev().flatten().copied().take_while(|letter| *letter != 0);
        let letters: Vec<u16> = letters.collect();
        Ok((String::from_utf16_lossy(&letters), self.entries))
    }
}
