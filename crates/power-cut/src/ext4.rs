//! Reads an ext4 as the kernel does: its journal is replayed first, in memory.
//!
//! Knows what `mke2fs` makes by default: extents, 64 bits, folders in order or hashed. Checksums of
//! metadata are not looked at: what they would find, `e2fsck` does.

mod journal;

use std::cell::RefCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io;

use crate::disk::Disk;

const MAGIC: u16 = 0xef53;
const ROOT: u32 = 2;
const JOURNAL: u32 = 8;
const NEEDS_RECOVERY: u32 = 4;
const EXTENTS: u32 = 0x8_0000;
const EXTENT_MAGIC: u16 = 0xf30a;
/// An extent that is longer was set aside and not written.
const WRITTEN: u16 = 32768;
/// Of the tree of a file's extents; the kernel has the same limit.
const DEPTH: u16 = 5;

const FORMAT: u16 = 0xf000;
const FOLDER: u16 = 0x4000;
const FILE: u16 = 0x8000;
const LINK: u16 = 0xa000;

/// A file system in a disk, with its journal replayed.
pub(crate) struct Ext4<'a> {
    disk: &'a Disk<'a>,
    start: u64,
    block: u64,
    inodes_per_group: u32,
    inode_size: u64,
    descriptor_size: u64,
    first_data_block: u64,
    /// What the journal has in place of blocks.
    replayed: BTreeMap<u64, Vec<u8>>,
    /// Blocks of which parts were read, as those of inodes are again and again.
    blocks: RefCell<HashMap<u64, Vec<u8>>>,
}

/// A file, a folder or a link.
#[derive(Debug, Clone)]
pub(crate) struct Inode {
    bytes: Vec<u8>,
}

/// Blocks of a file that lie one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Which of the file's blocks is the first.
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// Where it lies; none where it was never written.
    pub(crate) at: Option<u64>,
}

impl<'a> Ext4<'a> {
    /// The one that begins at byte `start`.
    pub(crate) fn open(disk: &'a Disk<'a>, start: u64) -> io::Result<Self> {
        let mut head = [0; 1024];
        disk.read(start + 1024, &mut head)?;
        if le16(&head, 56) != MAGIC {
            return Err(io::Error::other("the root has no superblock of ext4"));
        }
        let mut it = Self {
            disk,
            start,
            block: 1024 << le32(&head, 24).min(6),
            inodes_per_group: le32(&head, 40).max(1),
            inode_size: u64::from(le16(&head, 88)),
            descriptor_size: u64::from(le16(&head, 254).max(32)),
            first_data_block: u64::from(le32(&head, 20)),
            replayed: BTreeMap::new(),
            blocks: RefCell::default(),
        };
        if le32(&head, 96) & NEEDS_RECOVERY != 0 {
            it.replayed = journal::replay(&it)?;
            it.blocks.take();
        }
        Ok(it)
    }

    pub(crate) fn root(&self) -> io::Result<Inode> {
        self.inode(ROOT)
    }

    /// What is named by a path below a folder; a link is not followed. None where nothing is.
    pub(crate) fn find(&self, from: &Inode, path: &str) -> io::Result<Option<Inode>> {
        let mut inode = from.clone();
        for part in path.split('/') {
            if !inode.is_folder() {
                return Ok(None);
            }
            let named = self.list(&inode)?;
            let Some((_, number)) = named.into_iter().find(|(name, _)| name == part) else {
                return Ok(None);
            };
            inode = self.inode(number)?;
        }
        Ok(Some(inode))
    }

    /// Names in a folder and their numbers, but for itself and the one above.
    pub(crate) fn list(&self, folder: &Inode) -> io::Result<Vec<(String, u32)>> {
        let mut named = Vec::new();
        for extent in self.extents(folder)? {
            let Some(at) = extent.at else { continue };
            for number in 0..extent.count {
                let block = self.read_block(at + number)?;
                names(&block, &mut named).ok_or_else(|| io::Error::other("a folder is damaged"))?;
            }
        }
        Ok(named)
    }

    pub(crate) fn inode(&self, number: u32) -> io::Result<Inode> {
        let index = number.checked_sub(1).ok_or_else(|| io::Error::other("there is no inode 0"))?;
        let (group, within) = (index / self.inodes_per_group, index % self.inodes_per_group);
        let at = (self.first_data_block + 1) * self.block + u64::from(group) * self.descriptor_size;
        let descriptor = self.read(at, 64)?;
        let high = if self.descriptor_size >= 64 { le32(&descriptor, 40) } else { 0 };
        let table = u64::from(high) << 32 | u64::from(le32(&descriptor, 8));
        let at = table * self.block + u64::from(within) * self.inode_size;
        let bytes = self.read(at, usize::try_from(self.inode_size).unwrap_or(128))?;
        Ok(Inode { bytes })
    }

