//! The table that says which cluster follows which.

use std::io;

use crate::Volume;
use crate::geometry::{Geometry, le32};

/// What of an entry is a number; the rest is kept as it is.
const NUMBER: u32 = 0x0fff_ffff;
const BAD: u32 = 0x0fff_fff7;
const LAST: u32 = 0x0fff_fff8;
/// Of the sector that says how much is free, with where they are.
const SIGNATURES: [(usize, u32); 2] = [(0, 0x4161_5252), (484, 0x6141_7272)];
const FREE_CLUSTERS: usize = 488;

/// The first copy, as the kernel goes by it.
pub(crate) struct Table {
    bytes: Vec<u8>,
    clusters: u32,
}

/// What follows from a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) clusters: Vec<u32>,
    pub(crate) end: End,
}

/// How it ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum End {
    /// As it should.
    Written,
    /// The last cluster is one, and the table has it for free.
    Unwritten,
    /// It leads to nothing, or to itself.
    #[default]
    None,
}

impl Table {
    pub(crate) fn read(volume: &impl Volume, geometry: &Geometry) -> io::Result<Self> {
        let length = length(geometry);
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        for first in geometry.tables.iter().take(1) {
            volume.read(*first, &mut bytes)?;
        }
        Ok(Self { bytes, clusters: geometry.clusters })
    }

    fn raw(&self, cluster: u32) -> u32 {
        le32(&self.bytes, cluster as usize * 4)
    }

    fn is_one(&self, cluster: u32) -> bool {
        cluster.checked_sub(2).is_some_and(|number| number < self.clusters)
    }

    /// Whatever the clusters hold.
    pub(crate) fn chain(&self, first: u32) -> Chain {
        let mut chain = Chain::default();
        let mut cluster = first;
        while self.is_one(cluster) && chain.clusters.len() < self.clusters as usize {
            let next = self.raw(cluster) & NUMBER;
            if next == BAD {
                return chain;
            }
            chain.clusters.push(cluster);
            if next == 0 || next >= LAST {
                chain.end = if next == 0 { End::Unwritten } else { End::Written };
                return chain;
            }
            cluster = next;
        }
        chain
    }

    /// Notes that a chain ends with this cluster.
    pub(crate) fn end(&mut self, cluster: u32) {
        self.set(cluster, NUMBER);
    }

    fn set(&mut self, cluster: u32, number: u32) {
        let raw = self.raw(cluster) & !NUMBER | number;
        let at = cluster as usize * 4;
        self.bytes[at..at + 4].copy_from_slice(&raw.to_le_bytes());
    }

    /// Frees what nobody uses, by the numbers of clusters; how many those were.
    pub(crate) fn free_all_but(&mut self, used: &[bool]) -> u32 {
        let mut freed = 0;
        for cluster in 2..self.clusters + 2 {
            let raw = self.raw(cluster);
            let is_used = used.get(cluster as usize).is_some_and(|used| *used);
            if is_used || matches!(raw & NUMBER, 0 | BAD) {
                continue;
            }
            self.set(cluster, 0);
            freed += 1;
        }
        freed
    }

    /// Makes each copy what this is, and says how much is free.
    pub(crate) fn write(&self, volume: &impl Volume, geometry: &Geometry) -> io::Result<()> {
        let sector = usize::try_from(geometry.sector).map_err(io::Error::other)?;
        for copy in &geometry.tables {
            let mut there = vec![0; self.bytes.len()];
            volume.read(*copy, &mut there)?;
            let pairs = self.bytes.chunks(sector).zip(there.chunks(sector));
            for (number, (ours, its)) in (0..).zip(pairs) {
                if ours != its {
                    volume.write(copy + number * geometry.sector, ours)?;
                }
            }
        }
        self.count(volume, geometry)
    }

    fn count(&self, volume: &impl Volume, geometry: &Geometry) -> io::Result<()> {
        let mut info = [0; 512];
        volume.read(geometry.info, &mut info)?;
        if SIGNATURES.iter().any(|(at, signature)| le32(&info, *at) != *signature) {
            return Ok(());
        }
        let free = (2..self.clusters + 2).filter(|it| self.raw(*it) & NUMBER == 0).count();
        let free = u32::try_from(free).map_err(io::Error::other)?.to_le_bytes();
        volume.write(geometry.info + FREE_CLUSTERS as u64, &free)
    }
}

/// Bytes of the table that are of clusters.
fn length(geometry: &Geometry) -> u64 {
    (u64::from(geometry.clusters) + 2) * 4
}
