//! What files hold, by hash. A hash is worked out once for the same sectors from the same places.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;

use sha2::{Digest, Sha256};

use crate::disk::Disk;
use crate::ext4::{Ext4, Inode};
use crate::fat::Piece;

/// SHA-256.
pub(crate) type Hash256 = [u8; 32];

/// Read at a time.
const PART: u64 = 1 << 20;

/// Hashes that are known.
#[derive(Default, Clone)]
pub(crate) struct Contents {
    known: HashMap<u64, Hash256>,
}

/// Where libostree writes down the archive. Each download does so anew, and takes no notice of what
/// a cut left of it.
const REWRITTEN: &str = "/etc/ostree/remotes.d/";

/// A folder with all that is in it: each path, and a number for its attributes and its content.
pub(crate) type Tree = Vec<(String, u64)>;

impl Contents {
    /// Of a file that lies in these pieces of the disk.
    pub(crate) fn of_pieces(&mut self, disk: &Disk<'_>, pieces: &[Piece]) -> io::Result<Hash256> {
        let mut key = DefaultHasher::new();
        for (at, length) in pieces {
            length.hash(&mut key);
            disk.tell(*at, length.next_multiple_of(crate::SECTOR as u64), &mut key);
        }
        self.get(key.finish(), || {
            let mut hash = Sha256::new();
            for (at, length) in pieces {
                add(disk, *at, *length, &mut hash)?;
            }
            Ok(hash)
        })
    }

    /// Of a file, a link or a folder's names in an ext4; of a file only what lies in its blocks.
    fn of_inode(&mut self, disk: &Disk<'_>, from: &Ext4<'_>, inode: &Inode) -> io::Result<Hash256> {
        let extents = from.extents(inode)?;
        let mut key = DefaultHasher::new();
        inode.size().hash(&mut key);
        let mut is_known_by_places = true;
        for extent in &extents {
            (extent.first, extent.count, extent.at).hash(&mut key);
            match from.place(extent) {
                Some((at, length)) => disk.tell(at, length, &mut key),
                None => is_known_by_places &= extent.at.is_none(),
            }
        }
        let all = || {
            let mut hash = Sha256::new();
            hash.update(from.content(inode)?);
            Ok(hash)
        };
        if is_known_by_places {
            return self.get(key.finish(), all);
        }
        Ok(all()?.finalize().into())
    }

    /// Everything below a folder.
    pub(crate) fn tree(
        &mut self,
        disk: &Disk<'_>,
        from: &Ext4<'_>,
        folder: &Inode,
    ) -> io::Result<Tree> {
        let mut tree = vec![(String::new(), told(folder, &[]))];
        let mut open = vec![(String::new(), folder.clone())];
        while let Some((path, folder)) = open.pop() {
            for (name, number) in from.list(&folder)? {
                let inode = from.inode(number)?;
                let path = format!("{path}/{name}");
                if path.starts_with(REWRITTEN) {
                    continue;
                }
                let hash = match &inode {
                    it if it.is_file() => self.of_inode(disk, from, it)?.to_vec(),
                    it if it.is_link() => from.content(it)?,
                    _ => Vec::new(),
                };
                tree.push((path.clone(), told(&inode, &hash)));
                if inode.is_folder() {
                    open.push((path, inode));
                }
            }
        }
        tree.sort_unstable();
        Ok(tree)
    }

    fn get(&mut self, key: u64, work: impl FnOnce() -> io::Result<Sha256>) -> io::Result<Hash256> {
        if let Some(known) = self.known.get(&key) {
            return Ok(*known);
        }
        let hash: Hash256 = work()?.finalize().into();
        self.known.insert(key, hash);
        Ok(hash)
    }
}

/// Where a tree differs first from what it was at two moments. What differs between the two was
/// changed meanwhile, and may be either.
pub(crate) fn difference(moments: &[Tree; 2], found: &Tree) -> Option<String> {
    if moments.contains(found) {
        return None;
    }
    let [before, after] = moments;
    let value = |tree: &Tree, path: &str| {
        let at = tree.binary_search_by(|(known, _)| known.as_str().cmp(path));
        at.ok().map(|at| tree[at].1)
    };
    let changed =
        before.iter().chain(after).map(|(path, _)| path).chain(found.iter().map(|it| &it.0));
    let mut wrong = changed.filter(|path| {
        let now = value(found, path);
        now != value(before, path) && now != value(after, path)
    });
    wrong.next().map(|path| format!("`{path}` is not what it was"))
}

fn told(inode: &Inode, content: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    inode.attributes().hash(&mut hasher);
    if !inode.is_folder() {
        inode.size().hash(&mut hasher);
    }
    content.hash(&mut hasher);
    hasher.finish()
}

fn add(disk: &Disk<'_>, at: u64, length: u64, hash: &mut Sha256) -> io::Result<()> {
    let (mut at, end) = (at, at + length);
    let mut buffer = vec![0; usize::try_from(PART.min(length)).unwrap_or(0)];
    while at < end {
        let count = usize::try_from(PART.min(end - at)).unwrap_or(0);
        disk.read(at, &mut buffer[..count])?;
        hash.update(&buffer[..count]);
        at += count as u64;
    }
    Ok(())
}
