//! The steps that bring a release into the idle slot.

use crate::boot_file::BootFile;
use crate::entry::{BootEntry, EntryName, next_serial};

use super::{Found, Refusal, Step, Volume};

/// What is to be installed; its commit is in the repository already, whole and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The commit, 64 hex digits.
    pub commit: String,
    /// What the loader's menu shows.
    pub title: String,
    /// The kernel's arguments, those of the slot too: see
    /// [`kargs::for_slot`](crate::kargs::for_slot).
    pub options: String,
    /// Its kernel.
    pub linux: BootFile,
    /// Its initramfs.
    pub initrd: BootFile,
    /// Boots that it has to prove itself.
    pub tries: u32,
}

/// Whether any release may be installed now: to be asked before the download.
///
/// # Errors
/// The running system is on trial, or waits to be tried with other kernel arguments. A release
/// that waits is no obstacle: the one that comes now replaces it.
pub fn may_install(found: &Found) -> Result<(), Refusal> {
    let Found { running, .. } = *found;
    if !running.is_blessed() {
        return Err(Refusal::OnTrial(running));
    }
    // Dropped, they would be undone behind the back of who asked for them; left, they would boot
    // once the release has failed, when nobody expects them any more.
    match found.waits(running.slot) {
        Some(waits) => Err(Refusal::AnotherWaits(waits)),
        None => Ok(()),
    }
}

/// The steps, from what was found.
///
/// # Errors
/// As of [`may_install`]; or this release runs, or waits for a reboot already.
pub fn install(found: &Found, release: &Release) -> Result<Vec<Step>, Refusal> {
    check(found, release)?;
    let idle = found.idle();
    let name = EntryName::on_trial(next_serial(&found.names()), idle, release.tries);
    let mut steps: Vec<Step> = found.of(idle).map(|entry| Step::DropEntry(entry.name)).collect();
    steps.push(Step::Sync(Volume::Esp));
    steps.push(Step::Deploy { commit: release.commit.clone() });
    steps.push(Step::Link(idle));
    steps.push(Step::Sync(Volume::Root));
    steps.extend(missing(found, release).map(Step::WriteFile));
    steps.push(Step::Sync(Volume::Esp));
    steps.extend(missing(found, release).map(Step::CheckFile));
    steps.push(Step::ClearChoice);
    steps.push(Step::WriteEntry(name, entry(release, name.serial)));
    steps.push(Step::Sync(Volume::Esp));
    steps.extend(unneeded(found, release).map(Step::DropFile));
    steps.push(Step::CleanDeployments);
    Ok(steps)
}

fn check(found: &Found, release: &Release) -> Result<(), Refusal> {
    may_install(found)?;
    let running = found.running;
    let deployment = found.link(running.slot).ok_or(Refusal::NoRunning(running.slot))?;
    let commit = &release.commit;
    if deployment.commit == *commit {
        return Err(Refusal::Runs { commit: commit.clone() });
    }
    match waiting(found, release) {
        Some(entry) => Err(Refusal::Waits { commit: commit.clone(), entry }),
        None => Ok(()),
    }
}

/// The entry of this release, if an update was finished and nobody has rebooted since.
fn waiting(found: &Found, release: &Release) -> Option<EntryName> {
    let idle = found.idle();
    let linked = found.link(idle).is_some_and(|deployment| deployment.commit == release.commit);
    let whole = missing(found, release).next().is_none();
    let boots = |name: EntryName| name.tries.is_some_and(|tries| tries.done == 0 && tries.left > 0);
    let says = |found: &super::FoundEntry| {
        found.content.as_ref() == Some(&entry(release, found.name.serial))
    };
    let mut entries = found.of(idle).filter(|_| linked && whole);
    entries.find(|entry| boots(entry.name) && says(entry)).map(|entry| entry.name)
}

/// The entry that boots a release.
pub(super) fn entry(release: &Release, serial: u64) -> BootEntry {
    BootEntry {
        title: release.title.clone(),
        serial,
        linux: release.linux.to_string(),
        initrd: release.initrd.to_string(),
        options: release.options.clone(),
    }
}

/// Its boot files that are not on the ESP, or not whole.
fn missing(found: &Found, release: &Release) -> impl Iterator<Item = BootFile> {
    let there = |place| found.files.iter().any(|file| file.place == place && file.whole);
    [release.linux, release.initrd].into_iter().filter(move |place| !there(*place))
}

/// Boot files that neither the release nor the running slot needs.
fn unneeded(found: &Found, release: &Release) -> impl Iterator<Item = BootFile> {
    let own = [release.linux, release.initrd];
    let needed = move |place| {
        own.contains(&place) || found.of(found.running.slot).any(|entry| entry.needs(place))
    };
    found.files.iter().map(|file| file.place).filter(move |place| !needed(*place))
}
