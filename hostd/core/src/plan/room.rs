//! Who may take what the host has to give. Placement is the endpoint's; this holds what it cannot
//! know: the host's own workloads, and what is still on its way out.

use super::Situation;
use super::case::Case;
use crate::wanted::{Aim, Wanted};

pub(super) struct Room {
    all_mib: u64,
    free_mib: u64,
    /// Something that runs is on its way out.
    is_leaving: bool,
}

impl Room {
    pub(super) fn new(situation: &Situation<'_>, cases: &[Case<'_>]) -> Self {
        let taken = cases.iter().filter(|case| holds(case)).filter_map(memory_mib).sum();
        Self {
            all_mib: situation.memory_mib,
            free_mib: situation.memory_mib.saturating_sub(taken),
            is_leaving: cases.iter().any(Case::is_leaving),
        }
    }

    /// What a workload has to wait for before it may start; none when it may. Sets its memory
    /// aside then.
    pub(super) fn wait(&mut self, case: &Case<'_>) -> Option<String> {
        if holds(case) || !case.wants_to_start() {
            return None;
        }
        let takes_a_port = case.wanted.as_ref().is_some_and(|(wanted, _)| wanted.takes_a_port());
        if takes_a_port && self.is_leaving {
            return Some("it waits for what is being stopped".to_owned());
        }
        let needed = memory_mib(case).unwrap_or(0);
        if needed > self.free_mib {
            let Self { all_mib, free_mib, .. } = self;
            let wait = "it needs";
            return Some(format!(
                "{wait} {needed} MiB of memory; {free_mib} of {all_mib} MiB are free"
            ));
        }
        self.free_mib -= needed;
        None
    }
}

/// Whether its memory counts as taken: it runs, or is being made or started.
fn holds(case: &Case<'_>) -> bool {
    case.runs() || case.track.busy.is_some_and(|step| !step.frees())
}

fn memory_mib(case: &Case<'_>) -> Option<u64> {
    let memory = |wanted: &Wanted| wanted.assigned.spec.resources.memory_mib;
    match &case.wanted {
        Some((wanted, Aim::Run)) => memory(wanted),
        _ => None,
    }
}
