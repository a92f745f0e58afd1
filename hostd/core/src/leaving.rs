//! What is on its way out: what the ledger keeps of it until its instance is gone. Pure.
//!
//! Only the spec of a workload says how long it may take to end and what it takes of the host. Once
//! the spec is gone, or is another one, these are kept beside it; and so that nothing is removed by
//! mistake, of the host's own workloads only what is kept here as deleted is removed.

use std::time::Duration;

use basalt_api::id::WorkloadUid;
use basalt_api::ledger::{Leaving, Ledger};
use basalt_api::set::Assigned;
use basalt_api::workload::{Kind, WorkloadSpec};

use crate::instance::{Instance, InstanceState};
use crate::plan::{Observed, Seen};
use crate::track::Tracks;
use crate::wanted::{Wanted, grace};

/// Entries that a ledger keeps at most. Beyond them a workload ends as its kind does by default.
const MAX_LEAVING: usize = 4000;

/// Notes that a workload is not wanted any more, or has another spec from now on.
pub fn note(ledger: &mut Ledger, before: &Assigned) {
    let memory_mib = before.spec.resources.memory_mib;
    if let Some(known) = ledger.leaving.get_mut(&before.uid) {
        // Its instance may still be the one that was noted first.
        known.stop_grace_s = stop_grace_s(&before.spec);
        known.memory_mib = known.memory_mib.max(memory_mib);
    } else if ledger.leaving.len() < MAX_LEAVING {
        ledger.leaving.insert(before.uid, of(&before.spec));
    }
}

/// Notes that a workload has another spec from now on, where that changes what it takes.
pub fn note_change(ledger: &mut Ledger, before: &Assigned, after: &WorkloadSpec) {
    if before.spec.resources.memory_mib != after.resources.memory_mib {
        note(ledger, before);
    }
}

/// What is kept of a spec.
#[must_use]
pub fn of(spec: &WorkloadSpec) -> Leaving {
    Leaving {
        kind: spec.kind,
        stop_grace_s: stop_grace_s(spec),
        memory_mib: spec.resources.memory_mib,
    }
}

/// What is kept of an instance whose spec nobody knows.
#[must_use]
pub fn of_unknown(kind: Kind) -> Leaving {
    let stop_grace_s = seconds(crate::wanted::default_grace(kind));
    Leaving { kind, stop_grace_s, memory_mib: None }
}

/// Workloads of which nothing is there any more that had to be remembered.
#[must_use]
pub fn gone(
    ledger: &Ledger,
    wanted: &[Wanted],
    observed: &Observed,
    tracks: &Tracks,
) -> Vec<WorkloadUid> {
    let leaving = ledger.leaving.iter().map(|(uid, leaving)| (*uid, leaving.kind));
    let forgotten = ledger.forgotten.iter().map(|one| (one.uid, one.spec.kind));
    let is_gone = |(uid, kind): &(WorkloadUid, Kind)| {
        let is_looked_at = matches!(observed.of(*kind), Seen::Instances(_));
        let wanted = wanted.iter().find(|wanted| wanted.uid() == *uid);
        let mut there = observed.instances().filter(|instance| instance.uid == *uid);
        // What is made from the spec of today needs no memory of another.
        let is_of_today = |one: &Instance, wanted: &Wanted| {
            wanted.hash == one.hash || one.state == InstanceState::DataOnly
        };
        let is_past = there.all(|one| wanted.is_some_and(|wanted| is_of_today(one, wanted)));
        is_looked_at && is_past && tracks.of(*uid).busy.is_none()
    };
    leaving.chain(forgotten).filter(is_gone).map(|(uid, _)| uid).collect()
}

/// Of the workloads that have a folder for secrets, those of which nothing is there any more and
/// that nobody wants: what made the folder was cut off, or what was to remove it. `None` where it
/// cannot be told.
#[must_use]
pub fn without_workload(
    folders: &[WorkloadUid],
    wanted: &[Wanted],
    observed: &Observed,
    tracks: &Tracks,
) -> Option<Vec<WorkloadUid>> {
    let is_seen = |kind| matches!(observed.of(kind), Seen::Instances(_));
    if ![Kind::Container, Kind::Vm].into_iter().all(is_seen) {
        return None;
    }
    let is_left = |uid: &&WorkloadUid| {
        let is_there = observed
            .instances()
            .any(|one| one.uid == **uid && one.state != InstanceState::DataOnly);
        let is_wanted = wanted.iter().any(|wanted| wanted.uid() == **uid);
        !is_there && !is_wanted && tracks.of(**uid).busy.is_none()
    };
    Some(folders.iter().filter(is_left).copied().collect())
}

/// Forgets them.
pub fn forget(ledger: &mut Ledger, gone: &[WorkloadUid]) {
    ledger.leaving.retain(|uid, _| !gone.contains(uid));
    ledger.forgotten.retain(|one| !gone.contains(&one.uid));
}

