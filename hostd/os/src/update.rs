//! The update transaction: a release from the archive into the idle slot.
//!
//! Nothing that boots is touched before all of the release is here and known to be good. It may be
//! cut anywhere and begun again; what came stays.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use basalt_api::os::{Progress, Release, RunningUpdate};
use basalt_archive::{Archive, Keys};
use basalt_deploy::{Patience, Remote, Repo, Transfer};
use basalt_release::{Host, Manifest, Standing, judge};
use basalt_sysroot::entry::BootEntry;
use basalt_sysroot::slot::Slot;
use basalt_sysroot::update::{Found, Refusal, Step, install, may_install, refresh};
use jiff::Timestamp;

use crate::choice;
use crate::disk::{Disk, Places};
use crate::etc;
use crate::progress;
use crate::release::{self, How, Incoming, REMOTE};
use crate::reset;
use crate::room::room;
use crate::standing::Memory;
use crate::trial::Trial;

/// The host, as an update sees it.
#[derive(Debug, Clone)]
pub(crate) struct Updater {
    pub(crate) places: Places,
    /// Where the trusted keys are.
    pub(crate) keys: PathBuf,
    pub(crate) memory: Memory,
    /// The name of the image that runs.
    pub(crate) image: String,
    /// Its version.
    pub(crate) version: String,
    /// The slot that runs.
    pub(crate) slot: Slot,
    /// The kernel's id of this boot.
    pub(crate) boot_id: String,
    /// How long a download may take.
    pub(crate) patience: Patience,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The archive's URL.
    pub(crate) url: String,
    /// A file with the CA of its server, where the system's do not know it.
    pub(crate) ca: Option<PathBuf>,
    /// A version by name; the release of now otherwise.
    pub(crate) version: Option<String>,
    /// Boots that it has to prove itself.
    pub(crate) tries: u32,
}

/// The release that is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It is another one than runs.
    Another(Manifest),
    /// It runs.
    Runs(Manifest),
}

/// A release that is here.
struct Brought {
    disk: Disk,
    found: Found,
    offer: Offer,
}

/// What a manifest is judged by.
struct Judge<'a> {
    keys: &'a Keys,
    standing: &'a Standing,
    now: Timestamp,
}

impl Wanted {
    fn archive(&self) -> Archive<'_> {
        Archive { url: &self.url, ca: self.ca.as_deref() }
    }
}

impl Updater {
    /// What the archive offers, which may be what runs; the host would take it.
    ///
    /// # Errors
    /// The archive or its manifest is not good, or the host does not take the release.
    pub(crate) fn check(&self, wanted: &Wanted, now: Timestamp) -> Result<Offer> {
        let keys = Keys::read(&self.keys)?;
        let (_disk, found) = self.opened(now)?;
        let standing = &self.memory.standing()?;
        let by = Judge { keys: &keys, standing, now };
        let manifest = self.offered(wanted, &found, &by)?;
        let is_known = manifest.commit == runs(&found)?;
        Ok(if is_known { Offer::Runs(manifest) } else { Offer::Another(manifest) })
    }

    /// Brings a release over, unless it runs: what an update of it would need is here then.
    ///
    /// # Errors
    /// As of [`check`](Self::check); or there is no space, or the download fails.
    pub(crate) fn fetch(
        &self,
        wanted: &Wanted,
        now: Timestamp,
        told: impl Fn(Progress) + Clone + 'static,
    ) -> Result<Offer> {
        Ok(self.bring(wanted, now, told)?.offer)
    }

    /// Brings a release into the idle slot, unless it runs. The next boot is its trial.
    ///
    /// # Errors
    /// As of [`check`](Self::check); or there is no space, the download fails, or the disk does.
    pub(crate) fn update(
        &self,
        wanted: &Wanted,
        now: Timestamp,
        told: impl Fn(Progress) + Clone + 'static,
    ) -> Result<Offer> {
        let Brought { mut disk, found, offer } = self.bring(wanted, now, told.clone())?;
        let Offer::Another(manifest) = offer else { return Ok(offer) };
        let repo = disk.sysroot.repo()?;
        let kargs = self.memory.kargs()?;
        let how = How { slot: found.idle(), tries: wanted.tries, kargs: &kargs };
        let incoming = release::read(&repo, &manifest, &how)?;
        match install(&found, &incoming.release) {
            // Begun before, and whole: who asks again gets what was asked for.
            Err(Refusal::Waits { .. }) => return Ok(Offer::Another(manifest)),
            steps => {
                let steps = steps?;
                let etc = Some(etc_of(&disk, self.slot)?);
                let trial = self.trial_of(release_of(&manifest), &steps, now)?;
                self.offer_reset(&mut disk, &found, &told)?;
                self.expect(&Trial { etc, ..trial })?;
                carry_out(&mut disk, &steps, Some(&incoming), &told)?;
            }
        }
        Ok(Offer::Another(manifest))
    }

