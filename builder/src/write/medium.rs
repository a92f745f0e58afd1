//! The edge to what is written: a disk or a file, past the page cache where it can be.
//!
//! It decides nothing. What it reads comes from the disk itself and not from memory, or a read-back
//! would prove nothing.

use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::FileExt;

use rustix::fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;

/// What direct I/O wants of addresses, offsets and lengths, on every disk there is.
const ALIGNMENT: usize = 4096;

/// What the writer asks of its target.
pub(super) trait Medium {
    /// How many bytes it has.
    fn size(&self) -> u64;

    /// Reads these bytes as the medium has them. What was written must have been synced.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of these bytes. They are safe after the next [sync](Self::sync).
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes zeros of a range without writing them; `false` when the medium cannot, and what is
    /// there is as it was. Both ends lie at sectors.
    ///
    /// # Errors
    /// What the system says.
    fn zero(&mut self, offset: u64, length: u64) -> io::Result<bool>;

    /// Returns once all that was written is safe over a power cut.
    ///
    /// # Errors
    /// What the system says: something that was written before may be lost.
    fn sync(&mut self) -> io::Result<()>;
}

/// A block device or a file.
#[derive(Debug)]
pub(super) struct Disk {
    file: File,
    size: u64,
    direct: Direct,
}

/// Whether reads and writes go past the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direct {
    Off,
    On,
    /// The file system, as tmpfs, knows no such thing.
    Never,
}

impl Disk {
    /// What lies behind an open file, which can be read and written.
    #[must_use]
    pub(super) fn new(file: File, size: u64) -> Self {
        Self { file, size, direct: Direct::Off }
    }

    /// Goes past the page cache for what is aligned, where the system can.
    fn prepare(&mut self, bytes: &[u8], offset: u64) {
        let aligned = bytes.as_ptr().addr().is_multiple_of(ALIGNMENT)
            && bytes.len().is_multiple_of(ALIGNMENT)
            && offset.is_multiple_of(ALIGNMENT as u64);
        let wanted = if aligned { Direct::On } else { Direct::Off };
        if self.direct == Direct::Never || self.direct == wanted {
            return;
        }
        self.direct = match self.set(wanted) {
            Ok(()) => wanted,
            Err(_) => Direct::Never,
        };
    }

    fn set(&self, direct: Direct) -> Result<(), Errno> {
        let mut flags = fcntl_getfl(&self.file)?;
        flags.set(OFlags::DIRECT, direct == Direct::On);
        fcntl_setfl(&self.file, flags)
    }

    /// Some file systems take the flag and refuse the I/O.
    fn give_direct_up(&mut self, error: &io::Error) -> bool {
        let refused = error.raw_os_error() == Some(Errno::INVAL.raw_os_error());
        if !refused || self.direct != Direct::On {
            return false;
        }
        let off = self.set(Direct::Off).is_ok();
        self.direct = Direct::Never;
        off
    }

    /// Lets the system forget what it has of the range in memory, so that it reads the disk.
    fn drop_cache(&self, offset: u64, length: usize) {
        // It is no promise; where it does nothing, as on tmpfs, there is no disk to read either.
        let _ = fadvise(&self.file, offset, NonZeroU64::new(length as u64), Advice::DontNeed);
    }
}

impl Medium for Disk {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.prepare(buffer, offset);
        self.drop_cache(offset, buffer.len());
        match self.file.read_exact_at(buffer, offset) {
            Err(error) if self.give_direct_up(&error) => {
                self.drop_cache(offset, buffer.len());
                self.file.read_exact_at(buffer, offset)
            }
            result => result,
        }
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.prepare(bytes, offset);
        match self.file.write_all_at(bytes, offset) {
            Err(error) if self.give_direct_up(&error) => self.file.write_all_at(bytes, offset),
            result => result,
        }
    }

    fn zero(&mut self, offset: u64, length: u64) -> io::Result<bool> {
        // On a block device the kernel does this only if the disk itself makes zeros of it.
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&self.file, flags, offset, length) {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::NODEV) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_all()
    }
}

/// Bytes that begin where direct I/O wants them.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    /// As many zeros.
    #[must_use]
    pub(super) fn zeroed(length: usize) -> Self {
        let bytes = vec![0; length + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        Self { bytes, start, length }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_aligned_and_what_is_not_lie_side_by_side() {
        let file = tempfile::tempfile_in(".").unwrap();
        file.set_len(1 << 20).unwrap();
        let mut disk = Disk::new(file, 1 << 20);
        let mut aligned = Buffer::zeroed(8192);
        aligned.fill(7);
        disk.write_at(&aligned, 4096).unwrap();
        disk.write_at(&[9; 100], 5000).unwrap();
        disk.sync().unwrap();
        let mut there = Buffer::zeroed(16384);
        disk.read_at(&mut there, 0).unwrap();
        let mut expected = vec![0; 16384];
        expected[4096..12288].fill(7);
        expected[5000..5100].fill(9);
        assert!(there[..] == expected);
        let mut some = [0; 3];
        disk.read_at(&mut some, 5098).unwrap();
        assert_eq!(some, [9, 9, 7]);
    }

    #[test]
    fn a_range_that_was_made_zeros_is_zeros() {
        let mut disk = Disk::new(tempfile::tempfile().unwrap(), 1 << 20);
        disk.write_at(&[7; 1 << 20], 0).unwrap();
        if disk.zero(4096, 8192).unwrap() {
            let mut there = [1; 8193];
            disk.read_at(&mut there, 4096).unwrap();
            assert_eq!(there[..8192], [0; 8192]);
            assert_eq!(there[8192], 7);
        }
    }
}
