//! What a power cut can leave of a disk whose writes were recorded, and whether it boots.
//!
//! An update of a host is recorded: the disk before it, and a log of each write and each flush.
//! From them come disks as they would be if the power had gone at some moment. Of each it is worked
//! out what the loader would choose, and whether the entry, its kernel and initramfs, the slot's
//! link and the deployment behind it are there and belong together. In reading order:

pub mod recording;
pub mod torture;

mod boot;
mod check;
mod content;
mod cut;
mod disk;
mod error;
mod ext4;
mod fat;
mod flushes;
mod fsck;
mod log;
mod menu;
mod parts;
mod syncs;

pub use boot::boot;
pub use check::Boots;
pub use error::Problem;
pub(crate) use error::doing;
pub use flushes::Flushes;
pub use recording::Recording;
pub use syncs::Awaited;
pub use torture::{Finding, Report, Torture};

/// What a disk keeps whole.
pub(crate) const SECTOR: usize = 512;
