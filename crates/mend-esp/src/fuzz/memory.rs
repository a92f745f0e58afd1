//! A partition in memory whose power may go.

use std::cell::{Cell, RefCell};
use std::io;

use crate::Volume;

/// All that a small FAT32 takes is found in this.
const LENGTH: usize = 256 << 10;

/// A partition in memory.
pub(super) struct Memory {
    pub(super) all: RefCell<Vec<u8>>,
    /// What each write since the last sync replaced.
    unsynced: RefCell<Vec<(usize, Vec<u8>)>>,
    /// Writes that it still takes.
    pub(super) left: Cell<usize>,
}

impl Memory {
    pub(super) fn of(mut all: Vec<u8>) -> Self {
        all.resize(LENGTH, 0);
        let (all, unsynced) = (RefCell::new(all), RefCell::new(Vec::new()));
        Self { all, unsynced, left: Cell::new(usize::MAX) }
    }

    /// After its power went: of what was not synced, some is there.
    pub(super) fn cut(&self, seed: usize) -> Self {
        let mut all = self.all.borrow().clone();
        for (number, (at, before)) in self.unsynced.borrow().iter().enumerate().rev() {
            if seed.wrapping_mul(0x9e37_79b9) >> (number % 16 + 8) & 1 == 0 {
                all[*at..*at + before.len()].copy_from_slice(before);
            }
        }
        Self::of(all)
    }

    fn place(&self, at: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
        let at = usize::try_from(at).map_err(io::Error::other)?;
        let end = at.checked_add(length).filter(|end| *end <= self.all.borrow().len());
        Ok(at..end.ok_or(io::ErrorKind::UnexpectedEof)?)
    }
}

impl Volume for Memory {
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        let place = self.place(at, bytes.len())?;
        bytes.copy_from_slice(&self.all.borrow()[place]);
        Ok(())
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let place = self.place(at, bytes.len())?;
        let left = self.left.get().checked_sub(1).ok_or_else(|| io::Error::other("cut off"))?;
        self.left.set(left);
        let before = self.all.borrow()[place.clone()].to_vec();
        self.unsynced.borrow_mut().push((place.start, before));
        self.all.borrow_mut()[place].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.unsynced.borrow_mut().clear();
        Ok(())
    }
}