fn stop_grace_s(spec: &WorkloadSpec) -> u32 {
    seconds(grace(spec))
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use basalt_api::id::HostId;
    use uuid::Uuid;

    use super::*;
    use crate::instance::Owner;
    use crate::step::Step;
    use crate::track::Progress;

    fn workload(memory_mib: u64, grace_s: u32) -> Assigned {
        let text = format!(
            r#"{{"name":"a","kind":"container","resources":{{"memory_mib":{memory_mib}}},
                "container":{{"image":"a","stop_grace_s":{grace_s}}}}}"#
        );
        let spec = serde_json::from_str(&text).unwrap();
        Assigned { uid: WorkloadUid(Uuid::from_u128(1)), spec, secret_versions: Default::default() }
    }

    fn observed(of: &Assigned) -> Observed {
        let instance = Instance {
            uid: of.uid,
            name: of.spec.name.clone(),
            kind: of.spec.kind,
            owner: Owner::Local,
            hash: of.replacement_hash(),
            state: InstanceState::Running { since: 0 },
            addresses: Vec::new(),
            lacks: None,
        };
        Observed { containers: Seen::Instances(vec![instance]), ..Observed::nothing() }
    }

    #[test]
    fn the_latest_grace_and_the_largest_memory_are_kept() {
        let mut ledger = Ledger::default();
        note_change(&mut ledger, &workload(100, 1), &workload(100, 2).spec);
        assert!(ledger.leaving.is_empty(), "nothing changes that it takes");
        note_change(&mut ledger, &workload(100, 2), &workload(50, 3).spec);
        note(&mut ledger, &workload(50, 3));
        let uid = workload(0, 0).uid;
        let expected = Leaving { kind: Kind::Container, stop_grace_s: 3, memory_mib: Some(100) };
        assert_eq!(ledger.leaving.get(&uid), Some(&expected));
    }

    fn state(of: &Assigned, state: InstanceState) -> Observed {
        let mut observed = observed(of);
        if let Seen::Instances(all) = &mut observed.containers {
            all[0].state = state;
            all[0].hash.clear();
        }
        observed
    }

    /// What decided that it goes must outlast a cut between its container and its volumes.
    #[test]
    fn a_deletion_is_remembered_until_the_data_is_gone_too() {
        let one = workload(100, 1);
        let mut ledger = Ledger::default();
        note(&mut ledger, &one);
        let data = state(&one, InstanceState::DataOnly);
        assert_eq!(gone(&ledger, &[], &data, &Tracks::default()), []);
        // For one that is wanted again its data is no past.
        let wanted = Wanted::new(one.clone(), Owner::Local, false);
        assert_eq!(gone(&ledger, &[wanted], &data, &Tracks::default()), [one.uid]);
        assert_eq!(gone(&ledger, &[], &Observed::nothing(), &Tracks::default()), [one.uid]);
    }

    #[test]
    fn a_folder_of_secrets_goes_once_its_workload_is_neither_wanted_nor_there() {
        let one = workload(100, 1);
        let wanted = Wanted::new(one.clone(), Owner::Local, false);
        let (nothing, mut tracks) = (Observed::nothing(), Tracks::default());
        let left = |wanted: &[Wanted], observed: &Observed, tracks: &Tracks| {
            without_workload(&[one.uid], wanted, observed, tracks).map(|left| left.len())
        };
        assert_eq!(left(&[], &nothing, &tracks), Some(1));
        assert_eq!(left(&[], &state(&one, InstanceState::DataOnly), &tracks), Some(1));
        assert_eq!(left(&[wanted], &nothing, &tracks), Some(0));
        assert_eq!(left(&[], &observed(&one), &tracks), Some(0));
        let away = Seen::Unavailable("podman does not answer".to_owned());
        assert_eq!(left(&[], &Observed { containers: away, ..nothing.clone() }, &tracks), None);
        tracks.progress(one.uid, Progress::Began(Step::Create), Duration::ZERO);
        assert_eq!(left(&[], &nothing, &tracks), Some(0));
    }

    #[test]
    fn nothing_is_forgotten_before_its_instance_is_gone() {
        let (before, after) = (workload(100, 1), workload(50, 1));
        let (mut ledger, mut tracks) = (Ledger::default(), Tracks::default());
        note(&mut ledger, &before);
        let wanted = Wanted::new(after.clone(), Owner::Host(HostId(Uuid::nil())), false);
        let gone = |wanted: &[Wanted], observed: &Observed, tracks: &Tracks| {
            gone(&ledger, wanted, observed, tracks).len()
        };
        let away = Observed {
            containers: Seen::Unavailable("podman does not answer".to_owned()),
            ..Observed::nothing()
        };
        assert_eq!(gone(&[], &observed(&before), &tracks), 0);
        assert_eq!(gone(std::slice::from_ref(&wanted), &observed(&before), &tracks), 0);
        assert_eq!(gone(std::slice::from_ref(&wanted), &observed(&after), &tracks), 1);
        assert_eq!(gone(&[], &away, &tracks), 0);
        assert_eq!(gone(&[], &Observed::nothing(), &tracks), 1);
        tracks.progress(before.uid, Progress::Began(Step::Create), Duration::ZERO);
        assert_eq!(gone(&[], &Observed::nothing(), &tracks), 0);
    }
}
