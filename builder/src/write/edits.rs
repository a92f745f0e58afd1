//! Changes to what is on a medium, kept in memory until all of them are ready, and then written
//! with the beginning last: what a cut leaves has no partition table and boots nowhere.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};

use anyhow::{Context, Result, bail};

use super::medium::{Buffer, Medium};

/// Bytes that are read and written at a time; what firmware reads of a partition table fits in one.
const BLOCK: u64 = 64 << 10;

/// The medium as it will be.
pub(super) struct Edits<'m> {
    medium: &'m mut dyn Medium,
    blocks: BTreeMap<u64, Block>,
    position: u64,
}

struct Block {
    bytes: Buffer,
    changed: bool,
}

impl<'m> Edits<'m> {
    /// No changes yet. What was written to the medium must have been synced.
    pub(super) fn new(medium: &'m mut dyn Medium) -> Self {
        Self { medium, blocks: BTreeMap::new(), position: 0 }
    }

    /// Writes the changes from `beginning` on, and then those before it, the very first of all
    /// last. Each part is synced and read back before the next.
    ///
    /// # Errors
    /// Something cannot be written, or reads back otherwise. `beginning` was then not written, or
    /// is zeros again where that can be done.
    pub(super) fn save(mut self, beginning: u64) -> Result<()> {
        let changed = |(at, block): (&u64, &Block)| block.changed.then_some(*at);
        let all: Vec<u64> = self.blocks.iter().filter_map(changed).collect();
        let (head, rest): (Vec<u64>, Vec<u64>) = all.into_iter().partition(|at| *at < beginning);
        self.write(&rest)?;
        let (first, others): (Vec<u64>, Vec<u64>) = head.into_iter().partition(|at| *at == 0);
        let written = self.write(&others).and_then(|()| self.write(&first));
        if written.is_err() {
            // The first error is the one to tell.
            let _ = erase(self.medium, beginning);
        }
        written
    }

    fn write(&mut self, blocks: &[u64]) -> Result<()> {
        for at in blocks {
            let block = &self.blocks[at].bytes;
            self.medium.write_at(block, *at).with_context(|| failed("write", *at))?;
        }
        self.medium.sync().context("cannot make safe what was written")?;
        for at in blocks {
            let block = &self.blocks[at].bytes;
            let mut there = Buffer::zeroed(block.len());
            self.medium.read_at(&mut there, *at).with_context(|| failed("read back", *at))?;
            refuse_difference(block, &there, *at)?;
        }
        Ok(())
    }

    fn block(&mut self, at: u64) -> io::Result<&mut Block> {
        let start = at - at % BLOCK;
        if !self.blocks.contains_key(&start) {
            let length = BLOCK.min(self.medium.size().saturating_sub(start));
            let mut bytes = Buffer::zeroed(length as usize);
            self.medium.read_at(&mut bytes, start)?;
            self.blocks.insert(start, Block { bytes, changed: false });
        }
        self.blocks.get_mut(&start).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// How far a read or write at the position goes within one block, up to `length`.
    fn reach(&self, length: usize) -> usize {
        let left = self.medium.size().saturating_sub(self.position);
        let in_block = BLOCK - self.position % BLOCK;
        left.min(in_block).min(length as u64) as usize
    }
}

/// Zeros in place of everything before `end`, safely.
///
/// # Errors
/// They cannot be written.
pub(super) fn erase(medium: &mut dyn Medium, end: u64) -> io::Result<()> {
    let end = end.min(medium.size());
    medium.write_at(&Buffer::zeroed(end as usize), 0)?;
    medium.sync()
}

/// # Errors
/// What was read back is something else than what was written at `offset`.
pub(super) fn refuse_difference(written: &[u8], there: &[u8], offset: u64) -> Result<()> {
    match written.iter().zip(there).position(|(one, other)| one != other) {
        None => Ok(()),
        Some(at) => bail!(
            "what was written at byte {} reads back otherwise\nhint: the disk is bad, or is smaller \
             than it says; use another one",
            offset + at as u64
        ),
    }
}

fn failed(doing: &str, at: u64) -> String {
    format!("cannot {doing} byte {at}")
}

impl Read for Edits<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reach(buffer.len());
        let (position, within) = (self.position, (self.position % BLOCK) as usize);
        if length > 0 {
            let block = self.block(position)?;
            buffer[..length].copy_from_slice(&block.bytes[within..within + length]);
        }
        self.position += length as u64;
        Ok(length)
    }
}

impl Write for Edits<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = self.reach(bytes.len());
        let (position, within) = (self.position, (self.position % BLOCK) as usize);
        if length > 0 {
            let block = self.block(position)?;
            let there = &mut block.bytes[within..within + length];
            block.changed |= there != &bytes[..length];
            there.copy_from_slice(&bytes[..length]);
        }
        self.position += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Edits<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.medium.size().checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

impl fmt::Debug for Edits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edits").field("blocks", &self.blocks.len()).finish_non_exhaustive()
    }
}
