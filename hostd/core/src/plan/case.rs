//! One workload: what it shall be, what it is, and the steps between.

use std::cmp::Reverse;
use std::time::Duration;

use basalt_api::id::{Name, WorkloadUid};
use basalt_api::ledger::Leaving;
use basalt_api::report::Source;
use basalt_api::workload::{Kind, Restart, WorkloadSpec};

use super::{Seen, Situation, source};
use crate::instance::{Instance, InstanceState, Owner};
use crate::step::{Data, Step};
use crate::track::{Purpose, Track};
use crate::wanted::{Aim, Wanted, default_grace, is_ours};

pub(super) struct Case<'a> {
    pub(super) uid: WorkloadUid,
    pub(super) name: &'a Name,
    pub(super) kind: Kind,
    pub(super) source: Source,
    pub(super) wanted: Option<(&'a Wanted, Aim)>,
    pub(super) instance: Option<&'a Instance>,
    /// What the ledger keeps of an instance that is made from no spec of today.
    pub(super) leaving: Option<&'a Leaving>,
    /// The spec that it had under another identity.
    pub(super) forgotten: Option<&'a WorkloadSpec>,
    /// What is remembered of it, as far as it matters for its purpose.
    pub(super) track: Track,
    pub(super) purpose: Purpose,
    /// Why nothing may be done to it; none when it may.
    pub(super) hands_off: Option<HandsOff<'a>>,
    pub(super) now: Duration,
}

/// Why nothing is done to a workload, whatever it is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HandsOff<'a> {
    /// Its runtime cannot be asked.
    Unavailable(&'a str),
    /// Nobody knows of it any more, for this reason.
    Orphaned(Orphaned),
    /// What shall run here is not known.
    LedgerLost,
    /// It is the endpoint's, which has not said yet what shall run here.
    SetUnknown,
    /// A part of its spec is sealed, and cannot be opened: what it runs by is not known.
    Sealed,
}