    /// Where a file's blocks lie, in their order.
    pub(crate) fn extents(&self, inode: &Inode) -> io::Result<Vec<Extent>> {
        if le32(&inode.bytes, 32) & EXTENTS == 0 {
            let nothing = inode.size() == 0;
            return if nothing { Ok(Vec::new()) } else { Err(io::Error::other("no extents")) };
        }
        let mut all = Vec::new();
        self.collect(&inode.bytes[40..100], DEPTH, &mut all)?;
        Ok(all)
    }

    fn collect(&self, node: &[u8], depth_left: u16, all: &mut Vec<Extent>) -> io::Result<()> {
        let (count, depth) = (usize::from(le16(node, 2)), le16(node, 6));
        if le16(node, 0) != EXTENT_MAGIC || depth > depth_left || 12 * (count + 1) > node.len() {
            return Err(io::Error::other("a tree of extents is damaged"));
        }
        for entry in node[12..].chunks_exact(12).take(count) {
            if depth == 0 {
                let (length, low) = (le16(entry, 4), u64::from(le32(entry, 8)));
                let at = u64::from(le16(entry, 6)) << 32 | low;
                let written = length <= WRITTEN;
                all.push(Extent {
                    first: u64::from(le32(entry, 0)),
                    count: u64::from(if written { length } else { length - WRITTEN }),
                    at: written.then_some(at),
                });
            } else {
                let at = u64::from(le16(entry, 8)) << 32 | u64::from(le32(entry, 4));
                let block = self.read_block(at)?;
                self.collect(&block, depth - 1, all)?;
            }
        }
        Ok(())
    }

    /// All of a file, or where a link leads.
    pub(crate) fn content(&self, inode: &Inode) -> io::Result<Vec<u8>> {
        let size = usize::try_from(inode.size()).map_err(io::Error::other)?;
        if inode.is_link() && size < 60 && le32(&inode.bytes, 32) & EXTENTS == 0 {
            return Ok(inode.bytes[40..40 + size].to_vec());
        }
        let mut all = vec![0; size];
        for extent in self.extents(inode)? {
            let Some(at) = extent.at else { continue };
            for number in 0..extent.count {
                let block = self.read_block(at + number)?;
                let begin = usize::try_from((extent.first + number) * self.block);
                let rest = begin.ok().and_then(|begin| all.get_mut(begin..)).unwrap_or_default();
                for (to, from) in rest.iter_mut().zip(block) {
                    *to = from;
                }
            }
        }
        Ok(all)
    }

    /// The place of an extent on the disk, in bytes; none where the journal has a part of it.
    pub(crate) fn place(&self, extent: &Extent) -> Option<(u64, u64)> {
        let at = extent.at?;
        let is_replayed = self.replayed.range(at..at + extent.count).next().is_some();
        let place = (self.start + at * self.block, extent.count * self.block);
        if is_replayed { None } else { Some(place) }
    }

    fn read_block(&self, number: u64) -> io::Result<Vec<u8>> {
        if let Some(block) = self.replayed.get(&number) {
            return Ok(block.clone());
        }
        let mut bytes = vec![0; usize::try_from(self.block).unwrap_or(4096)];
        self.disk.read(self.start + number * self.block, &mut bytes)?;
        Ok(bytes)
    }

    /// Bytes of the file system, within a block.
    fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let (number, within) = (at / self.block, usize::try_from(at % self.block).unwrap_or(0));
        let mut blocks = self.blocks.borrow_mut();
        let block = match blocks.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(self.read_block(number)?),
        };
        let part = block.get(within..within + length);
        part.map(<[u8]>::to_vec).ok_or_else(|| io::Error::other("beyond a block"))
    }
}

impl Inode {
    pub(crate) fn is_folder(&self) -> bool {
        self.mode() & FORMAT == FOLDER
    }

    pub(crate) fn is_file(&self) -> bool {
        self.mode() & FORMAT == FILE
    }

    pub(crate) fn is_link(&self) -> bool {
        self.mode() & FORMAT == LINK
    }

    pub(crate) fn size(&self) -> u64 {
        u64::from(le32(&self.bytes, 108)) << 32 | u64::from(le32(&self.bytes, 4))
    }

    /// What a check goes by beside the content: mode, owners, flags, extended attributes.
    pub(crate) fn attributes(&self) -> Vec<u8> {
        let parts = [2..4, 0..2, 24..26, 32..36, 104..108, 120..124];
        let mut all: Vec<u8> =
            parts.into_iter().flat_map(|part| self.bytes[part].to_vec()).collect();
        if let Some(extra) = self.bytes.get(128..130) {
            let begin = 128 + usize::from(le16(extra, 0));
            all.extend_from_slice(self.bytes.get(begin..).unwrap_or_default());
        }
        all
    }

