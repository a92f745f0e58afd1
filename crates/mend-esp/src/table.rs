//! The table that says which cluster follows which, in its copies.

use std::io;

use crate::Volume;
use crate::geometry::{Geometry, le32};

/// What of an entry is a number; the rest is kept as it is.
const NUMBER: u32 = 0x0fff_ffff;
const BAD: u32 = 0x0fff_fff7;
const LAST: u32 = 0x0fff_fff8;
/// Bytes that are compared at a time with what is there; whole sectors of any size.
const CHUNK: usize = 64 << 10;

/// Who reads a FAT goes by its first table: the kernel, the firmware, the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copy {
    First,
    Second,
}

/// What follows a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    To(u32),
    /// It is a last one.
    Last,
    /// It is free.
    Free,
    /// Nothing that there is.
    Nowhere,
}

/// All copies, as they are to be.
pub(crate) struct Table {
    first: Vec<u8>,
    second: Option<Vec<u8>>,
    clusters: u32,
    /// Whether it is another than the one that was read.
    is_changed: bool,
}

impl Table {
    pub(crate) fn read(volume: &impl Volume, geometry: &Geometry) -> io::Result<Self> {
        let length = usize::try_from(length(geometry)).map_err(io::Error::other)?;
        let read = |at: &u64| {
            let mut bytes = vec![0; length];
            volume.read(*at, &mut bytes).map(|()| bytes)
        };
        let mut copies = geometry.tables.iter().map(read);
        let first = copies.next().ok_or_else(|| io::Error::other("it has no table"))??;
        let second = copies.next().transpose()?;
        Ok(Self { first, second, clusters: geometry.clusters, is_changed: false })
    }

    pub(crate) fn has_second(&self) -> bool {
        self.second.is_some()
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The numbers of all clusters.
    pub(crate) fn numbers(&self) -> std::ops::Range<u32> {
        2..self.clusters + 2
    }

    /// A cluster by its number, if there is one.
    pub(crate) fn to(&self, cluster: u32) -> Link {
        if self.numbers().contains(&cluster) { Link::To(cluster) } else { Link::Nowhere }
    }

    pub(crate) fn link(&self, copy: Copy, cluster: u32) -> Link {
        match self.number(copy, cluster) {
            0 => Link::Free,
            number if number >= LAST => Link::Last,
            number => self.to(number),
        }
    }

    /// So many clusters from the first on, that were walked before.
    pub(crate) fn clusters(
        &self,
        copy: Copy,
        first: u32,
        count: u32,
    ) -> impl Iterator<Item = u32> + '_ {
        let begin = if let Link::To(first) = self.to(first) { Some(first) } else { None };
        let next = move |cluster: &u32| match self.link(copy, *cluster) {
            Link::To(next) => Some(next),
            Link::Last | Link::Free | Link::Nowhere => None,
        };
        std::iter::successors(begin, next).take(count as usize)
    }

    /// Notes that one cluster follows another.
    pub(crate) fn lead(&mut self, cluster: u32, next: u32) {
        self.set(cluster, next);
    }

    /// Notes that a chain ends with this cluster.
    pub(crate) fn end(&mut self, cluster: u32) {
        self.set(cluster, NUMBER);
    }

    /// Frees a cluster; whether it was not free before, nor has the mark that it cannot be used.
    pub(crate) fn release(&mut self, cluster: u32) -> bool {
        let is_taken = !matches!(self.number(Copy::First, cluster), 0 | BAD);
        if is_taken {
            self.set(cluster, 0);
        }
        is_taken
    }

    /// Takes what of the first two entries the second alone has. They are of no cluster, and none is
    /// ever 0.
    pub(crate) fn take_head(&mut self) {
        for entry in 0..2 {
            let number = self.number(Copy::Second, entry);
            if self.number(Copy::First, entry) == 0 && number != 0 {
                self.set(entry, number);
            }
        }
    }

    /// Makes the second what the first is.
    pub(crate) fn mirror(&mut self) {
        if let Some(second) = self.second.as_mut().filter(|second| **second != self.first) {
            second.copy_from_slice(&self.first);
            self.is_changed = true;
        }
    }

    /// How many clusters are free.
    pub(crate) fn free(&self) -> u32 {
        let is_free = |cluster: &u32| self.number(Copy::First, *cluster) == 0;
        self.numbers().filter(is_free).fold(0, |count, _| count + 1)
    }

    /// Makes one copy on the disk what it is to be, sector by sector.
    pub(crate) fn write(
        &self,
        volume: &impl Volume,
        geometry: &Geometry,
        copy: Copy,
    ) -> io::Result<()> {
        let sector = usize::try_from(geometry.sector).map_err(io::Error::other)?;
        let (bytes, place) = (self.copy(copy), geometry.tables.get(copy as usize));
        let (Some(bytes), Some(place)) = (bytes, place) else { return Ok(()) };
        let mut there = vec![0; CHUNK];
        for (number, ours) in (0..).zip(bytes.chunks(CHUNK)) {
            let (at, its) = (place + number * CHUNK as u64, &mut there[..ours.len()]);
            volume.read(at, its)?;
            for (number, (ours, its)) in (0..).zip(ours.chunks(sector).zip(its.chunks(sector))) {
                if ours != its {
                    volume.write(at + number * geometry.sector, ours)?;
                }
            }
        }
        Ok(())
    }

    fn copy(&self, copy: Copy) -> Option<&Vec<u8>> {
        match copy {
            Copy::First => Some(&self.first),
            Copy::Second => self.second.as_ref(),
        }
    }

    fn number(&self, copy: Copy, cluster: u32) -> u32 {
        let bytes = self.copy(copy).unwrap_or(&self.first);
        le32(bytes, cluster as usize * 4) & NUMBER
    }

    fn set(&mut self, cluster: u32, number: u32) {
        let place = cluster as usize * 4..cluster as usize * 4 + 4;
        for bytes in [Some(&mut self.first), self.second.as_mut()].into_iter().flatten() {
            let raw = le32(bytes, place.start);
            if raw & NUMBER != number {
                bytes[place.clone()].copy_from_slice(&(raw & !NUMBER | number).to_le_bytes());
                self.is_changed = true;
            }
        }
    }
}

/// Bytes of the table that are of clusters.
fn length(geometry: &Geometry) -> u64 {
    (u64::from(geometry.clusters) + 2) * 4
}
