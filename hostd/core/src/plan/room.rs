//! Who may take what the host has to give. Placement is the endpoint's; this holds what it cannot
//! know: the host's own workloads, and what is still on its way out.
//!
//! Memory is free once what had it has ended, not when that was decided. Work is carried out side
//! by side, so nothing may count on another's being done first.

use super::case::Case;
use super::{Seen, Situation};

pub(super) struct Room {
    all_mib: u64,
    free_mib: u64,
    /// What is about to be given back.
    coming_mib: u64,
    /// Something that runs is on its way out.
    is_leaving: bool,
}

impl Room {
    pub(super) fn new(situation: &Situation<'_>, cases: &[Case<'_>]) -> Self {
        let taken = cases.iter().map(taken).sum::<u64>() + unseen(situation, cases);
        let leaving = cases.iter().filter(|case| case.is_leaving());
        Self {
            all_mib: situation.memory_mib,
            free_mib: situation.memory_mib.saturating_sub(taken),
            coming_mib: leaving.map(Case::memory_of_instance).sum(),
            is_leaving: cases.iter().any(Case::is_leaving),
        }
    }

    /// What a workload has to wait for before it may start or be replaced; none when it may. Sets
    /// its memory aside then.
    pub(super) fn wait(&mut self, case: &Case<'_>) -> Option<String> {
        let wanted = case.wanted_memory().unwrap_or(0);
        if case.track.busy.is_some() {
            // It is on its way, and what it takes was counted.
            None
        } else if case.wants_replacement() {
            self.set_aside(wanted.saturating_sub(case.memory_of_instance()))
        } else if case.wants_to_start() {
            let takes_a_port =
                case.wanted.as_ref().is_some_and(|(wanted, _)| wanted.takes_a_port());
            if takes_a_port && self.is_leaving {
                return Some(WAIT.to_owned());
            }
            self.set_aside(wanted)
        } else {
            None
        }
    }

    fn set_aside(&mut self, needed: u64) -> Option<String> {
        let Self { all_mib, free_mib, coming_mib, .. } = *self;
        if needed <= free_mib {
            self.free_mib -= needed;
            return None;
        }
        let short =
            format!("it needs {needed} MiB of memory; {free_mib} of {all_mib} MiB are free");
        let missing = needed - free_mib;
        if missing > coming_mib {
            return Some(short);
        }
        // Whoever comes next in turn must not take it away meanwhile.
        (self.free_mib, self.coming_mib) = (0, coming_mib - missing);
        Some(format!("{WAIT}: {short}"))
    }
}

const WAIT: &str = "it waits for what is being stopped";

/// Memory that counts as taken by a workload: what its instance has, and once it is being made or
/// replaced, what it will have.
fn taken(case: &Case<'_>) -> u64 {
    let now = if case.runs() { case.memory_of_instance() } else { 0 };
    let soon = case.shall_run() && case.track.busy.is_some();
    now.max(if soon { case.wanted_memory().unwrap_or(0) } else { 0 })
}

/// Memory of what goes and is not seen: it is still being made, or its runtime cannot be asked.
fn unseen(situation: &Situation<'_>, cases: &[Case<'_>]) -> u64 {
    let counts = |uid, kind| {
        let is_counted = cases.iter().any(|one| one.uid == uid && (one.runs() || one.shall_run()));
        let is_made = situation.tracks.of(uid).busy.is_some_and(|step| !step.frees());
        let is_unknown = matches!(situation.observed.of(kind), Seen::Unavailable(_));
        !is_counted && (is_made || is_unknown)
    };
    let leaving = situation.leaving.iter().filter(|(uid, leaving)| counts(**uid, leaving.kind));
    leaving.filter_map(|(_, leaving)| leaving.memory_mib).sum()
}
