//! The update transaction: a release from the archive into the idle slot.
//!
//! Nothing that boots is touched before all of the release is here and known to be good. It may be
//! cut anywhere and begun again; what came stays.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use basalt_deploy::{Remote, Repo, Transfer};
use basalt_release::{Host, Manifest, Standing, judge};
use basalt_sysroot::update::{Found, Refusal, Step, install, roll_back};
use jiff::Timestamp;

use crate::disk::{Disk, Places};
use crate::release::{self, Incoming, REMOTE};
use crate::source::{self, Keys};
use crate::standing::{Event, Memory, What};

/// Bytes of the root that stay free whatever comes: libostree's own writing, and the journal of
/// the file system.
const RESERVE: u64 = 64 << 20;

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

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Progress {
    /// What will be done, before anything is.
    Plan {
        /// The version.
        version: String,
        /// Bytes on the wire at most.
        download: u64,
    },
    /// The download.
    Transfer(Transfer),
    /// A step of the installation begins.
    Step(Step),
}

/// What a manifest is judged by.
struct Judge<'a> {
    keys: &'a Keys,
    standing: &'a Standing,
    now: Timestamp,
}

impl Updater {
    /// What the archive offers, and whether this host takes it.
    ///
    /// # Errors
    /// The archive or its manifest is not good, or the host does not take the release.
    pub(crate) fn check(&self, wanted: &Wanted, now: Timestamp) -> Result<Manifest> {
        let keys = Keys::read(&self.keys)?;
        let disk = Disk::open(&self.places)?;
        let found = disk.found()?;
        let standing = &self.memory.standing()?;
        self.offered(wanted, &found, &Judge { keys: &keys, standing, now })
    }

    /// Brings a release into the idle slot. The next boot is its trial.
    ///
    /// # Errors
    /// As of [`check`](Self::check); or there is no space, the download fails, or the disk does.
    pub(crate) fn update(
        &self,
        wanted: &Wanted,
        now: Timestamp,
        told: impl Fn(Progress) + Clone + 'static,
    ) -> Result<Manifest> {
        let keys = Keys::read(&self.keys)?;
        let mut disk = Disk::open(&self.places)?;
        let found = disk.found()?;
        if !found.running.is_blessed() {
            return Err(Refusal::OnTrial(found.running).into());
        }
        let mut standing = self.memory.standing()?;
        let by = Judge { keys: &keys, standing: &standing, now };
        let manifest = self.offered(wanted, &found, &by)?;
        let download = manifest.bytes_from(runs(&found)?);
        has_room(&disk, &manifest, download)?;
        told(Progress::Plan { version: manifest.version.clone(), download });
        let repo = disk.sysroot.repo()?;
        let tell = told.clone();
        pull(&repo, wanted, &keys, &manifest, move |it| tell(Progress::Transfer(it)))?;
        // From now on no older manifest is believed.
        if manifest.sequence > standing.sequence {
            standing.sequence = manifest.sequence;
            self.memory.keep_standing(&standing)?;
        }
        let incoming = release::read(&repo, &manifest, found.idle(), wanted.tries)?;
        let steps = install(&found, &incoming.release)?;
        carry_out(&mut disk, &steps, Some(&incoming), &told)?;
        self.note(What::Installed, now, &manifest.version, &manifest.commit)?;
        Ok(manifest)
    }

    /// Makes the other slot boot next, under a serial above all others. Returns its commit.
    ///
    /// # Errors
    /// The running system is on trial, the other slot holds nothing good, or the disk fails.
    pub(crate) fn roll_back(
        &self,
        now: Timestamp,
        told: impl Fn(Progress) + 'static,
    ) -> Result<String> {
        let mut disk = Disk::open(&self.places)?;
        let found = disk.found()?;
        let steps = roll_back(&found)?;
        carry_out(&mut disk, &steps, None, &told)?;
        let behind = found.link(found.idle()).context("the link of the other slot is gone")?;
        let known = disk.sysroot.repo()?.describe(&behind.commit)?;
        let version = known.and_then(|it| it.version).unwrap_or_default();
        self.note(What::RolledBack, now, &version, &behind.commit)?;
        Ok(behind.commit.clone())
    }

    fn offered(&self, wanted: &Wanted, found: &Found, by: &Judge<'_>) -> Result<Manifest> {
        let asked = wanted.version.as_deref();
        let manifest = source::manifest(&wanted.url, &self.image, asked, by.keys)?;
        let host = Host { image: &self.image, version: &self.version, commit: runs(found)?, asked };
        judge(&manifest, &host, by.standing, by.now)?;
        if manifest.commit == host.commit {
            return Err(Refusal::Runs { commit: manifest.commit }.into());
        }
        Ok(manifest)
    }

    fn note(&self, what: What, at: Timestamp, version: &str, commit: &str) -> Result<()> {
        let (version, commit) = (version.to_owned(), commit.to_owned());
        self.memory.note(Event { at, what, version, commit })
    }
}

/// The commit that runs.
fn runs(found: &Found) -> Result<&str> {
    let running = found.link(found.running.slot);
    Ok(&running.ok_or(Refusal::NoRunning(found.running.slot))?.commit)
}

/// Before the download: what is known to be too little then is said then.
fn has_room(disk: &Disk, manifest: &Manifest, download: u64) -> Result<()> {
    let needs = download.saturating_add(RESERVE);
    enough("the root", disk.sysroot.free()?, needs)?;
    enough("the ESP", disk.esp.free()?, manifest.boot_bytes)
}

fn enough(place: &str, free: u64, needs: u64) -> Result<()> {
    if free >= needs {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    bail!("{place} has {} MiB free, and the release needs {} MiB", free >> 20, mib(needs))
}

fn pull(
    repo: &Repo,
    wanted: &Wanted,
    keys: &Keys,
    manifest: &Manifest,
    told: impl Fn(Transfer) + 'static,
) -> Result<()> {
    let remote = Remote {
        name: REMOTE,
        url: &wanted.url,
        keyrings: &keys.commits,
        ca: wanted.ca.as_deref(),
    };
    Ok(repo.pull(&remote, &manifest.ref_name, &manifest.commit, told)?)
}

fn carry_out(
    disk: &mut Disk,
    steps: &[Step],
    incoming: Option<&Incoming>,
    told: &dyn Fn(Progress),
) -> Result<()> {
    for step in steps {
        told(Progress::Step(step.clone()));
        disk.carry_out(step, incoming)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
