//! The steps that make the host boot what the idle slot holds.

use crate::entry::{BootEntry, EntryName, next_serial};

use super::{Found, FoundEntry, Refusal, Step, Volume};

/// The steps, from what was found. The other slot's entry is written anew under a serial above
/// all others, and then its old one goes, and what waits to be tried; a cut in between leaves good entries.
///
/// # Errors
/// The running system is on trial, or the other slot has nothing that once proved itself.
pub fn roll_back(found: &Found) -> Result<Vec<Step>, Refusal> {
    if !found.running.is_blessed() {
        return Err(Refusal::OnTrial(found.running));
    }
    let behind = behind(found)?;
    let serial = next_serial(&found.names());
    let name = EntryName::uncounted(serial, found.idle());
    let waits = found.waits(found.running.slot);
    let old = found.of(found.idle()).map(|entry| entry.name).chain(waits).map(Step::DropEntry);
    let steps = [
        Step::ClearChoice,
        Step::WriteEntry(name, BootEntry { serial, ..behind.clone() }),
        Step::Sync(Volume::Esp),
    ];
    Ok(steps.into_iter().chain(old).chain([Step::Sync(Volume::Esp)]).collect())
}

/// What the last entry of the idle slot says.
fn behind(found: &Found) -> Result<&BootEntry, Refusal> {
    let slot = found.idle();
    let nothing = |reason| Refusal::NothingBehind { slot, reason };
    if found.of(slot).next().is_none() {
        return Err(nothing("it has no boot entry"));
    }
    // All are of what the slot's link leads to: an update removes those before it.
    let blessed = found.of(slot).filter(|entry| entry.name.is_blessed());
    let last: Option<&FoundEntry> = blessed.max_by_key(|entry| entry.name.serial);
    let last = last.ok_or(nothing(match found.waits(slot) {
        Some(_) => "what it holds waits to be tried\nhint: `hostctl os cancel` withdraws that",
        None => "none of its boot entries was blessed",
    }))?;
    let content = last.content.as_ref().ok_or(nothing("its boot entry is damaged"))?;
    if found.link(slot).is_none() {
        return Err(nothing("its link leads nowhere"));
    }
    let whole = |path: &String| {
        found.files.iter().any(|file| file.whole && file.place.to_string() == *path)
    };
    if !whole(&content.linux) || !whole(&content.initrd) {
        return Err(nothing("its kernel or its initramfs is missing or damaged"));
    }
    Ok(content)
}
