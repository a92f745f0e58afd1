//! A disk as a power cut left it: where the content of each sector comes from.
//!
//! Nothing is copied for a state: a sector is either the recorded disk's or some entry's of the
//! log, and that is all that is kept. So what was worked out once of the same sectors from the
//! same places need not be worked out again.

use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io;
use std::os::unix::fs::FileExt;

use crate::SECTOR;
use crate::log::{Did, Log};

/// The sector is what it was before the first write of the log. No data lies there.
pub(crate) const BASE: u32 = 0;

/// A disk in some state.
pub(crate) struct Disk<'a> {
    base: &'a File,
    log: &'a Log,
    /// For each sector [`BASE`], or the sector of the log that has its content.
    source: Vec<u32>,
    /// Entries of the log that are there whole.
    applied: usize,
}

/// What bytes can be read from.
pub(crate) trait Bytes {
    /// Fills `buffer` from byte `offset` on.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
}

impl Bytes for Disk<'_> {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        Disk::read(self, offset, buffer)
    }
}

impl Bytes for File {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

/// A sector and where its content is.
pub(crate) type Source = (u64, u32);

impl<'a> Disk<'a> {
    /// The disk before the first write.
    pub(crate) fn new(base: &'a File, log: &'a Log) -> io::Result<Self> {
        let sectors = usize::try_from(base.metadata()?.len()).map_err(io::Error::other)? / SECTOR;
        Ok(Self { base, log, source: vec![BASE; sectors], applied: 0 })
    }

    /// The disk once the first `count` entries are there; it only goes forward.
    pub(crate) fn advance(&mut self, count: usize) -> io::Result<()> {
        while self.applied < count {
            for (sector, source) in written(self.log, self.applied)? {
                self.put(sector, source)?;
            }
            self.applied += 1;
        }
        Ok(())
    }

    /// Sets a sector; what it was.
    pub(crate) fn put(&mut self, sector: u64, source: u32) -> io::Result<u32> {
        let place = usize::try_from(sector).ok().and_then(|at| self.source.get_mut(at));
        let place = place.ok_or_else(|| beyond(sector))?;
        Ok(std::mem::replace(place, source))
    }

    /// Sets these sectors; what they were, for [`undo`](Self::undo).
    pub(crate) fn apply(&mut self, sectors: &[Source]) -> io::Result<Vec<Source>> {
        sectors.iter().map(|(sector, to)| Ok((*sector, self.put(*sector, *to)?))).collect()
    }

    /// Sets sectors back.
    pub(crate) fn undo(&mut self, before: Vec<Source>) -> io::Result<()> {
        // A sector may have been set more than once.
        before.into_iter().rev().try_for_each(|(sector, was)| self.put(sector, was).map(drop))
    }

    /// Writes to a copy of the recorded disk what is another now.
    pub(crate) fn write_differences(&self, copy: &File) -> io::Result<()> {
        let mut bytes = [0; SECTOR];
        for (sector, source) in (0u64..).zip(&self.source) {
            if *source != BASE {
                self.read(sector * SECTOR as u64, &mut bytes)?;
                copy.write_all_at(&bytes, sector * SECTOR as u64)?;
            }
        }
        copy.sync_all()
    }

    /// Where a sector comes from.
    pub(crate) fn source(&self, sector: u64) -> io::Result<u32> {
        let place = usize::try_from(sector).ok().and_then(|at| self.source.get(at));
        place.copied().ok_or_else(|| beyond(sector))
    }

    /// Reads from byte `offset` on.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let (mut at, mut left) = (offset, buffer);
        while !left.is_empty() {
            let within = at % SECTOR as u64;
            let within = usize::try_from(within).unwrap_or(0);
            let wanted = (within + left.len()).div_ceil(SECTOR);
            let (source, sectors) = self.run(at / SECTOR as u64, wanted)?;
            let length = left.len().min(sectors * SECTOR - within);
            let (part, rest) = left.split_at_mut(length);
            match source {
                BASE => self.base.read_exact_at(part, at)?,
                _ => {
                    let from = u64::from(source) * SECTOR as u64 + within as u64;
                    self.log.file.read_exact_at(part, from)?;
                }
            }
            at += length as u64;
            left = rest;
        }
        Ok(())
    }

    /// Adds where `length` bytes from `offset` on come from to what tells contents apart. Both are
    /// multiples of a sector.
    pub(crate) fn tell(&self, offset: u64, length: u64, hasher: &mut impl Hasher) {
        offset.hash(hasher);
        self.source.get(sectors(offset, length)).hash(hasher);
    }

    /// The source of a sector, and how many of the wanted ones lie one behind the other there.
    fn run(&self, sector: u64, wanted: usize) -> io::Result<(u32, usize)> {
        let at = usize::try_from(sector).map_err(io::Error::other)?;
        let all = self.source.get(at..(at + wanted).min(self.source.len())).unwrap_or_default();
        let first = *all.first().ok_or_else(|| beyond(sector))?;
        let step = u32::from(first != BASE);
        let follows =
            all.iter().zip(0u32..).take_while(|(it, number)| **it == first + number * step);
        Ok((first, follows.count()))
    }
}

/// The sectors that entry `number` wrote, and where they are.
pub(crate) fn written(
    log: &Log,
    number: usize,
) -> io::Result<impl Iterator<Item = Source> + use<>> {
    let (sector, count, data) = match log.entries[number].did {
        Did::Write { sector, count, data } => (sector, count, data),
        Did::Flush => (0, 0, 0),
    };
    let data = u32::try_from(data).map_err(io::Error::other)?;
    Ok((sector..sector + count).zip(data..))
}

fn sectors(offset: u64, length: u64) -> std::ops::Range<usize> {
    let place = |bytes: u64| usize::try_from(bytes / SECTOR as u64).unwrap_or(usize::MAX);
    place(offset)..place(offset.saturating_add(length))
}

fn beyond(sector: u64) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the disk has no sector {sector}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::tests::log_of;

    #[test]
    fn a_sector_is_what_was_written_there_last() {
        let folder = tempfile::tempdir().unwrap();
        let [base, path] = ["base", "log"].map(|name| folder.path().join(name));
        std::fs::write(&base, [b'-'; 6 * SECTOR]).unwrap();
        let two = [[b'a'; SECTOR], [b'b'; SECTOR]].concat();
        let last = log_of(&path, &[Some((1, &two)), None, Some((2, &[b'c'; SECTOR]))]);
        let log = Log::read(&path, last).unwrap();
        let base = File::open(&base).unwrap();
        let mut disk = Disk::new(&base, &log).unwrap();
        let check = |disk: &Disk<'_>, expected: &str| {
            let mut bytes = [0; 6 * SECTOR];
            disk.read(0, &mut bytes).unwrap();
            let first: Vec<u8> = bytes.iter().step_by(SECTOR).copied().collect();
            assert_eq!(String::from_utf8(first).unwrap(), expected);
            let mut middle = [0; SECTOR];
            disk.read(SECTOR as u64 * 3 / 2, &mut middle).unwrap();
            assert_eq!([middle[0], middle[SECTOR - 1]], [bytes[SECTOR], bytes[2 * SECTOR]]);
        };
        check(&disk, "------");
        disk.advance(2).unwrap();
        check(&disk, "-ab---");
        let before = disk.put(2, BASE).unwrap();
        check(&disk, "-a----");
        disk.put(2, before).unwrap();
        disk.advance(3).unwrap();
        check(&disk, "-ac---");
        assert!(disk.put(6, BASE).is_err() && disk.read(6 * SECTOR as u64, &mut [0]).is_err());
    }
}
