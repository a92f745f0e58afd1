//! Mends an ESP that a power cut left with names of what was not written yet.
//!
//! FAT has no journal. What is written to it since the last flush may be there in any part: a name
//! whose clusters the table does not know, and clusters that no name has. The kernel takes the
//! former for damage as soon as it looks, and from then on writes nothing there: no update, and no
//! boot is blessed. `fsck.fat -a` is no help. Where two names share clusters it cuts off one of
//! them, and that may be a kernel; what was no folder yet it takes for one, whatever lies in it; and
//! what it finds it keeps, as files of nobody's.
//!
//! So nothing is made of what is broken here. Its name goes, where it is one of those that Basalt
//! writes; a file that only lacks its end in the table gets that, for the loader reads it; clusters of nobody's are free again; nothing else is touched. Each write leaves what a
//! next attempt can go on with.

mod folder;
#[cfg(test)]
mod fuzz;
mod geometry;
mod table;
#[cfg(test)]
mod tests;
mod tree;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use geometry::Geometry;
use table::Table;
use tree::Tree;

/// The mark of a name that is gone (Microsoft's FAT specification, 6.1).
const GONE: u8 = 0xe5;

/// A partition.
pub trait Volume {
    /// Reads all of `bytes` from byte `at` on.
    ///
    /// # Errors
    /// They are not there, or cannot be read.
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// They cannot be written.
    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()>;

    /// What was written is on the disk.
    ///
    /// # Errors
    /// The disk says that it is not.
    fn sync(&self) -> io::Result<()>;
}

impl Volume for File {
    fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, at)
    }

    fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

/// What was found, and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It was unmounted, or is no FAT32: it was left alone.
    Well,
    /// It was not unmounted.
    Torn(Mended),
}

/// What was mended of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// Names that are gone, by their paths.
    pub gone: Vec<String>,
    /// Names that are broken and were left, for they are not Basalt's.
    pub left: Vec<String>,
    /// Bytes that were nobody's and are free again.
    pub freed: u64,
}

/// Mends it, if it was not unmounted. Nobody may have it mounted meanwhile. May be done again
/// whenever it was cut off.
///
/// # Errors
/// It cannot be read or written, or is larger or deeper than any that Basalt has.
pub fn mend(volume: &impl Volume) -> io::Result<Found> {
    let Some(geometry) = Geometry::read(volume)? else { return Ok(Found::Well) };
    if !geometry.is_dirty(volume)? {
        return Ok(Found::Well);
    }
    let mut table = Table::read(volume, &geometry)?;
    let tree = Tree::read(volume, &geometry, &table)?;
    for place in &tree.broken_places {
        volume.write(*place, &[GONE])?;
    }
    volume.sync()?;
    tree.ends.iter().for_each(|cluster| table.end(*cluster));
    // What lies in a folder that was left, nobody knows.
    let freed = if tree.left.is_empty() { table.free_all_but(&tree.used) } else { 0 };
    table.write(volume, &geometry)?;
    volume.sync()?;
    geometry.note_unmounted(volume)?;
    volume.sync()?;
    let freed = u64::from(freed) * geometry.cluster;
    Ok(Found::Torn(Mended { gone: tree.gone, left: tree.left, freed }))
}
