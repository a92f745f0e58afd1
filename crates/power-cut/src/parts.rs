//! Where the partitions lie: the partition table, by the names of partitions.

use std::io;
use std::ops::Range;

use basalt_sysroot::partition::{ESP_NAME, ROOT_NAME, VAR_NAME};

use crate::SECTOR;
use crate::disk::Disk;
use crate::log::Did;

/// Partitions, in bytes of the disk.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    pub(crate) esp: Range<u64>,
    pub(crate) root: Range<u64>,
    pub(crate) var: Range<u64>,
}

/// Which file system something lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Volume {
    Esp,
    Root,
    Var,
}

impl Volume {
    pub(crate) const ALL: [Self; 3] = [Self::Esp, Self::Root, Self::Var];
}

impl Parts {
    /// Where an entry of the log writes to; none where it does not write to a file system.
    pub(crate) fn of(&self, did: Did) -> Option<Volume> {
        let Did::Write { sector, .. } = did else { return None };
        let at = sector * SECTOR as u64;
        let all = [(&self.esp, Volume::Esp), (&self.root, Volume::Root), (&self.var, Volume::Var)];
        all.into_iter().find(|(range, _)| range.contains(&at)).map(|(_, volume)| volume)
    }
}

/// Reads the GPT (UEFI specification, 5.3).
pub(crate) fn parts(disk: &Disk<'_>) -> io::Result<Parts> {
    let mut head = [0; SECTOR];
    disk.read(SECTOR as u64, &mut head)?;
    let (table, count) = (number(&head[72..80]), number(&head[80..84]));
    let length = number(&head[84..88]);
    if &head[..8] != b"EFI PART" || length < 128 || count > 1024 {
        return Err(io::Error::other("the disk has no GPT"));
    }
    let (mut esp, mut root, mut var) = (None, None, None);
    for at in 0..count {
        let mut entry = [0; 128];
        disk.read(table * SECTOR as u64 + at * length, &mut entry)?;
        let units = entry[56..].chunks_exact(2).map(|it| u16::from_le_bytes([it[0], it[1]]));
        let units: Vec<u16> = units.take_while(|unit| *unit != 0).collect();
        let bytes = |sector: u64| sector * SECTOR as u64;
        let range = bytes(number(&entry[32..40]))..bytes(number(&entry[40..48]) + 1);
        match String::from_utf16_lossy(&units).as_str() {
            ESP_NAME => esp = Some(range),
            ROOT_NAME => root = Some(range),
            VAR_NAME => var = Some(range),
            _ => (),
        }
    }
    let all = esp.zip(root).zip(var);
    let missing = || io::Error::other("the disk has no ESP, no root or no /var");
    let ((esp, root), var) = all.ok_or_else(missing)?;
    Ok(Parts { esp, root, var })
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