/// Why nobody knows of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Orphaned {
    /// It belongs to another host's id, or to what this machine was before.
    OtherIdentity,
    /// It is the host's own, and in no ledger.
    InNoLedger,
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
        let purpose = match aim {
            Aim::Run => Purpose::Run(wanted.hash.clone()),
            Aim::Held | Aim::Disconnected(_) | Aim::Refused(_) => Purpose::Rest,
        };
        Self {
            uid: wanted.uid(),
            name: wanted.name(),
            kind: wanted.kind(),
            source: source(wanted.owner, situation.us),
            hands_off: unavailable(wanted.kind(), situation).or_else(|| sealed(wanted)),
            wanted: Some((wanted, aim)),
            instance,
            leaving: situation.leaving.get(&wanted.uid()),
            forgotten: None,
            track: situation.tracks.of(wanted.uid()).towards(&purpose),
            purpose,
            now: situation.now,
        }
    }

    pub(super) fn of_unwanted(instance: &'a Instance, situation: &'a Situation<'a>) -> Self {
        let uid = instance.uid;
        let leaving = situation.leaving.get(&uid);
        let forgotten = situation.forgotten.iter().find(|one| one.uid == uid);
        let orphaned = match leaving {
            // It was decided that it goes.
            Some(_) => None,
            None => orphaned(instance, forgotten.is_some(), situation),
        };
        let hands_off = match orphaned {
            Some(why) => Some(HandsOff::Orphaned(why)),
            None if situation.wanted.is_none() => Some(HandsOff::LedgerLost),
            None if awaits_set(instance, leaving, situation) => Some(HandsOff::SetUnknown),
            None => unavailable(instance.kind, situation),
        };
        let source = match orphaned {
            Some(_) => Source::Orphaned,
            None => source(instance.owner, situation.us),
        };
        Self {
            uid,
            name: &instance.name,
            kind: instance.kind,
            source,
            wanted: None,
            instance: Some(instance),
            leaving,
            forgotten: forgotten.map(|one| &one.spec),
            track: situation.tracks.of(uid).towards(&Purpose::Leave),
            purpose: Purpose::Leave,
            hands_off,
            now: situation.now,
        }
    }

    /// Whose turn it is: what runs keeps its place, then priority, then name.
    pub(super) fn turn(&self) -> impl Ord + use<'a> {
        let priority = self.wanted.as_ref().map_or(0, |(wanted, _)| wanted.assigned.spec.priority);
        (!self.runs(), Reverse(priority), self.name, self.uid)
    }

    /// Whether it runs or stands still: it has processes, and what it takes is taken.
    pub(super) fn runs(&self) -> bool {
        self.instance.is_some_and(|instance| instance.state.has_processes())
    }

    pub(super) fn shall_run(&self) -> bool {
        matches!(self.wanted, Some((_, Aim::Run)))
    }

    /// Whether it runs, shall not, and can be stopped so far.
    pub(super) fn is_leaving(&self) -> bool {
        !self.shall_run() && self.hands_off.is_none() && self.runs() && self.track.failures == 0
    }

    /// Whether it is to run and does not.
    pub(super) fn wants_to_start(&self) -> bool {
        self.shall_run() && !self.runs()
    }

    /// Whether it runs as another spec had it, and is to be replaced.
    pub(super) fn wants_replacement(&self) -> bool {
        self.shall_run() && self.runs() && !self.is_as_wanted()
    }

    /// Memory that what runs has, in MiB, as far as it is known.
    pub(super) fn memory_of_instance(&self) -> u64 {
        let wanted = self.wanted_memory();
        let of_spec = || wanted.or_else(|| self.forgotten?.resources.memory_mib);
        match self.leaving {
            Some(leaving) if !self.is_as_wanted() => leaving.memory_mib.unwrap_or(0),
            _ => of_spec().unwrap_or(0),
        }
    }

    /// Memory that its spec sets aside, in MiB.
    pub(super) fn wanted_memory(&self) -> Option<u64> {
        self.wanted.as_ref().and_then(|(wanted, _)| wanted.assigned.spec.resources.memory_mib)
    }

    fn is_as_wanted(&self) -> bool {
        let hash = self.wanted.as_ref().map(|(wanted, _)| &wanted.hash);
        hash.is_some() && hash == self.instance.map(|instance| &instance.hash)
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

    /// Whether a failure is too fresh to try again. Stopping what must not run waits for nothing but
    /// a stop that failed a moment ago.
    fn is_waiting(&self) -> bool {
        self.track.retry_at.is_some_and(|at| at > self.now)
    }

    fn leave(&self) -> Vec<Step> {
        let remove = Step::Remove(Data::Delete);
        match self.instance {
            None => Vec::new(),
            Some(_) if self.runs() => vec![Step::Stop(self.last_grace()), remove],
            Some(_) => vec![remove],
        }
    }

    /// How long it may take to end whose spec is gone.
    fn last_grace(&self) -> Duration {
        let seconds = self.leaving.map(|leaving| leaving.stop_grace_s);
        seconds
            .map_or_else(|| default_grace(self.kind), |seconds| Duration::from_secs(seconds.into()))
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
            InstanceState::Paused { may_resume, .. } if self.resumes(*may_resume) => {
                vec![Step::Resume]
            }
            InstanceState::Paused { .. } => Vec::new(),
            InstanceState::Made => vec![Step::Start],
            InstanceState::DataOnly => vec![Step::Prepare, Step::Create, Step::Start],
            InstanceState::Broken { .. } | InstanceState::Stray { .. } => self.replace(wanted),
            InstanceState::Ended { .. } => match (self.after_end(), &instance.lacks) {
                (AfterEnd::Starts, None) => vec![Step::Start],
                (AfterEnd::Starts, Some(_)) => self.replace(wanted),
                (AfterEnd::Finished | AfterEnd::Waits, _) => Vec::new(),
            },
            // Whether it has finished is not known, unless it never does.
            InstanceState::Unknown { .. } if wanted.assigned.spec.restart == Restart::Always => {
                self.replace(wanted)
            }
            InstanceState::Unknown { .. } => Vec::new(),
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

    /// Whether what stands still is let go on now: it may help, or somebody asked for it.
    fn resumes(&self, may_resume: bool) -> bool {
        self.track.again || (may_resume && !self.waits_to_restart())
    }

    fn waits_to_restart(&self) -> bool {
        self.track.restart_at.is_some_and(|at| at > self.now)
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
        } else if self.waits_to_restart() {
            AfterEnd::Waits
        } else {
            AfterEnd::Starts
        }
    }
}

/// Why nobody knows of an instance that is not wanted. The endpoint's set is whole: what is not in
/// it has to go. The host's own is not, and the ledger that is read may be the older copy.
fn orphaned(
    instance: &Instance,
    was_forgotten: bool,
    situation: &Situation<'_>,
) -> Option<Orphaned> {
    if was_forgotten || !is_ours(instance.owner, situation.us) {
        return Some(Orphaned::OtherIdentity);
    }
    let is_own = instance.owner == Owner::Local && situation.wanted.is_some();
    is_own.then_some(Orphaned::InNoLedger)
}

/// Whether an instance is the endpoint's and may be in a set that has not come yet.
fn awaits_set(instance: &Instance, leaving: Option<&Leaving>, situation: &Situation<'_>) -> bool {
    !situation.knows_set && leaving.is_none() && instance.owner != Owner::Local
}

/// What runs is not stopped for a key that is lost.
fn sealed<'a>(wanted: &Wanted) -> Option<HandsOff<'a>> {
    wanted.assigned.spec.is_sealed().then_some(HandsOff::Sealed)
}

fn unavailable<'a>(kind: Kind, situation: &'a Situation<'a>) -> Option<HandsOff<'a>> {
    match situation.observed.of(kind) {
        Seen::Unavailable(reason) => Some(HandsOff::Unavailable(reason)),
        Seen::Instances(_) => None,
    }
}