    fn mode(&self) -> u16 {
        le16(&self.bytes, 0)
    }
}

/// Reads a folder's block; none where it makes no sense.
fn names(block: &[u8], named: &mut Vec<(String, u32)>) -> Option<()> {
    let mut rest = block;
    while rest.len() >= 8 {
        let (number, length, name) = (le32(rest, 0), usize::from(le16(rest, 4)), rest[6]);
        if length < 8 || length > rest.len() {
            return None;
        }
        let name = rest.get(8..8 + usize::from(name))?;
        if number != 0 && name != b"." && name != b".." {
            named.push((String::from_utf8_lossy(name).into_owned(), number));
        }
        rest = &rest[length..];
    }
    Some(())
}

fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    use basalt_cmd::Cmd;

    use super::*;
    use crate::log::Log;
    use crate::log::tests::log_of;

    /// An ext4 with what lies in a folder.
    fn made(work: &Path) -> PathBuf {
        let (tree, image) = (work.join("tree"), work.join("image"));
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/file"), "x".repeat(9000)).unwrap();
        fs::write(tree.join("a/b/empty"), "").unwrap();
        symlink("short/way", tree.join("a/short")).unwrap();
        symlink("long/".repeat(30), tree.join("a/long")).unwrap();
        for number in 0..600 {
            fs::write(tree.join(format!("a/b/{number:0>40}")), "").unwrap();
        }
        let mke2fs = Cmd::new("mke2fs").args(["-q", "-t", "ext4", "-b", "4096", "-d"]);
        mke2fs.arg(&tree).arg(&image).arg("64M").run().unwrap();
        image
    }

    fn with<T>(image: &Path, look: impl FnOnce(&Ext4<'_>) -> T) -> T {
        let path = image.with_extension("log");
        let last = log_of(&path, &[]);
        let log = Log::read(&path, last).unwrap();
        let base = File::open(image).unwrap();
        let disk = Disk::new(&base, &log).unwrap();
        look(&Ext4::open(&disk, 0).unwrap())
    }

    #[test]
    fn what_mke2fs_wrote_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let image = made(folder.path());
        with(&image, |ext4| {
            let root = ext4.root().unwrap();
            let find = |path: &str| ext4.find(&root, path).unwrap();
            let text = |path: &str| {
                String::from_utf8(ext4.content(&find(path).unwrap()).unwrap()).unwrap()
            };
            assert_eq!(text("a/file"), "x".repeat(9000));
            assert_eq!((text("a/short"), text("a/long")), ("short/way".into(), "long/".repeat(30)));
            assert_eq!(ext4.list(&find("a/b").unwrap()).unwrap().len(), 601);
            assert!(find("a/b/empty").unwrap().is_file() && find("a/short").unwrap().is_link());
            assert!(find("a/none").is_none() && find("a/file/below").is_none());
        });
    }

    #[test]
    fn what_is_in_the_journal_counts_as_e2fsck_says() {
        let folder = tempfile::tempdir().unwrap();
        let image = made(folder.path());
        let debugfs = |commands: &str| {
            let script = folder.path().join("script");
            fs::write(&script, commands).unwrap();
            Cmd::new("debugfs").arg("-w").arg("-f").arg(&script).arg(&image).run().unwrap()
        };
        let blocks = with(&image, |ext4| {
            let file = ext4.find(&ext4.root().unwrap(), "a/file").unwrap().unwrap();
            let first = ext4.extents(&file).unwrap()[0].at.unwrap();
            [first, first + 1]
        });
        let new = folder.path().join("new");
        fs::write(&new, [b'y'; 8192]).unwrap();
        let [first, second] = blocks;
        // The first is written and revoked later, the second stays.
        debugfs(&format!(
            "jo -c\njw -b {first},{second} {}\njw -r {first} /dev/null\njc\n",
            new.display()
        ));
        let text = || {
            with(&image, |ext4| {
                let file = ext4.find(&ext4.root().unwrap(), "a/file").unwrap().unwrap();
                ext4.content(&file).unwrap()
            })
        };
        let ours = text();
        let expected = ["x".repeat(4096), "y".repeat(4096), "x".repeat(808)].concat();
        assert_eq!(String::from_utf8(ours.clone()).unwrap(), expected);
        // It ends with 1 where it has done something.
        let _ = Cmd::new("e2fsck").arg("-fp").arg(&image).output().unwrap();
        assert_eq!(text(), ours);
    }
}
