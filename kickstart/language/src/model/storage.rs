//! Disks, partitions, arrays.

use serde::Serialize;

use crate::disk::DiskSelector;

/// `clearpart`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClearPart {
    /// What is removed.
    pub clear: Clear,
    /// From these disks; from all that are not ignored where none is named.
    pub drives: Vec<DiskSelector>,
    /// Whether the tables of partitions are made anew.
    pub initlabel: bool,
}

/// Which partitions are removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Clear {
    /// None.
    None,
    /// Those of a Linux.
    Linux,
    /// All.
    All,
    /// These, as `sda2`.
    List(Vec<String>),
}

/// `ignoredisk`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum IgnoreDisk {
    /// These are left alone.
    Drives(Vec<DiskSelector>),
    /// All but these are.
    OnlyUse(Vec<DiskSelector>),
}

/// `autopart`: the EFI partition, the root, and `/var` in the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AutoPart {
    /// Without swap, which there is none of anyway.
    pub noswap: bool,
}

/// `reqpart`: the EFI partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReqPart {
    /// Whether a `/boot` was asked for; kernels lie on the EFI partition.
    pub add_boot: bool,
}

/// What a partition or an array is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Use {
    /// Mounted there.
    Mount(String),
    /// Swap.
    Swap,
    /// A member of an array, by its name, as `raid.01`.
    RaidMember(String),
}

impl Use {
    /// Whether it is the EFI partition.
    #[must_use]
    pub fn is_esp(&self) -> bool {
        matches!(self, Self::Mount(path) if path == "/boot/efi" || path == "/efi")
    }

    /// Whether it is mounted there.
    #[must_use]
    pub fn is_at(&self, path: &str) -> bool {
        matches!(self, Self::Mount(mounted) if mounted == path)
    }
}

/// A file system that can be made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FileSystem {
    /// What everything but the EFI partition and swap has.
    Ext4,
    /// The EFI partition's.
    Efi,
    /// The same, as an ordinary one.
    Vfat,
    /// Swap.
    Swap,
    /// What a member of an array has.
    MdMember,
}

impl FileSystem {
    /// As it is written behind `--fstype=`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Efi => "efi",
            Self::Vfat => "vfat",
            Self::Swap => "swap",
            Self::MdMember => "mdmember",
        }
    }
}

/// How a file system is made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Format {
    /// Which one, where it was said.
    pub fstype: Option<FileSystem>,
    /// Its label.
    pub label: Option<String>,
    /// Options of its mount.
    pub fsoptions: Option<String>,
    /// Options of `mkfs`.
    pub mkfsoptions: Option<String>,
    /// What is there is kept.
    pub noformat: bool,
}

/// Where a partition is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Anywhere that is not ignored.
    Any,
    /// On this disk.
    OnDisk(DiskSelector),
    /// It is there already, as `sda2` or `LABEL=data`.
    OnPart(String),
}

/// `part`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// What it is for.
    pub usage: Use,
    /// Where it is.
    pub place: Place,
    /// How large it is, at least where it grows.
    pub size_mib: Option<u64>,
    /// How far it grows.
    pub max_size_mib: Option<u64>,
    /// Whether it takes the room that is left.
    pub grow: bool,
    /// Whether the installer chooses the size.
    pub recommended: bool,
    /// What is made in it.
    pub format: Format,
}

/// How an array is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RaidLevel {
    /// Striped.
    Raid0,
    /// Mirrored.
    Raid1,
    /// Striped mirrors.
    Raid10,
    /// Striped with one parity.
    Raid5,
    /// Striped with two.
    Raid6,
}

impl RaidLevel {
    /// As it is written behind `--level=`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Raid0 => "RAID0",
            Self::Raid1 => "RAID1",
            Self::Raid10 => "RAID10",
            Self::Raid5 => "RAID5",
            Self::Raid6 => "RAID6",
        }
    }

    /// Members that it needs, spares left out.
    #[must_use]
    pub fn min_members(self) -> usize {
        match self {
            Self::Raid0 | Self::Raid1 | Self::Raid10 => 2,
            Self::Raid5 => 3,
            Self::Raid6 => 4,
        }
    }
}

/// `raid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Raid {
    /// What it is for.
    pub usage: Use,
    /// Its name, as `md0` or `var`.
    pub device: String,
    /// None where it was not understood.
    pub level: Option<RaidLevel>,
    /// The names of its members, as `raid.01`.
    pub members: Vec<String>,
    /// How many of them are spares.
    pub spares: u32,
    /// KiB of a chunk.
    pub chunk_kib: Option<u64>,
    /// What is made in it.
    pub format: Format,
}
