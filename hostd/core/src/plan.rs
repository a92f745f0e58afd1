//! What to do next: compares what is wanted with what is there. Pure: no I/O, no clock.
//!
//! A plan is made anew in every round and says for each workload the steps that are due now, in
//! order. Steps of one workload end at the first that fails; no workload waits for another one,
//! unless that is about to give back what it needs.

mod case;
mod room;
mod status;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::ledger::Leaving;
use basalt_api::report::{Source, WorkloadStatus};
use basalt_api::set::Assigned;
use basalt_api::workload::Kind;

use crate::instance::{Instance, InstanceState, Owner};
use crate::policy::Policy;
use crate::step::Step;
use crate::track::{Purpose, Tracks};
use crate::wanted::{Contact, Wanted, is_ours};
use case::Case;
use room::Room;

/// Everything that a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What shall run; none where that is not known, as with a lost ledger, and then nothing is
    /// touched.
    pub wanted: Option<&'a [Wanted]>,
    /// Whether the endpoint's set is known. Before it has come once, as after a ledger was begun
    /// anew, nothing that was made for the endpoint is touched.
    pub knows_set: bool,
    /// What was wanted, and is on its way out.
    pub leaving: &'a BTreeMap<WorkloadUid, Leaving>,
    /// What was wanted under another identity.
    pub forgotten: &'a [Assigned],
    /// What is there.
    pub observed: &'a Observed,
    /// What is remembered.
    pub tracks: &'a Tracks,
    /// The id that this host has at its endpoint.
    pub us: Option<HostId>,
    /// What the host allows.
    pub policy: &'a Policy,
    /// When the endpoint was heard.
    pub contact: Contact,
    /// Memory that workloads may have, in MiB.
    pub memory_mib: u64,
    /// Time since boot.
    pub now: Duration,
}

/// What the runtimes have of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Containers.
    pub containers: Seen,
    /// Virtual machines.
    pub machines: Seen,
}

/// What one runtime has of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// These.
    Instances(Vec<Instance>),
    /// It cannot be told, for this reason: nothing of this kind is touched.
    Unavailable(String),
}

/// What to do next, and how everything is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// What frees resources first; then by priority and name.
    pub work: Vec<Work>,
    /// One for each workload that is wanted or there, by name.
    pub statuses: Vec<WorkloadStatus>,
    /// Those of which something is being done for what is not wanted any more: it ends as soon as
    /// it can, and what is wanted now begins.
    pub given_up: Vec<WorkloadUid>,
    /// The moment, as time since boot, at which the first workload is to be stopped when the
    /// endpoint stays silent; none where none is.
    pub silent_at: Option<Duration>,
}

/// The steps of one workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Which one.
    pub uid: WorkloadUid,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// What is done, in this order, up to the first that fails. Never empty.
    pub steps: Vec<Step>,
    /// What for.
    pub purpose: Purpose,
}

/// Makes the plan.
#[must_use]
pub fn plan(situation: &Situation<'_>) -> Plan {
    let cases = cases(situation);
    let mut room = Room::new(situation, &cases);
    let (mut work, mut statuses) = (Vec::new(), Vec::new());
    for case in &cases {
        let wait = room.wait(case);
        let steps = if wait.is_some() { Vec::new() } else { case.steps() };
        statuses.push(status::status(case, wait));
        if !steps.is_empty() {
            let (uid, name, kind) = (case.uid, case.name.clone(), case.kind);
            work.push(Work { uid, name, kind, steps, purpose: case.purpose.clone() });
        }
    }
    // Stable: within both halves the order stays.
    work.sort_by_key(|work| !work.steps[0].frees());
    statuses.sort_by(|one, other| (&one.name, one.uid).cmp(&(&other.name, other.uid)));
    let given_up = given_up(situation, &cases);
    Plan { work, statuses, given_up, silent_at: silent_at(situation) }
}

fn silent_at(situation: &Situation<'_>) -> Option<Duration> {
    let wanted = situation.wanted.unwrap_or_default().iter();
    let left = wanted.filter_map(|wanted| wanted.may_run_for(situation.contact)).min();
    left.map(|left| situation.now + left)
}

fn given_up(situation: &Situation<'_>, cases: &[Case<'_>]) -> Vec<WorkloadUid> {
    let goes_on = |uid: &WorkloadUid| {
        let mut cases = cases.iter();
        cases.any(|case| case.uid == *uid && case.track.serves(&case.purpose))
    };
    situation.tracks.busy().filter(|uid| !goes_on(uid)).collect()
}

/// Every workload that is wanted or there: those that run first, then by priority and name.
fn cases<'a>(situation: &'a Situation<'a>) -> Vec<Case<'a>> {
    let there: BTreeMap<WorkloadUid, &Instance> =
        situation.observed.instances().map(|instance| (instance.uid, instance)).collect();
    let wanted = situation.wanted.unwrap_or_default();
    // What is made finds its data.
    let made = |uid| there.get(&uid).copied().filter(|one| one.state != InstanceState::DataOnly);
    let named: BTreeSet<WorkloadUid> = wanted.iter().map(Wanted::uid).collect();
    let unwanted = there.values().filter(|instance| !named.contains(&instance.uid));
    let mut cases: Vec<Case<'a>> = wanted
        .iter()
        .map(|wanted| Case::of_wanted(wanted, made(wanted.uid()), situation))
        .chain(unwanted.map(|instance| Case::of_unwanted(instance, situation)))
        .collect();
    cases.sort_by(|one, other| one.turn().cmp(&other.turn()));
    cases
}

impl Observed {
    /// Nothing at all.
    #[must_use]
    pub fn nothing() -> Self {
        Self { containers: Seen::Instances(Vec::new()), machines: Seen::Instances(Vec::new()) }
    }

    /// What the runtime of a kind has.
    #[must_use]
    pub fn of(&self, kind: Kind) -> &Seen {
        match kind {
            Kind::Vm => &self.machines,
            Kind::Container | Kind::Unknown => &self.containers,
        }
    }

    /// Everything that is there.
    pub fn instances(&self) -> impl Iterator<Item = &Instance> {
        [&self.containers, &self.machines].into_iter().flat_map(|seen| match seen {
            Seen::Instances(instances) => instances.as_slice(),
            Seen::Unavailable(_) => &[],
        })
    }
}

fn source(owner: Owner, us: Option<HostId>) -> Source {
    match owner {
        Owner::Local => Source::Local,
        Owner::Host(_) if is_ours(owner, us) => Source::Assigned,
        Owner::Host(_) => Source::Orphaned,
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.name)?;
        for (number, step) in self.steps.iter().enumerate() {
            write!(f, "{}{step}", if number == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.work.iter().try_for_each(|work| writeln!(f, "{work}"))
    }
}