    /// Brings a release over, unless it runs.
    fn bring(
        &self,
        wanted: &Wanted,
        now: Timestamp,
        told: impl Fn(Progress) + Clone + 'static,
    ) -> Result<Brought> {
        let keys = Keys::read(&self.keys)?;
        let (disk, found) = self.opened(now)?;
        may_install(&found)?;
        let standing = self.memory.standing()?;
        let by = Judge { keys: &keys, standing: &standing, now };
        let manifest = self.offered(wanted, &found, &by)?;
        if manifest.commit == runs(&found)? {
            return Ok(Brought { disk, found, offer: Offer::Runs(manifest) });
        }
        let [root, esp] = room(&disk, &found, &manifest, runs(&found)?)?;
        let (version, download_bytes) =
            (manifest.version.clone(), manifest.bytes_from(runs(&found)?));
        told(Progress::Plan { version, download_bytes, root, esp });
        let repo = disk.sysroot.repo()?;
        let tell = told.clone();
        self.pull(&repo, wanted, &manifest, move |it| tell(download(it)))?;
        self.believe(wanted, &manifest, &found, now)?;
        Ok(Brought { disk, found, offer: Offer::Another(manifest) })
    }

    /// The disk, to be changed, and what is on it, once it is known what became of the last trial.
    pub(crate) fn opened(&self, now: Timestamp) -> Result<(Disk, Found)> {
        if let Some(RunningUpdate { request, version, started_at, .. }) =
            progress::running(&self.places.progress)
        {
            let what = version.map_or(request, |version| format!("update to version {version}"));
            bail!(
                "another {what} is under way since {started_at}\nhint: `hostctl os status` shows \
                 how far it is"
            );
        }
        let disk = Disk::open(&self.places, self.slot)?;
        reset::none_waits(&disk)?;
        let found = disk.found()?;
        self.settle(&found, now)?;
        Ok((disk, found))
    }

    /// The disk, to be looked at, and what is on it. While somebody else is at work, the next one
    /// finds out what became of the last trial.
    pub(crate) fn looked_at(&self, now: Timestamp) -> Result<(Disk, Found)> {
        let own = Disk::try_open(&self.places, self.slot)?;
        let may_settle = own.is_some();
        let disk = own.map_or_else(|| Disk::look(&self.places, self.slot), Ok)?;
        let found = disk.found()?;
        if may_settle {
            self.settle(&found, now)?;
        }
        Ok((disk, found))
    }

    /// From now on no older manifest is believed. The host may have been pinned since the download
    /// began, so it is judged once more.
    fn believe(
        &self,
        wanted: &Wanted,
        manifest: &Manifest,
        found: &Found,
        now: Timestamp,
    ) -> Result<()> {
        let host = self.host(wanted, found)?;
        self.memory.change_standing(|standing| {
            judge(manifest, &host, standing, now)?;
            standing.sequence = standing.sequence.max(manifest.sequence);
            Ok(())
        })
    }

    /// The trial of a release that these steps lead to.
    pub(crate) fn trial_of(
        &self,
        release: Release,
        steps: &[Step],
        at: Timestamp,
    ) -> Result<Trial> {
        let serial = new_entry(steps)?.serial;
        let (Release { version, commit }, boot_id) = (release, self.boot_id.clone());
        Ok(Trial { serial, version, commit, at, boot_id, kargs: None, etc: None })
    }

    /// Written down before its entry is: a trial that nobody expects would have no verdict.
    pub(crate) fn expect(&self, trial: &Trial) -> Result<()> {
        choice::forget_failure(&self.places.variables)
            .context("cannot forget why the last trial failed")?;
        self.note_open_trial()?;
        self.memory.keep_trial(trial)
    }

