//! What this machine is: its disks and what is on them, its network cards. Data; [`look`] reads it.

pub mod look;

use basalt_kickstart::disk::Disk;
use basalt_sysroot::partition::Extent;
use serde::Serialize;
use uuid::Uuid;

/// A machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// Its disks, in the order of their names.
    pub disks: Vec<DiskFact>,
    /// Its network cards, in the order of their names.
    pub cards: Vec<Card>,
    /// The partition that the loader of this boot came from, where the firmware says so.
    pub loader_device: Option<String>,
    /// The address of the card that it was booted over, where the kernel was told.
    pub boot_mac: Option<String>,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskFact {
    /// What it can be chosen by.
    pub disk: Disk,
    /// Bytes of its sectors.
    pub sector: u64,
    /// Why nobody may write to it, where that is so.
    pub refused: Option<String>,
    /// What is on it.
    pub content: Content,
}

/// What is on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing that is known.
    Nothing,
    /// A partition table.
    Table {
        /// Its id.
        id: Uuid,
        /// Its partitions by their numbers.
        parts: Vec<PartFact>,
    },
    /// Something else, as `ext4 "data"` or `a partition table (MBR)`.
    Other(String),
}

/// A partition that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PartFact {
    /// Its number.
    pub number: u32,
    /// The kernel's name for it, as `sda2`.
    pub device: String,
    /// Where it lies.
    #[serde(skip)]
    pub extent: Extent,
    /// Its type.
    pub kind: Uuid,
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its attributes.
    pub flags: u64,
    /// What is on it, as `ext4 "data"`.
    pub holds: Option<String>,
    /// Its other names, as `LABEL=data` and `UUID=…`.
    pub names: Vec<String>,
}

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The kernel's name for it.
    pub name: String,
    /// Its address, in lowercase with colons.
    pub mac: String,
    /// Whether there is a cable in it.
    pub has_cable: bool,
}

impl DiskFact {
    /// Whether it is a file that stands for a disk: meant only by its very name.
    #[must_use]
    pub fn is_loop(&self) -> bool {
        is_loop(&self.disk.name)
    }

    /// Its partitions; none where there is no table.
    #[must_use]
    pub fn parts(&self) -> &[PartFact] {
        match &self.content {
            Content::Table { parts, .. } => parts,
            _ => &[],
        }
    }

    /// The kernel's name of one of its partitions.
    #[must_use]
    pub fn part_device(&self, number: u32) -> String {
        part_device(&self.disk.name, number)
    }
}

/// Whether what the kernel calls so is a file that stands for a disk.
pub(crate) fn is_loop(disk: &str) -> bool {
    disk.starts_with("loop")
}

/// The kernel's name of a partition: `sda2`, `nvme0n1p2`.
#[must_use]
pub fn part_device(disk: &str, number: u32) -> String {
    let between = if disk.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    format!("{disk}{between}{number}")
}
