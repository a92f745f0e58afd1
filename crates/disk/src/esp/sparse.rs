//! A file that stays sparse: zeros are not written where there are zeros already.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

/// A position in a file whose length is fixed, and writes that leave holes alone.
#[derive(Debug)]
pub(super) struct Sparse<'a> {
    file: &'a File,
    position: u64,
}

impl<'a> Sparse<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Self { file, position: 0 }
    }

    fn holds_zeros(&self, length: usize) -> io::Result<bool> {
        let mut there = vec![0; length];
        self.file.read_exact_at(&mut there, self.position)?;
        Ok(is_zero(&there))
    }
}

impl Read for Sparse<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Write for Sparse<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !is_zero(bytes) || !self.holds_zeros(bytes.len())? {
            self.file.write_all_at(bytes, self.position)?;
        }
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Sparse<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.file.metadata()?.len().checked_add_signed(offset),
        };
        self.position = position.ok_or_else(invalid)?;
        Ok(self.position)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn zeros_take_no_room_but_overwrite_what_is_there() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        let mut sparse = Sparse::new(&file);
        sparse.write_all(&[0; 1 << 19]).unwrap();
        assert_eq!(file.metadata().unwrap().blocks(), 0);
        sparse.seek(SeekFrom::Start(5)).unwrap();
        sparse.write_all(b"abc").unwrap();
        sparse.seek(SeekFrom::Current(-2)).unwrap();
        sparse.write_all(&[0]).unwrap();
        let mut there = [1; 5];
        sparse.seek(SeekFrom::Start(4)).unwrap();
        sparse.read_exact(&mut there).unwrap();
        assert_eq!(&there, b"\0a\0c\0");
    }
}