    /// Brings what was changed in `/etc` since into the release that was installed in this boot and
    /// waits for its first; whether there was anything to do. The ESP is not needed: at a shutdown
    /// nobody mounts it any more.
    ///
    /// # Errors
    /// The disk fails, or is full; what was installed boots as it was.
    pub(crate) fn refresh_etc(&self, told: impl Fn(Progress) + 'static) -> Result<bool> {
        let Some(trial) = self.memory.trial()? else { return Ok(false) };
        let mut disk = Disk::open(&self.places, self.slot)?;
        let idle = self.slot.other();
        let Some(waits) = disk.sysroot.link(idle)? else { return Ok(false) };
        let is_other = trial.boot_id != self.boot_id || waits.commit != trial.commit;
        if is_other || trial.kargs.is_some() {
            return Ok(false);
        }
        let etc = Some(etc_of(&disk, self.slot)?);
        if trial.etc == etc {
            return Ok(false);
        }
        carry_out(&mut disk, &refresh(idle, &waits), None, &told)?;
        // After a cut before this it is laid out once more.
        self.memory.keep_trial(&Trial { etc, ..trial })?;
        Ok(true)
    }

    fn pull(
        &self,
        repo: &Repo,
        wanted: &Wanted,
        manifest: &Manifest,
        told: impl Fn(Transfer) + 'static,
    ) -> Result<()> {
        let remote = Remote {
            name: REMOTE,
            url: &wanted.url,
            keyrings: &Keys::read(&self.keys)?.commits,
            ca: wanted.ca.as_deref(),
            beside: None,
            patience: self.patience,
        };
        Ok(repo.pull(&remote, &manifest.ref_name, &manifest.commit, told)?)
    }

    fn offered(&self, wanted: &Wanted, found: &Found, by: &Judge<'_>) -> Result<Manifest> {
        let host = self.host(wanted, found)?;
        let manifest =
            basalt_archive::manifest(wanted.archive(), &self.image, host.asked, by.keys)?;
        judge(&manifest, &host, by.standing, by.now)?;
        Ok(manifest)
    }

    /// The host that is asked whether it takes a release.
    fn host<'a>(&'a self, wanted: &'a Wanted, found: &'a Found) -> Result<Host<'a>> {
        let asked = wanted.version.as_deref();
        Ok(Host { image: &self.image, version: &self.version, commit: runs(found)?, asked })
    }
}

/// The boot entry that these steps write.
pub(crate) fn new_entry(steps: &[Step]) -> Result<&BootEntry> {
    let entry = steps.iter().find_map(|step| match step {
        Step::WriteEntry(_, entry) => Some(entry),
        _ => None,
    });
    entry.context("the steps write no boot entry")
}

/// The digest of the `/etc` that runs, from slot `running`. Taken before it is merged: what is
/// changed meanwhile is merged once more.
fn etc_of(disk: &Disk, running: Slot) -> Result<String> {
    let deployment = disk.sysroot.link(running)?.ok_or(Refusal::NoRunning(running))?;
    let etc = disk.sysroot.dir(&deployment).join("etc");
    etc::digest(&etc).with_context(|| format!("cannot read all of `{}`", etc.display()))
}

/// What a manifest is of.
pub(crate) fn release_of(Manifest { version, commit, .. }: &Manifest) -> Release {
    Release { version: version.clone(), commit: commit.clone() }
}

fn download(Transfer { bytes, of, files: (files, of_files) }: Transfer) -> Progress {
    Progress::Download { bytes, of_bytes: of, files, of_files }
}

/// A step, for a person.
pub(crate) fn words(step: &Step) -> String {
    match step {
        Step::DropEntry(name) => format!("removing the boot entry {name}"),
        Step::Deploy { commit } => format!("deploying {commit}"),
        Step::DeployFresh { commit } => format!("deploying {commit} as it comes"),
        Step::Link(slot) => format!("linking slot {slot}"),
        Step::Unlink(slot) => format!("removing the link of slot {slot}"),
        Step::WriteFile(file) => format!("writing {file}"),
        Step::CheckFile(file) => format!("reading {file} back"),
        Step::Sync(_) => "waiting for the disk".to_owned(),
        Step::ClearChoice => "clearing the loader's choice".to_owned(),
        Step::WriteEntry(name, _) => format!("writing the boot entry {name}"),
        Step::WriteReset(name, _) => format!("writing the menu's entry {name}"),
        Step::DropReset(name) => format!("removing the menu's entry {name}"),
        Step::DropFile(file) => format!("removing {file}"),
        Step::CleanDeployments => "removing what no slot needs".to_owned(),
    }
}

/// The commit that runs.
fn runs(found: &Found) -> Result<&str> {
    let running = found.link(found.running.slot);
    Ok(&running.ok_or(Refusal::NoRunning(found.running.slot))?.commit)
}

/// Carries out steps in their order.
pub(crate) fn carry_out(
    disk: &mut Disk,
    steps: &[Step],
    incoming: Option<&Incoming>,
    told: &dyn Fn(Progress),
) -> Result<()> {
    for step in steps {
        told(Progress::Install { step: words(step) });
        disk.carry_out(step, incoming)?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
