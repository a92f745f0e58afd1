//! The steps that make a host what a fresh disk is, and the menu's entry that asks for them.

use crate::boot_file::BootFile;
use crate::entry::{EntryName, ResetEntry, ResetName, next_serial};
use crate::slot::Slot;

use super::install::entry;
use super::{Found, FoundFile, Refusal, Release, Step, Volume};

/// The menu's entry, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundReset {
    /// Its name.
    pub name: ResetName,
    /// What it says; `None` where it is cut off or garbled.
    pub content: Option<ResetEntry>,
}

/// What a reset finds. What booted may be the menu's entry, so that no other is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeforeReset {
    /// The slot that runs; it stays.
    pub slot: Slot,
    /// All entries.
    pub entries: Vec<EntryName>,
    /// Those of the menu.
    pub menu: Vec<FoundReset>,
    /// All boot files.
    pub files: Vec<FoundFile>,
}

/// What a reset does. What it takes from `/var` goes between the two: from then on, whatever is
/// cut off, the next boot is of the slot that is being reset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// Makes the slot boot as it was first installed. What may fail for want of room fails here,
    /// before anything is lost.
    pub prepare: Vec<Step>,
    /// Takes away what the slot does not need.
    pub finish: Vec<Step>,
}

/// Whether somebody may ask for a reset now. What is told to be kept by it has proved itself, and
/// nothing else is to be tried before.
///
/// # Errors
/// The running system is on trial, or something waits to be tried.
pub fn may_reset(found: &Found) -> Result<(), Refusal> {
    if !found.running.is_blessed() {
        return Err(Refusal::OnTrial(found.running));
    }
    match Slot::ALL.into_iter().find_map(|slot| found.waits(slot)) {
        Some(waits) => Err(Refusal::AnotherWaits(waits)),
        None => Ok(()),
    }
}

/// Returns the steps after which the running slot holds `release`, which it runs, with the `/etc`
/// that the image brings and without arguments of the host's own; the other slot is empty. They
/// are carried out in a boot of its own, and again from the beginning after a cut: the deployment
/// that runs stays until another boot, and the one that is to boot is laid out anew each time.
#[must_use]
pub fn reset(before: &BeforeReset, release: &Release) -> Reset {
    let BeforeReset { slot, entries, menu, files } = before;
    let own = [release.linux, release.initrd];
    let there = |place: &BootFile| files.iter().any(|file| file.place == *place && file.whole);
    let missing: Vec<BootFile> = own.into_iter().filter(|place| !there(place)).collect();
    let mut prepare = vec![Step::DeployFresh { commit: release.commit.clone() }];
    prepare.extend(missing.iter().copied().map(Step::WriteFile));
    let serial = next_serial(entries);
    let entry = entry(release, serial);
    prepare.extend([Step::Sync(Volume::Root), Step::Sync(Volume::Esp)]);
    prepare.extend(missing.into_iter().map(Step::CheckFile));
    prepare.extend([
        Step::Link(*slot),
        Step::Sync(Volume::Root),
        Step::ClearChoice,
        Step::WriteEntry(EntryName::uncounted(serial, *slot), entry.clone()),
        Step::Sync(Volume::Esp),
    ]);
    let mut finish: Vec<Step> = entries.iter().map(|name| Step::DropEntry(*name)).collect();
    let arguments: Vec<String> = release.options.split(' ').map(str::to_owned).collect();
    finish.extend(offer_reset(*slot, menu, &ResetEntry::beside(&entry, &arguments)));
    finish.push(Step::Sync(Volume::Esp));
    finish.push(Step::Unlink(slot.other()));
    finish.push(Step::Sync(Volume::Root));
    let unneeded = files.iter().map(|file| file.place).filter(|place| !own.contains(place));
    finish.extend(unneeded.map(Step::DropFile));
    finish.push(Step::Sync(Volume::Esp));
    Reset { prepare, finish }
}

/// Returns the steps after which the menu offers a reset by what `slot` holds, and no other. To be
/// carried out before that of another slot loses its kernel. It needs no boot file of its own. The
/// old entry goes only once the new one is safe, so that a menu that offers a reset always does.
#[must_use]
pub fn offer_reset(slot: Slot, menu: &[FoundReset], entry: &ResetEntry) -> Vec<Step> {
    let is_good = |it: &FoundReset| {
        it.name.slot == slot && it.name.is_only_chosen() && it.content.as_ref() == Some(entry)
    };
    let good = menu.iter().find(|it| is_good(it)).map(|it| it.name);
    let kept = good.unwrap_or(ResetName::of(slot));
    let others = menu.iter().map(|it| it.name).filter(|name| *name != kept);
    let mut steps = Vec::new();
    if good.is_none() {
        steps.extend([Step::WriteReset(kept, entry.clone()), Step::Sync(Volume::Esp)]);
    }
    steps.extend(others.map(Step::DropReset));
    steps
}
