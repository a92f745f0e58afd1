//! The beginning and the end of a disk in memory: all that a partition table touches, so that it is
//! changed there as a whole, and written so that one of its two copies is good at any moment.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use basalt_sysroot::partition::{ALIGNMENT, SectorSize};
use gpt::GptError;

use super::Table;

/// Bytes of either: what lies before the first partition, and behind the last one.
const END: usize = ALIGNMENT as usize;
const HEAD: u64 = ALIGNMENT;

/// The first and the last MiB of a disk.
#[derive(Clone)]
pub struct Ends {
    size: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
    position: u64,
}

impl Ends {
    /// Those of a disk of `size` bytes on which nothing is; it has at least 2 MiB.
    #[must_use]
    pub fn blank(size: u64) -> Self {
        Self { size, head: vec![0; END], tail: vec![0; END], position: 0 }
    }

    /// Those of a disk that is there.
    ///
    /// # Errors
    /// It cannot be read, or is too small to be one.
    pub fn read(disk: &File, size: u64) -> io::Result<Self> {
        let mut ends = Self::blank(size);
        if size < 2 * ALIGNMENT {
            return Err(io::Error::other("the disk has less than 2 MiB"));
        }
        disk.read_exact_at(&mut ends.head, 0)?;
        let tail_start = ends.tail_start();
        disk.read_exact_at(&mut ends.tail, tail_start)?;
        Ok(ends)
    }

    /// Writes them to the disk: the end with the backup first, and the beginning once that is safe.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, disk: &File) -> io::Result<()> {
        disk.write_all_at(&self.tail, self.tail_start())?;
        disk.sync_all()?;
        disk.write_all_at(&self.head, 0)?;
        disk.sync_all()
    }

    /// The partition table in them: the second copy where the first one is damaged, be it its header
    /// or its entries.
    ///
    /// # Errors
    /// There is none, or both are damaged.
    pub fn table(&self, sector: SectorSize) -> Result<Table, GptError> {
        let first = Table::read(&mut self.clone(), self.size, sector);
        first.or_else(|error| {
            let mut without_first = self.clone();
            let header = sector.bytes() as usize;
            without_first.head[header..2 * header].fill(0);
            Table::read(&mut without_first, self.size, sector).map_err(|_| error)
        })
    }

    /// The first bytes of the disk.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    fn tail_start(&self) -> u64 {
        self.size - END as u64
    }

    /// The bytes from the position on that are in memory.
    fn here(&mut self) -> io::Result<&mut [u8]> {
        let (position, tail) = (self.position, self.tail_start());
        match position {
            0..HEAD => Ok(&mut self.head[position as usize..]),
            _ if position > self.size => Ok(&mut []),
            _ if position >= tail => Ok(&mut self.tail[(position - tail) as usize..]),
            _ => Err(io::Error::other("a partition table has nothing in the middle of a disk")),
        }
    }
}

impl Read for Ends {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let here = self.here()?;
        let length = here.len().min(buffer.len());
        buffer[..length].copy_from_slice(&here[..length]);
        self.position += length as u64;
        Ok(length)
    }
}

impl Write for Ends {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let here = self.here()?;
        let length = here.len().min(bytes.len());
        here[..length].copy_from_slice(&bytes[..length]);
        self.position += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Ends {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends").field("size", &self.size).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use basalt_sysroot::partition::{Extent, VAR_TYPE};
    use uuid::Uuid;

    use super::super::Entry;
    use super::*;

    const SIZE: u64 = 64 << 20;

    /// A table with a partition that stays and one that does not.
    fn table(other: u128, sector: SectorSize) -> Table {
        let entry = |start: u64, id| Entry {
            extent: Extent { start: start << 20, length: 10 << 20 },
            kind: VAR_TYPE,
            id: Uuid::from_u128(id),
            name: "x".to_owned(),
            flags: 0,
        };
        let entries = [(1, entry(1, other)), (2, entry(40, 7))].into();
        Table { id: Uuid::from_u128(1), size: SIZE, sector, entries }
    }

    /// What is read of a disk with such a beginning and such an end.
    fn read(head: &[u8], tail: &[u8], sector: SectorSize) -> Table {
        let mut ends = Ends::blank(SIZE);
        ends.head.copy_from_slice(head);
        ends.tail.copy_from_slice(tail);
        ends.table(sector).unwrap()
    }

    #[test]
    fn a_table_that_is_cut_off_while_it_is_written_is_the_old_or_the_new_one() {
        for sector in [SectorSize::B512, SectorSize::B4096] {
            let (mut old, mut new) = (Ends::blank(SIZE), Ends::blank(SIZE));
            table(2, sector).write(&mut old).unwrap();
            new.head.copy_from_slice(&old.head);
            new.tail.copy_from_slice(&old.tail);
            table(3, sector).write(&mut new).unwrap();
            let step = sector.bytes() as usize;
            let cut = |from: &[u8], to: &[u8], at: usize| [&to[..at], &from[at..]].concat();
            for at in (0..=END).step_by(step).filter(|at| *at < 20 << 10 || END - at < 20 << 10) {
                // The end comes first; the beginning once that is safe.
                let tail = cut(&old.tail, &new.tail, at);
                assert_eq!(read(&old.head, &tail, sector), table(2, sector));
                let head = cut(&old.head, &new.head, at);
                let found = read(&head, &new.tail, sector);
                assert!(found == table(2, sector) || found == table(3, sector), "cut at {at}");
            }
        }
    }
}
