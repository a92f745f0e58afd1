//! Follows the chains of a table, and not for ever.

use std::io;

use crate::table::{Copy, Link, Table};

/// What follows from a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chain {
    /// How many clusters it has, each once.
    pub(crate) length: u32,
    pub(crate) end: End,
}

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// As it should.
    Written,
    /// The last cluster is one, and the table has it for free.
    Unwritten,
    /// It leads to nothing, or to itself.
    Nowhere,
    /// It does not, within what was asked for.
    GoesOn,
}

/// Of all chains together it follows no more than twice what there is: each cluster is one's, and
/// a few may be two's.
pub(crate) struct Walker<'a> {
    table: &'a Table,
    /// For each cluster the walk that saw it last, which tells where one leads to itself.
    seen: Vec<u32>,
    walks: u32,
    left: u64,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(table: &'a Table) -> Self {
        let clusters = table.numbers().end;
        let left = 2 * u64::from(clusters);
        Self { table, seen: vec![0; clusters as usize], walks: 0, left }
    }

    pub(crate) fn table(&self) -> &'a Table {
        self.table
    }

    /// Follows a chain for so many clusters at most.
    ///
    /// # Errors
    /// Too many were followed so far: names lead to each other's clusters over and over.
    pub(crate) fn walk(&mut self, copy: Copy, first: u32, most: u32) -> io::Result<Chain> {
        self.walks += 1;
        let (mut link, mut length) = (self.table.to(first), 0);
        while let Link::To(cluster) = link {
            if self.seen[cluster as usize] == self.walks {
                return Ok(Chain { length, end: End::Nowhere });
            }
            if length == most {
                return Ok(Chain { length, end: End::GoesOn });
            }
            self.see(cluster)?;
            length += 1;
            link = self.table.link(copy, cluster);
        }
        let end = match link {
            Link::Last => End::Written,
            Link::Free => End::Unwritten,
            Link::Nowhere | Link::To(_) => End::Nowhere,
        };
        Ok(Chain { length, end })
    }

    fn see(&mut self, cluster: u32) -> io::Result<()> {
        let tangled = || io::Error::other("its names lead to the same clusters over and over");
        self.left = self.left.checked_sub(1).ok_or_else(tangled)?;
        self.seen[cluster as usize] = self.walks;
        Ok(())
    }
}
