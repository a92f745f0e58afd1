//! The beginning and the end of a disk in memory: all that a partition table touches, so that it is
//! changed there as a whole, and written so that one of its two copies is good at any moment.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use basalt_sysroot::partition::ALIGNMENT;

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
