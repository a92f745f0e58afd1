//! The sector that says how much is free (Microsoft's FAT specification, 5).

use std::io;

use crate::Volume;
use crate::geometry::{Geometry, le32};

/// What it begins with, and what stands in front of the number, with where they are.
const SIGNATURES: [(usize, u32); 2] = [(0, 0x4161_5252), (484, 0x6141_7272)];
const FREE: usize = 488;

/// It is there.
pub(crate) struct Info {
    at: u64,
    /// Clusters that are free, as it says.
    pub(crate) free: u32,
}

impl Info {
    /// None where there is none, or no way to read it: nothing needs it.
    pub(crate) fn read(volume: &impl Volume, geometry: &Geometry) -> Option<Self> {
        let (at, mut sector) = (geometry.info?, [0; 512]);
        volume.read(at, &mut sector).ok()?;
        let is_one = SIGNATURES.iter().all(|(at, signature)| le32(&sector, *at) == *signature);
        is_one.then(|| Self { at, free: le32(&sector, FREE) })
    }

    pub(crate) fn write(&self, volume: &impl Volume, free: u32) -> io::Result<()> {
        if self.free == free {
            return Ok(());
        }
        volume.write(self.at + FREE as u64, &free.to_le_bytes())
    }
}
