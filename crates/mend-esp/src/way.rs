//! Which clusters a name leads to, by which table, and whether those are all.

use std::io;

use crate::table::Copy;
use crate::walk::{Chain, End, Walker};

/// Bytes of a folder: no FAT's may have more.
const FOLDER: u64 = 65_536 * 32;

/// What a name says that it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder,
    /// It begins as no folder does. What a power cut left there may be anything.
    NoFolder,
    /// Where nobody but Basalt writes: it has no more clusters than it needs.
    OurFile {
        size: u32,
    },
    /// Whoever wrote it may have kept clusters for more.
    File {
        size: u32,
    },
}

/// The clusters that a name has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    /// The table that leads to them.
    pub(crate) copy: Copy,
    /// How many it has.
    pub(crate) count: u32,
    /// Whether those are all that it needs.
    pub(crate) is_whole: bool,
    pub(crate) ending: Ending,
}

/// What the table says behind the last of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// That it is the last.
    Written,
    /// Nothing that anybody could follow.
    Missing,
    /// Clusters that the name has no need of.
    GoesOn,
}

/// What a name may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    pub(crate) way: Way,
    /// And if somebody else has one of those.
    pub(crate) otherwise: Option<Way>,
}

pub(crate) struct Judge<'a> {
    pub(crate) walker: Walker<'a>,
    /// Bytes of a cluster.
    pub(crate) cluster: u64,
}

impl Judge<'_> {
    /// By the first table, as everybody reads; by the second where that alone has all of it. Where
    /// the first is broken in more than its last writes, as by a sector that was lost, it is the
    /// second that makes a host boot again: the kernel itself never looks there.
    ///
    /// # Errors
    /// As of [`Walker::walk`].
    pub(crate) fn ways(&mut self, first: u32, kind: Kind) -> io::Result<Ways> {
        let one = self.way(Copy::First, first, kind)?;
        let is_readable =
            one.is_whole && (one.ending == Ending::Written || !matches!(kind, Kind::Folder));
        if is_readable || kind == Kind::NoFolder || !self.walker.table().has_second() {
            return Ok(Ways { way: one, otherwise: None });
        }
        let two = self.way(Copy::Second, first, kind)?;
        if two.is_whole && two.ending == Ending::Written {
            return Ok(Ways { way: two, otherwise: Some(one) });
        }
        Ok(Ways { way: one, otherwise: None })
    }

    fn way(&mut self, copy: Copy, first: u32, kind: Kind) -> io::Result<Way> {
        if let (Kind::OurFile { size: 0 }, _) | (Kind::File { size: 0 }, 0) = (kind, first) {
            return Ok(Way { copy, count: 0, is_whole: true, ending: Ending::Written });
        }
        let chain = self.walker.walk(copy, first, self.most(kind))?;
        Ok(match kind {
            Kind::Folder => folder(copy, chain),
            Kind::NoFolder => Way { is_whole: false, ..folder(copy, chain) },
            Kind::OurFile { size } | Kind::File { size } => file(copy, chain, self.needs(size)),
        })
    }

    fn needs(&self, size: u32) -> u32 {
        u32::try_from(u64::from(size).div_ceil(self.cluster)).unwrap_or(u32::MAX)
    }

    /// Clusters that are followed.
    fn most(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Folder | Kind::NoFolder => {
                u32::try_from((FOLDER / self.cluster).max(1)).unwrap_or(u32::MAX)
            }
            Kind::OurFile { size } => self.needs(size),
            Kind::File { .. } => u32::MAX,
        }
    }
}

/// The loader boots by a file whose last cluster the table has for free, so it is whole: who reads
/// it needs no table for the last one.
fn file(copy: Copy, chain: Chain, needs: u32) -> Way {
    let ending = match chain.end {
        End::Written => Ending::Written,
        End::Unwritten | End::Nowhere => Ending::Missing,
        End::GoesOn => Ending::GoesOn,
    };
    Way { copy, count: chain.length, is_whole: chain.length >= needs.max(1), ending }
}

/// A folder that has grown by a cluster which the table has for free ends in front of it: no name
/// in there was ever waited for. Its first cluster has to be written.
fn folder(copy: Copy, chain: Chain) -> Way {
    let (count, ending) = match chain.end {
        End::Written => (chain.length, Ending::Written),
        End::Unwritten => (chain.length.saturating_sub(1), Ending::Missing),
        End::Nowhere => (chain.length, Ending::Missing),
        End::GoesOn => {
            return Way { copy, count: chain.length, is_whole: false, ending: Ending::GoesOn };
        }
    };
    Way { copy, count, is_whole: count > 0, ending }
}
