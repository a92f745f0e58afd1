//! Back to what a fresh disk is. Somebody asks for it, here or in the loader's menu; it is carried
//! out in a boot of its own, before anything uses `/var`.
//!
//! What is wished lies in a file beside the slots' links, which is removed last: a reset that was
//! cut anywhere goes on in the next boot, from its beginning. In reading order:

pub(crate) mod machine;

mod boot;
mod console;
mod mark;
mod var;

#[cfg(test)]
mod tests;

use anyhow::{Result, bail};
use basalt_api::os::{Progress, ResetDepth};
use basalt_sysroot::entry::ResetEntry;
use basalt_sysroot::kargs;
use basalt_sysroot::update::{Found, may_reset, offer_reset};
use jiff::Timestamp;

use crate::disk::Disk;
use crate::update::{Updater, carry_out};
use mark::{Mark, Stage};

/// How a person withdraws one.
const WITHDRAW: &str = "hint: `hostctl os factory-reset --cancel` withdraws it";

/// What the next boot resets, if anything.
///
/// # Errors
/// The disk fails.
pub(crate) fn waiting(disk: &Disk) -> Result<Option<ResetDepth>> {
    let mark = Mark::of(&disk.sysroot)?.filter(|mark| mark.stage != Stage::LaidOut);
    Ok(mark.map(|mark| mark.depth))
}

/// Nothing that boots changes before a reset; one that is over but for what it left is ended.
///
/// # Errors
/// One waits, or the disk fails.
pub(crate) fn none_waits(disk: &Disk) -> Result<()> {
    match Mark::of(&disk.sysroot)? {
        None => Ok(()),
        Some(Mark { stage: Stage::LaidOut, .. }) => boot::clean_up(&disk.sysroot),
        Some(Mark { at, .. }) => {
            bail!("the next boot resets this host, as somebody asked at {at}\n{WITHDRAW}")
        }
    }
}

impl Updater {
    /// Has the next boot reset the host.
    ///
    /// # Errors
    /// The running system is on trial, something waits to be tried, or the disk fails.
    pub(crate) fn ask_for_reset(&self, depth: ResetDepth, now: Timestamp) -> Result<()> {
        let (disk, found) = self.opened(now)?;
        may_reset(&found)?;
        Mark { depth, stage: Stage::Asked, at: now }.keep(&disk.sysroot)
    }

    /// Withdraws that; nothing, where nobody asked for it.
    ///
    /// # Errors
    /// It has begun, or the disk fails.
    pub(crate) fn cancel_reset(&self) -> Result<()> {
        let disk = Disk::open(&self.places, self.slot)?;
        match Mark::of(&disk.sysroot)? {
            None => Ok(()),
            Some(Mark { stage: Stage::Asked, .. }) => Mark::forget(&disk.sysroot),
            Some(_) => bail!("the factory reset has begun: it cannot be withdrawn any more"),
        }
    }

    /// The menu offers a reset by what runs: before what the other slot holds is replaced, and its
    /// kernel with it.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn offer_reset(
        &self,
        disk: &mut Disk,
        found: &Found,
        told: &dyn Fn(Progress),
    ) -> Result<()> {
        let own = found.entries.iter().find(|entry| entry.name == found.running);
        let own = own.and_then(|entry| entry.content.as_ref());
        // Without the one or the other nothing could be installed either.
        let (Some(own), Some(runs)) = (own, found.link(self.slot)) else { return Ok(()) };
        let image = disk.sysroot.repo()?.kernel_arguments(&runs.commit)?;
        let entry = ResetEntry::beside(own, &kargs::for_slot(self.slot, &image, &[]));
        let steps = offer_reset(self.slot, &disk.esp.resets()?, &entry);
        carry_out(disk, &steps, None, told)
    }
}
