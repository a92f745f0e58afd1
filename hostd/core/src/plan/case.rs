//! One workload: what it shall be, what it is, and the steps between.

use std::cmp::Reverse;
use std::time::Duration;

use basalt_api::id::{Name, WorkloadUid};
use basalt_api::report::Source;
use basalt_api::workload::{Kind, Restart};

use super::{Seen, Situation, source};
use crate::instance::{Instance, InstanceState};
use crate::step::{Data, Step};
use crate::track::Track;
use crate::wanted::{Aim, Wanted, unwanted_grace};

pub(super) struct Case<'a> {
    pub(super) uid: WorkloadUid,
    pub(super) name: &'a Name,
    pub(super) kind: Kind,
    pub(super) source: Source,
    pub(super) wanted: Option<(&'a Wanted, Aim)>,
    pub(super) instance: Option<&'a Instance>,
    pub(super) track: Track,
    /// Why nothing may be done to it; none when it may.
    pub(super) hands_off: Option<HandsOff<'a>>,
    pub(super) now: Duration,
}

/// Why nothing is done to a workload, whatever it is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandsOff<'a> {
    /// Its runtime cannot be asked.
    Unavailable(&'a str),
    /// It is another host's.
    Orphaned,
    /// What shall run here is not known.
    LedgerLost,
}

/// What is to be done about an instance that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterEnd {
    Finished,
    Waits,
    Starts,
}

impl<'a> Case<'a> {
    pub(super) fn of_wanted(
        wanted: &'a Wanted,
        instance: Option<&'a Instance>,
        situation: &'a Situation<'a>,
    ) -> Self {
        let aim = wanted.aim(situation.policy, situation.contact);
        Self {
            uid: wanted.uid(),
            name: wanted.name(),
            kind: wanted.kind(),
            source: source(wanted.owner, situation.us),
            hands_off: unavailable(wanted.kind(), situation),
            wanted: Some((wanted, aim)),
            instance,
            track: situation.tracks.of(wanted.uid()),
            now: situation.now,
        }
    }

    pub(super) fn of_unwanted(instance: &'a Instance, situation: &'a Situation<'a>) -> Self {
        let source = source(instance.owner, situation.us);
        let hands_off = match source {
            Source::Orphaned => Some(HandsOff::Orphaned),
            _ if situation.wanted.is_none() => Some(HandsOff::LedgerLost),
            _ => unavailable(instance.kind, situation),
        };
        Self {
            uid: instance.uid,
            name: &instance.name,
            kind: instance.kind,
            source,
            wanted: None,
            instance: Some(instance),
            track: situation.tracks.of(instance.uid),
            hands_off,
            now: situation.now,
        }
    }

    /// Whose turn it is: what runs keeps its place, then priority, then name.
    pub(super) fn turn(&self) -> impl Ord + use<'a> {
        let priority = self.wanted.as_ref().map_or(0, |(wanted, _)| wanted.assigned.spec.priority);
        (!self.runs(), Reverse(priority), self.name, self.uid)
    }

    pub(super) fn runs(&self) -> bool {
        self.instance
            .is_some_and(|instance| matches!(instance.state, InstanceState::Running { .. }))
    }

    /// Whether it is on its way out, and not in vain so far.
    pub(super) fn is_leaving(&self) -> bool {
        self.wanted.is_none() && self.hands_off.is_none() && self.runs() && self.track.failures == 0
    }

    /// Whether it is to run and does not.
    pub(super) fn wants_to_start(&self) -> bool {
        matches!(self.wanted, Some((_, Aim::Run))) && !self.runs()
    }

    /// The steps that are due now.
    pub(super) fn steps(&self) -> Vec<Step> {
        if self.hands_off.is_some() || self.track.busy.is_some() || self.is_waiting() {
            return Vec::new();
        }
        match &self.wanted {
            None => self.leave(),
            Some((wanted, Aim::Run)) => self.run(wanted),
            Some((wanted, _)) if self.runs() => vec![Step::Stop(wanted.grace())],
            Some(_) => Vec::new(),
        }
    }

    /// Whether a failure is too fresh to try again. Stopping what must not run waits as well: it
    /// failed a moment ago.
    fn is_waiting(&self) -> bool {
        self.track.retry_at.is_some_and(|at| at > self.now)
    }

    fn leave(&self) -> Vec<Step> {
        let remove = Step::Remove(Data::Delete);
        match self.instance {
            None => Vec::new(),
            Some(_) if self.runs() => vec![Step::Stop(unwanted_grace(self.kind)), remove],
            Some(_) => vec![remove],
        }
    }

    fn run(&self, wanted: &Wanted) -> Vec<Step> {
        let Some(instance) = self.instance else {
            return vec![Step::Prepare, Step::Create, Step::Start];
        };
        if instance.hash != wanted.hash {
            return self.replace(wanted);
        }
        match &instance.state {
            InstanceState::Running { .. } => Vec::new(),
            InstanceState::Made => vec![Step::Start],
            InstanceState::Broken { .. } => self.replace(wanted),
            InstanceState::Ended { .. } => match self.after_end() {
                AfterEnd::Starts => vec![Step::Start],
                AfterEnd::Finished | AfterEnd::Waits => Vec::new(),
            },
        }
    }

    /// The new image comes first: while it cannot be had, the old instance goes on.
    fn replace(&self, wanted: &Wanted) -> Vec<Step> {
        let mut steps = vec![Step::Prepare];
        if self.runs() {
            steps.push(Step::Stop(wanted.grace()));
        }
        steps.extend([Step::Remove(Data::Keep), Step::Create, Step::Start]);
        steps
    }

    pub(super) fn after_end(&self) -> AfterEnd {
        let Some((wanted, _)) = &self.wanted else { return AfterEnd::Finished };
        let Some(InstanceState::Ended { code, .. }) = self.instance.map(|instance| &instance.state)
        else {
            return AfterEnd::Starts;
        };
        let goes_on = match wanted.assigned.spec.restart {
            Restart::Always => true,
            Restart::OnFailure => *code != Some(0),
            Restart::Never => false,
        };
        if self.track.again {
            AfterEnd::Starts
        } else if !goes_on {
            AfterEnd::Finished
        } else if self.track.restart_at.is_some_and(|at| at > self.now) {
            AfterEnd::Waits
        } else {
            AfterEnd::Starts
        }
    }
}

fn unavailable<'a>(kind: Kind, situation: &'a Situation<'a>) -> Option<HandsOff<'a>> {
    match situation.observed.of(kind) {
        Seen::Unavailable(reason) => Some(HandsOff::Unavailable(reason)),
        Seen::Instances(_) => None,
    }
}
