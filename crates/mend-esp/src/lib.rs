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
//! writes; what only lacks its end in the table gets that, for the loader reads it; what the second
//! table alone has whole is taken from there; clusters of nobody's are free again; nothing else is
//! touched. Nothing is written into a cluster that anybody else has, and nothing is freed where two
//! have one: whose it is, only a person can say.
//!
//! It does not go by the kernel's note that it was not unmounted. That lies in a sector of its own,
//! and no flush comes between it and what it speaks of. So all is looked at each time, and only
//! where something is amiss it is written to. Each write leaves what a next attempt can go on with.
//!
//! First all is read (`tree`), then it is decided (`plan`), then it is written (`write`).

mod folder;
#[cfg(test)]
mod fuzz;
mod geometry;
mod info;
mod owners;
mod plan;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod walk;
mod way;
mod write;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use geometry::Geometry;
use info::Info;
use plan::Plan;
use table::Table;
use tree::Tree;

/// How often it is looked at again after something was written. What is decided at once rests on
/// what was read once, and leaves alone what has to wait for it.
const ROUNDS: usize = 4;

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

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It is sound and was unmounted, or is no FAT32: nothing is to be written.
    Well,
    /// Nothing is to be written, and these names are broken: they are not Basalt's, or whose
    /// clusters they lead to nobody knows.
    Left(Vec<String>),
    /// Something is to be written, or was.
    Torn(Mended),
}

/// What is mended of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mended {
    /// Names that are gone, by their paths.
    pub gone: Vec<String>,
    /// Names that lead to all of what they led to, and whose clusters the table knows again.
    pub righted: Vec<String>,
    /// Names that are broken and were left.
    pub left: Vec<String>,
    /// Bytes that were nobody's and are free again.
    pub freed: u64,
}

/// What would be mended of it; it is only read.
///
/// # Errors
/// It cannot be read, or is one that nobody can decide about: it is larger, deeper or more tangled
/// than any that Basalt has, or of a kind that it never makes.
pub fn look(volume: &impl Volume) -> io::Result<Found> {
    let Some(geometry) = Geometry::read(volume)? else { return Ok(Found::Well) };
    let Seen { plan, is_torn, .. } = Seen::of(volume, &geometry)?;
    Ok(match plan.mended {
        mended if is_torn => Found::Torn(mended),
        mended if mended.left.is_empty() => Found::Well,
        mended => Found::Left(mended.left),
    })
}

/// Mends it, where something is amiss. Nobody may have it mounted meanwhile. May be done again
/// whenever it was cut off.
///
/// # Errors
/// As of [`look`], and then nothing was written; or it cannot be written.
pub fn mend(volume: &impl Volume) -> io::Result<Found> {
    let Some(geometry) = Geometry::read(volume)? else { return Ok(Found::Well) };
    let mut done: Option<Mended> = None;
    for _ in 0..ROUNDS {
        let seen = Seen::of(volume, &geometry)?;
        if !seen.is_torn {
            return Ok(found(done, seen.plan.mended.left));
        }
        write::write(volume, &geometry, &seen)?;
        done.get_or_insert_default().add(seen.plan.mended);
    }
    Err(io::Error::other("what was written to it does not settle"))
}

fn found(done: Option<Mended>, left: Vec<String>) -> Found {
    match done {
        Some(mended) => Found::Torn(Mended { left, ..mended }),
        None if left.is_empty() => Found::Well,
        None => Found::Left(left),
    }
}

impl Mended {
    fn add(&mut self, more: Self) {
        self.gone.extend(more.gone);
        self.righted.extend(more.righted);
        self.freed += more.freed;
    }
}

/// All that was read, and what is to be done.
struct Seen {
    plan: Plan,
    info: Option<Info>,
    /// Whether it was mounted and not unmounted.
    is_dirty: bool,
    /// Whether anything is to be written.
    is_torn: bool,
}

impl Seen {
    fn of(volume: &impl Volume, geometry: &Geometry) -> io::Result<Self> {
        let table = Table::read(volume, geometry)?;
        let tree = Tree::read(volume, geometry, &table)?;
        let plan = plan::plan(geometry, tree, table);
        let info = Info::read(volume, geometry);
        let is_dirty = geometry.is_dirty(volume)?;
        let is_counted = info.as_ref().is_none_or(|info| info.free == plan.table.free());
        let is_torn = is_dirty || !is_counted || !plan.is_empty();
        Ok(Self { plan, info, is_dirty, is_torn })
    }
}
