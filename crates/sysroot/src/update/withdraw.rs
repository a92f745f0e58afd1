//! The steps that take back what waits to be tried.

use crate::entry::EntryName;

use super::{Found, Refusal, Step, Volume};

/// Returns what the next boot would try, a release or kernel arguments, and the steps after which
/// what runs boots again. A release stays deployed, and nothing boots it.
///
/// # Errors
/// Nothing waits; or what boots next is no trial, but what an operator went back to.
pub fn withdraw(found: &Found) -> Result<(EntryName, Vec<Step>), Refusal> {
    let slots = [found.idle(), found.running.slot];
    let waits = slots.into_iter().find_map(|slot| found.waits(slot));
    let waits = waits.ok_or(Refusal::NothingWaits)?;
    // Its slot has no other entry, and this one proved itself.
    if waits.is_blessed() {
        return Err(Refusal::WentBack(waits));
    }
    Ok((waits, vec![Step::DropEntry(waits), Step::Sync(Volume::Esp)]))
}
