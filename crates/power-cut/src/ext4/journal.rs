//! What the journal of an ext4 has in place of blocks, as the kernel replays it after a power cut.
//!
//! Source: `fs/jbd2/recovery.c` and `include/linux/jbd2.h`. A transaction counts once its commit
//! block is there; a block that a later transaction revoked is left as it is.

use std::collections::{BTreeMap, HashMap};
use std::io;

use super::{Ext4, JOURNAL};

const MAGIC: u32 = 0xc03b_3998;
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const REVOKE: u32 = 5;

const HAS_64BIT: u32 = 2;
const HAS_CHECKSUMS_V3: u32 = 16;
/// Features that are known; a fast commit is not.
const KNOWN: u32 = 1 | HAS_64BIT | HAS_CHECKSUMS_V3;

/// The block began with the journal's own magic number, which is left out.
const ESCAPED: u32 = 1;
const SAME_ID: u32 = 2;
const LAST: u32 = 8;

struct Journal<'a> {
    file_system: &'a Ext4<'a>,
    /// Where its blocks lie.
    blocks: Vec<u64>,
    first: usize,
    features: u32,
}

/// A transaction that is whole.
struct Transaction {
    sequence: u32,
    /// A block, where the journal has it, and whether it is escaped.
    written: Vec<(u64, u64, bool)>,
    revoked: Vec<u64>,
}

/// The blocks that the journal has, with their content.
pub(super) fn replay(file_system: &Ext4<'_>) -> io::Result<BTreeMap<u64, Vec<u8>>> {
    let mut blocks = Vec::new();
    for extent in file_system.extents(&file_system.inode(JOURNAL)?)? {
        let at = extent.at.ok_or_else(|| io::Error::other("the journal has holes"))?;
        blocks.extend(at..at + extent.count);
    }
    let head = *blocks.first().ok_or_else(|| io::Error::other("the journal has no blocks"))?;
    let head = file_system.read_block(head)?;
    let (sequence, start, features) = (be32(&head, 24), be32(&head, 28), be32(&head, 40));
    if be32(&head, 0) != MAGIC || features & !KNOWN != 0 {
        return Err(io::Error::other("nothing here knows such a journal"));
    }
    let first = usize::try_from(be32(&head, 20)).map_err(io::Error::other)?;
    let journal = Journal { file_system, blocks, first, features };
    journal.contents(&journal.transactions(sequence, start)?)
}

impl Journal<'_> {
    /// All whole ones from block `start` on; none where that is 0.
    fn transactions(&self, sequence: u32, start: u32) -> io::Result<Vec<Transaction>> {
        let (mut found, mut at, mut sequence) = (Vec::new(), start as usize, sequence);
        let empty = |sequence| Transaction { sequence, written: Vec::new(), revoked: Vec::new() };
        let mut open = empty(sequence);
        // Not for ever, where it makes no sense.
        for _ in 0..self.blocks.len() {
            if start == 0 || at >= self.blocks.len() {
                break;
            }
            let block = self.block(at)?;
            if be32(&block, 0) != MAGIC || be32(&block, 8) != sequence {
                break;
            }
            at = self.after(at);
            match be32(&block, 4) {
                DESCRIPTOR => {
                    for (number, escaped) in self.tags(&block) {
                        let copy = *self.blocks.get(at).ok_or_else(damaged)?;
                        open.written.push((number, copy, escaped));
                        at = self.after(at);
                    }
                }
                REVOKE => open.revoked.extend(self.revoked(&block)),
                COMMIT => {
                    sequence = sequence.wrapping_add(1);
                    found.push(std::mem::replace(&mut open, empty(sequence)));
                }
                _ => break,
            }
        }
        Ok(found)
    }

    fn contents(&self, transactions: &[Transaction]) -> io::Result<BTreeMap<u64, Vec<u8>>> {
        let mut revoked: HashMap<u64, u32> = HashMap::new();
        for transaction in transactions {
            revoked.extend(transaction.revoked.iter().map(|block| (*block, transaction.sequence)));
        }
        let mut copies = HashMap::new();
        for Transaction { sequence, written, .. } in transactions {
            let stays = |block: &u64| revoked.get(block).is_none_or(|last| last < sequence);
            let written = written.iter().filter(|(block, ..)| stays(block));
            copies.extend(written.map(|(block, copy, escaped)| (*block, (*copy, *escaped))));
        }
        let mut contents = BTreeMap::new();
        for (block, (copy, escaped)) in copies {
            let mut content = self.file_system.read_block(copy)?;
            if escaped {
                content[..4].copy_from_slice(&MAGIC.to_be_bytes());
            }
            contents.insert(block, content);
        }
        Ok(contents)
    }

    /// The blocks that a descriptor names, and whether each is escaped.
    fn tags(&self, block: &[u8]) -> Vec<(u64, bool)> {
        let is_v3 = self.features & HAS_CHECKSUMS_V3 != 0;
        let has_high = self.features & HAS_64BIT != 0;
        let size = if is_v3 { 16 } else { 8 + if has_high { 4 } else { 0 } };
        let (mut tags, mut at) = (Vec::new(), 12);
        while let Some(tag) = block.get(at..at + size) {
            let flags = if is_v3 { be32(tag, 4) } else { be32(tag, 4) & 0xffff };
            let high = if has_high { u64::from(be32(tag, 8)) } else { 0 };
            tags.push((high << 32 | u64::from(be32(tag, 0)), flags & ESCAPED != 0));
            if flags & LAST != 0 {
                break;
            }
            at += size + if flags & SAME_ID == 0 { 16 } else { 0 };
        }
        tags
    }

    fn revoked(&self, block: &[u8]) -> Vec<u64> {
        let used = (be32(block, 12) as usize).min(block.len());
        let records = block.get(16..used).unwrap_or_default();
        if self.features & HAS_64BIT == 0 {
            return records.chunks_exact(4).map(|it| u64::from(be32(it, 0))).collect();
        }
        let wide = |it: &[u8]| u64::from(be32(it, 0)) << 32 | u64::from(be32(it, 4));
        records.chunks_exact(8).map(wide).collect()
    }

    fn block(&self, at: usize) -> io::Result<Vec<u8>> {
        self.file_system.read_block(*self.blocks.get(at).ok_or_else(damaged)?)
    }

    /// The block behind this one: behind the last comes the first.
    fn after(&self, at: usize) -> usize {
        if at + 1 < self.blocks.len() { at + 1 } else { self.first }
    }
}

fn damaged() -> io::Error {
    io::Error::other("the journal is damaged")
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
