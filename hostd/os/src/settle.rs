//! The verdict on the last trial: found out once it is over, remembered, and told.

use anyhow::{Context, Result};
use basalt_release::Verdict;
use basalt_sysroot::loader::Failure;
use basalt_sysroot::update::{Found, FoundEntry};
use jiff::Timestamp;

use crate::standing::{Event, What};
use crate::trial::{self, Course, Evidence, Trial};
use crate::update::Updater;
use crate::{choice, journal, kargs};

impl Updater {
    /// Finds out what became of the last trial, and remembers it. May be repeated at any time.
    ///
    /// # Errors
    /// What the host remembers cannot be read or written.
    pub(crate) fn settle(&self, found: &Found, now: Timestamp) -> Result<()> {
        self.settle_way_back(found)?;
        let Some(trial) = self.memory.trial()? else { return Ok(()) };
        let variables = &self.places.variables;
        let failure = choice::failure(variables);
        let verdict = match trial.course(found.running, &found.entries) {
            Course::Open => return Ok(()),
            Course::None => None,
            Course::Good => Some(Verdict::Good { at: now }),
            Course::Failed => {
                let panic = trial::panic_since(&self.places.pstore, trial.at);
                let is_reset_by_watchdog = trial::is_reset_by_watchdog(&self.places.watchdogs);
                let failure = failure.clone();
                Some(Evidence { failure, panic, is_reset_by_watchdog }.verdict(now))
            }
        };
        if let Some(verdict) = verdict {
            self.tell(&trial, &verdict, failure.as_ref())?;
            self.remember(&trial, verdict)?;
        }
        self.memory.forget_trial()?;
        choice::forget_failure(variables).context("cannot forget why the last trial failed")
    }

    /// A rollback is history once its entry is there; nothing was done otherwise. The kernel
    /// arguments that it boots with are the host's from then on.
    pub(crate) fn settle_way_back(&self, found: &Found) -> Result<()> {
        let Some(way_back) = self.memory.way_back()? else { return Ok(()) };
        let own = |it: &FoundEntry| it.name.serial == way_back.serial && it.content.is_some();
        if found.entries.iter().any(own) {
            if let Some(kargs) = &way_back.kargs {
                self.memory.keep_kargs(kargs)?;
            }
            self.memory.note(&way_back.event)?;
        }
        self.memory.forget_way_back()
    }

    /// What was done for a trial that is open is written down before something else takes its
    /// place.
    pub(crate) fn note_open_trial(&self) -> Result<()> {
        match self.memory.trial()? {
            Some(trial) => self.memory.note(&trial.event()),
            None => Ok(()),
        }
    }

    fn tell(&self, trial: &Trial, verdict: &Verdict, failure: Option<&Failure>) -> Result<()> {
        let (what, at, reason) = match verdict {
            Verdict::Good { at } => (What::Good, *at, None),
            Verdict::Bad { at, reason } => (What::Bad, *at, Some(reason.clone())),
            Verdict::Inconclusive { at } => (What::Inconclusive, *at, None),
        };
        let kargs = trial.kargs.as_deref().map(kargs::named);
        let reason = [kargs, reason].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let reason = Some(reason).filter(|reason| !reason.is_empty());
        let mut event = Event { reason, ..Event::of(what, at, &trial.version, &trial.commit) };
        if what != What::Good {
            event.journal = self.journal_of(trial, failure);
        }
        self.memory.keep_verdict(&event.clone().told())?;
        self.memory.note_end(trial.event(), event)
    }

    /// The last lines of a boot that failed; none where nothing of it was kept. Where it left no
    /// word, as after a panic, it is the boot after the one in which the trial was put there.
    fn journal_of(&self, trial: &Trial, failure: Option<&Failure>) -> Vec<String> {
        let own = failure.and_then(|failure| failure.boot_id).map(|id| id.simple().to_string());
        let journal = &self.places.journal;
        let boot = own.or_else(|| {
            journal::boot_after(&journal::boots(journal), &trial.boot_id, &self.boot_id)
        });
        boot.map(|boot| journal::tail(journal, &boot)).unwrap_or_default()
    }

    /// A release is remembered by what became of it; kernel arguments only where they are good.
    fn remember(&self, trial: &Trial, verdict: Verdict) -> Result<()> {
        match (&trial.kargs, &verdict) {
            (Some(kargs), Verdict::Good { .. }) => self.memory.keep_kargs(kargs),
            (Some(_), _) => Ok(()),
            (None, _) => self.memory.change_standing(|standing| {
                standing.verdicts.insert(trial.commit.clone(), verdict);
                Ok(())
            }),
        }
    }
}
