//! The ways back from a release: to what the other slot holds, and from what has not been tried yet
//! to what runs.

use anyhow::{Context, Result};
use basalt_api::os::{Progress, Release};
use basalt_sysroot::kargs::of_host;
use basalt_sysroot::update::{Found, Step, roll_back, withdraw};
use jiff::Timestamp;

use crate::disk::Disk;
use crate::standing::{Event, WayBack, What};
use crate::update::{Updater, carry_out, new_entry};
use crate::{kargs, release};

impl Updater {
    /// Makes the other slot boot next, under a serial above all others. Returns what it holds.
    ///
    /// # Errors
    /// The running system is on trial, the other slot holds nothing good, or the disk fails.
    pub(crate) fn roll_back(
        &self,
        now: Timestamp,
        told: impl Fn(Progress) + 'static,
    ) -> Result<Release> {
        let (mut disk, found) = self.opened(now)?;
        let steps = roll_back(&found)?;
        let behind = found.link(found.idle()).context("the link of the other slot is gone")?;
        let release = release::of(&disk.sysroot.repo()?, behind)?;
        let kargs = self.kargs_behind(&disk, &found, &steps)?;
        let mut event = Event::of(What::RolledBack, now, &release.version, &release.commit);
        event.reason = kargs.as_deref().map(kargs::named);
        self.note_open_trial()?;
        self.memory.keep_way_back(&WayBack { serial: new_entry(&steps)?.serial, event, kargs })?;
        carry_out(&mut disk, &steps, None, &told)?;
        self.settle_way_back(&disk.found()?)?;
        Ok(release)
    }

    /// The host's own kernel arguments in the entry that these steps write, where they are not
    /// those of now: what is gone back to proved itself with them, and not with others.
    fn kargs_behind(
        &self,
        disk: &Disk,
        found: &Found,
        steps: &[Step],
    ) -> Result<Option<Vec<String>>> {
        let slot = found.idle();
        let Some(behind) = found.link(slot) else { return Ok(None) };
        let image = disk.sysroot.repo()?.kernel_arguments(&behind.commit)?;
        let kargs = of_host(&new_entry(steps)?.options, slot, &image);
        let now = self.memory.kargs()?;
        Ok(kargs.filter(|kargs| *kargs != now))
    }

    /// Takes back what waits to be tried at the next boot: what runs boots again. Returns the
    /// release that it was about.
    ///
    /// # Errors
    /// Nothing waits, or the disk fails.
    pub(crate) fn cancel(&self, now: Timestamp, told: impl Fn(Progress)) -> Result<Release> {
        let (mut disk, found) = self.opened(now)?;
        let (waits, steps) = withdraw(&found)?;
        let behind = found.link(waits.slot).context("its slot's link leads nowhere")?;
        let release = release::of(&disk.sysroot.repo()?, behind)?;
        carry_out(&mut disk, &steps, None, &told)?;
        if let Some(trial) = self.memory.trial()? {
            let end = Event::of(What::Withdrawn, now, &release.version, &release.commit);
            self.memory.note_end(trial.event(), end)?;
        }
        self.memory.forget_trial()?;
        self.memory.forget_reboot_wish()?;
        Ok(release)
    }
}
