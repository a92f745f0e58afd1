//! Which disk: a name as Anaconda has it, or conditions, of which exactly one disk must fulfil all.
//!
//! `--ondisk=`, `--drives=`, `--only-use=` and `--boot-drive=` take what Anaconda takes: `sda`,
//! `/dev/sda`, `disk/by-id/nvme-Samsung_…`, with `*` and `?` for what is not known. A kernel's name
//! such as `sda` may be another disk's at the next boot. So they also take conditions, behind an
//! `@`, with which no name of a device begins, and with `&` between them, which no comma of a list
//! and no blank cuts in two:
//!
//! | condition | holds for |
//! |---|---|
//! | `serial=S3Z9NB0K` | the serial number, `*` and `?` allowed |
//! | `model=Samsung*980*` | the model; a blank and `_` are the same |
//! | `id=nvme-eui.0025*` | one of its names in `/dev/disk/by-id` |
//! | `path=pci-0000:3b:00.0*` | one of its names in `/dev/disk/by-path` |
//! | `bus=nvme` | `nvme`, `sata`, `scsi` (also `sas`), `usb`, `virtio`, `mmc` |
//! | `size>=500GB` | `<`, `<=`, `>`, `>=`, or `~` for within a twentieth; MB, GB, TB, MiB, GiB, TiB |
//! | `smallest`, `largest` | the one of those that fulfil the rest |
//!
//! As `--ondisk=@bus=nvme&size>=500GB`, or `--ondisk=@smallest&size>=200GB`. Letters may be small
//! or capital. What the installer itself was started from is never meant.

mod parse;
mod select;

use std::fmt;

use serde::{Serialize, Serializer};

pub use parse::NoSelector;
pub use select::{Disk, NotOne, Verdict};

/// Which disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DiskSelector {
    /// By a name below `/dev`, as `sda` or `disk/by-id/…`.
    Named(String),
    /// By what it is like.
    Like {
        /// Which one of several.
        pick: Option<Pick>,
        /// What must hold.
        conditions: Vec<Condition>,
    },
}

/// Which one of several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pick {
    /// The smallest.
    Smallest,
    /// The largest.
    Largest,
}

/// What must hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Condition {
    /// Its serial number.
    Serial(String),
    /// Its model.
    Model(String),
    /// A name in `/dev/disk/by-id`.
    Id(String),
    /// A name in `/dev/disk/by-path`.
    Path(String),
    /// What it hangs on.
    Bus(Bus),
    /// How large it is, in bytes.
    Size(Compare, u64),
}

/// How sizes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compare {
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `~`, within a twentieth.
    About,
}

/// What a disk hangs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bus {
    /// NVMe.
    Nvme,
    /// SATA, and ATA.
    Sata,
    /// SCSI, and SAS.
    Scsi,
    /// USB.
    Usb,
    /// A virtual machine's.
    Virtio,
    /// Cards.
    Mmc,
}

impl Bus {
    const ALL: [Self; 6] = [Self::Nvme, Self::Sata, Self::Scsi, Self::Usb, Self::Virtio, Self::Mmc];

    fn name(self) -> &'static str {
        match self {
            Self::Nvme => "nvme",
            Self::Sata => "sata",
            Self::Scsi => "scsi",
            Self::Usb => "usb",
            Self::Virtio => "virtio",
            Self::Mmc => "mmc",
        }
    }
}

impl Compare {
    fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::About => "~",
        }
    }
}

impl Pick {
    fn name(self) -> &'static str {
        match self {
            Self::Smallest => "smallest",
            Self::Largest => "largest",
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial(glob) => write!(f, "serial={glob}"),
            Self::Model(glob) => write!(f, "model={glob}"),
            Self::Id(glob) => write!(f, "id={glob}"),
            Self::Path(glob) => write!(f, "path={glob}"),
            Self::Bus(bus) => write!(f, "bus={}", bus.name()),
            Self::Size(compare, bytes) => {
                write!(f, "size{}{}", compare.sign(), parse::exact_size(*bytes))
            }
        }
    }
}

impl fmt::Display for DiskSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Like { pick, conditions } = self else {
            let Self::Named(name) = self else { return Ok(()) };
            return f.write_str(name);
        };
        let parts = pick.iter().map(|pick| pick.name().to_owned());
        let parts: Vec<_> = parts.chain(conditions.iter().map(ToString::to_string)).collect();
        write!(f, "@{}", parts.join("&"))
    }
}

impl Serialize for DiskSelector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
