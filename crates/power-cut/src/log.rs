//! The log of what was written to a disk: each write and each flush, in the order in which they
//! were done.
//!
//! The format is that of Linux's `dm-log-writes`, which QEMU's `blklogwrites` writes, too: a sector
//! that describes the log, and then for each entry a sector that describes it and what was written.
//! Source: `Documentation/admin-guide/device-mapper/log-writes.rst`, `drivers/md/dm-log-writes.c`.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{Problem, SECTOR, doing};

const MAGIC: u64 = 0x006a_7366_7773_6872;
const VERSION: u64 = 1;
const FLUSH: u64 = 1;
const FUA: u64 = 1 << 1;
const DISCARD: u64 = 1 << 2;

/// What was written, and where it lies.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) file: File,
    /// In their order.
    pub(crate) entries: Vec<Entry>,
}

/// Something that was done to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where the log tells of it, in sectors.
    pub(crate) at: u64,
    /// What it was.
    pub(crate) did: Did,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Did {
    /// Sectors were written.
    Write {
        /// The first one.
        sector: u64,
        /// How many.
        count: u64,
        /// Where the log has what was written, in sectors.
        data: u64,
    },
    /// All that was written before is on the disk.
    Flush,
}

impl Log {
    /// Reads what the log tells of before its sector `last`.
    ///
    /// # Errors
    /// It is no log, or it has what nothing here knows.
    pub(crate) fn read(path: &Path, last: u64) -> Result<Self, Problem> {
        let file = File::open(path).map_err(doing("open", path))?;
        let mut head = [0; SECTOR];
        let mut read = |at: u64| {
            file.read_exact_at(&mut head, at * SECTOR as u64).map_err(doing("read", path))?;
            let mut numbers = [0; 4];
            for (number, bytes) in numbers.iter_mut().zip(head.chunks_exact(8)) {
                *number = le(bytes);
            }
            Ok::<_, Problem>(numbers)
        };
        let [magic, version, _, size] = read(0)?;
        if magic != MAGIC || version != VERSION || size & 0xffff_ffff != SECTOR as u64 {
            return Err(Problem::Recording("its log is no log of writes".to_owned()));
        }
        let mut entries = Vec::new();
        let mut at = 1;
        while at < last {
            let [sector, count, flags, _] = read(at)?;
            let entry = Entry { at, did: did(at, sector, count, flags)? };
            entries.push(entry);
            at += 1 + entry.sectors();
        }
        Ok(Self { file, entries })
    }

    /// The first entry at or after this sector of the log.
    #[must_use]
    pub(crate) fn entry_at(&self, position: u64) -> usize {
        self.entries.partition_point(|entry| entry.at < position)
    }
}

impl Entry {
    fn sectors(self) -> u64 {
        match self.did {
            Did::Write { count, .. } => count,
            Did::Flush => 0,
        }
    }

    pub(crate) fn is_flush(self) -> bool {
        self.did == Did::Flush
    }
}

fn did(at: u64, sector: u64, count: u64, flags: u64) -> Result<Did, Problem> {
    match flags {
        0 if count > 0 => Ok(Did::Write { sector, count, data: at + 1 }),
        FLUSH if count == 0 => Ok(Did::Flush),
        DISCARD | FUA => Err(Problem::Recording(format!("at {at}: nothing here knows {flags}"))),
        _ => Err(Problem::Recording(format!("its log makes no sense at {at}"))),
    }
}

fn le(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A log as QEMU writes one; a write is where and what, a flush is none.
    pub(crate) fn log_of(path: &Path, entries: &[Option<(u64, &[u8])>]) -> u64 {
        let sector = |numbers: [u64; 4]| {
            let mut bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
            bytes.resize(SECTOR, 0);
            bytes
        };
        let mut bytes = sector([MAGIC, VERSION, entries.len() as u64, SECTOR as u64]);
        for entry in entries {
            match entry {
                None => bytes.extend(sector([0, 0, FLUSH, 0])),
                Some((at, data)) => {
                    bytes.extend(sector([*at, (data.len() / SECTOR) as u64, 0, 0]));
                    bytes.extend_from_slice(data);
                }
            }
        }
        std::fs::write(path, &bytes).unwrap();
        (bytes.len() / SECTOR) as u64
    }

    #[test]
    fn it_is_read_up_to_where_nothing_more_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let two = [7; 2 * SECTOR];
        let length = log_of(&path, &[Some((9, &two)), None, Some((3, &two[..SECTOR]))]);
        let log = Log::read(&path, length).unwrap();
        let write =
            |at, sector, count| Entry { at, did: Did::Write { sector, count, data: at + 1 } };
        let flush = Entry { at: 4, did: Did::Flush };
        assert_eq!(log.entries, [write(1, 9, 2), flush, write(5, 3, 1)]);
        assert_eq!(log.entry_at(4), 1);
        assert_eq!(Log::read(&path, 5).unwrap().entries.len(), 2);
        assert!(Log::read(&path, length + 1).is_err(), "it has no more");
        std::fs::write(&path, [0; SECTOR]).unwrap();
        assert!(Log::read(&path, 1).is_err());
    }
}
