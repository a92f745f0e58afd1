//! What an update does, one thing at a time.

use crate::boot_file::BootFile;
use crate::entry::{BootEntry, EntryName, ResetEntry, ResetName};
use crate::slot::Slot;

/// One thing to do. Each may be done again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Delete a boot entry.
    DropEntry(EntryName),
    /// Deploy this commit anew, with the running host's `/etc` merged into it. The deployment
    /// that comes of it is what [`Step::Link`] means.
    Deploy {
        /// The commit, 64 hex digits.
        commit: String,
    },
    /// Deploy this commit anew with the `/etc` that it brings, and nothing of the host's.
    DeployFresh {
        /// The commit, 64 hex digits.
        commit: String,
    },
    /// Point a slot's link at the deployment that was just made, by a rename.
    Link(Slot),
    /// Remove a slot's link.
    Unlink(Slot),
    /// Write a boot file.
    WriteFile(BootFile),
    /// Read a boot file back past the cache, which wants it synced, and compare.
    CheckFile(BootFile),
    /// Write everything that is still in memory to this volume.
    Sync(Volume),
    /// Forget which entry the loader was told to boot, so that the highest serial decides.
    ClearChoice,
    /// Write a boot entry, in one write under its final name.
    WriteEntry(EntryName, BootEntry),
    /// Write the menu's entry that resets the host.
    WriteReset(ResetName, ResetEntry),
    /// Delete one.
    DropReset(ResetName),
    /// Delete a boot file that no entry needs.
    DropFile(BootFile),
    /// Delete every deployment that no slot's link leads to, and what only they needed of the
    /// repository.
    CleanDeployments,
}

/// A file system that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Volume {
    /// The EFI system partition.
    Esp,
    /// The root, which holds the repository and the deployments.
    Root,
}

/// Why nothing is done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The running system has not proved itself yet, and the idle slot is what it would fall back
    /// to.
    #[error(
        "the running system, {0}, is on trial: what it would fall back to must stay\nhint: it is \
         kept or given up within minutes; `hostctl status` shows how far it is"
    )]
    OnTrial(EntryName),
    /// It runs already.
    #[error("the host runs {commit} already")]
    Runs {
        /// The commit.
        commit: String,
    },
    /// It waits in the other slot for a reboot.
    #[error("{commit} is installed already, as {entry}: it boots at the next reboot")]
    Waits {
        /// The commit.
        commit: String,
        /// Its entry.
        entry: EntryName,
    },
    /// Something else is to be tried first.
    #[error(
        "{0} waits to be tried at the next reboot\nhint: reboot first, or `hostctl os cancel` \
         withdraws it"
    )]
    AnotherWaits(EntryName),
    /// There is nothing to withdraw.
    #[error("nothing waits to be tried at the next reboot")]
    NothingWaits,
    /// What boots next was there before, and proved itself.
    #[error(
        "{0} boots next because somebody went back to it\nhint: reboot, and `hostctl os rollback` \
         leads here again"
    )]
    WentBack(EntryName),
    /// What runs cannot be described.
    #[error("the boot entry {0} cannot be read\nhint: the ESP is damaged; update this host anew")]
    Damaged(EntryName),
    /// The disk does not say what runs.
    #[error("the link of the running slot {0} leads nowhere")]
    NoRunning(Slot),
    /// There is nothing to go back to.
    #[error("slot {slot} holds nothing that has proved itself: {reason}")]
    NothingBehind {
        /// The other slot.
        slot: Slot,
        /// What is missing there.
        reason: &'static str,
    },
}
