//! An operator decides whose set counts on a host that follows another history.

use std::collections::{BTreeMap, BTreeSet};

use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::set::HostSet;

use crate::checkin::Mark;
use crate::generation::Workload;

/// A workload as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The workload.
    pub workload: Workload,
    /// Its host.
    pub host: Option<HostId>,
}

/// What a takeover of a host's set changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Takeover {
    /// They are so from now on, on this host.
    pub put: Vec<Workload>,
    /// They were to be on this host, which does not have them: deleted or moved after the backup.
    /// Nobody runs them until they are applied again.
    pub parked: Vec<WorkloadUid>,
}

/// Another workload has the name of one that the host runs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the host runs `{0}`, and here another workload has that name")]
pub struct NameClash(pub Name);

/// The generation after a resync: above both histories.
#[must_use]
pub fn generation(known: u64, reported: &Mark) -> u64 {
    known.max(reported.generation) + 1
}

/// What it takes for the host to keep what it runs. A workload that the database has on another
/// host comes to this one, because it runs here.
///
/// # Errors
/// The host's set has a name that another workload has here.
pub fn take_over(host: HostId, set: &HostSet, stored: &[Stored]) -> Result<Takeover, NameClash> {
    let by_name: BTreeMap<&Name, WorkloadUid> =
        stored.iter().map(|stored| (&stored.workload.spec.name, stored.workload.uid)).collect();
    let mut takeover = Takeover::default();
    for assigned in &set.workloads {
        let name = &assigned.spec.name;
        if by_name.get(name).is_some_and(|uid| *uid != assigned.uid) {
            return Err(NameClash(name.clone()));
        }
        takeover.put.push(Workload {
            uid: assigned.uid,
            spec: assigned.spec.clone(),
            pins: assigned.secret_versions.clone(),
        });
    }
    let kept: BTreeSet<WorkloadUid> = set.workloads.iter().map(|assigned| assigned.uid).collect();
    let is_missing =
        |stored: &&Stored| stored.host == Some(host) && !kept.contains(&stored.workload.uid);
    takeover.parked = stored.iter().filter(is_missing).map(|stored| stored.workload.uid).collect();
    Ok(takeover)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::generation;

    const HOST: HostId = HostId(Uuid::from_u128(1));

    fn workload(uid: u128, name: &str, version: u64) -> Workload {
        let text = include_str!("../../../crates/api/examples/workload-container.json");
        let mut spec: basalt_api::workload::WorkloadSpec = serde_json::from_str(text).unwrap();
        spec.name = name.parse().unwrap();
        let pins = BTreeMap::from([("db-password".parse().unwrap(), version)]);
        Workload { uid: WorkloadUid(Uuid::from_u128(uid)), spec, pins }
    }

    fn stored(uid: u128, name: &str, host: Option<HostId>) -> Stored {
        Stored { workload: Workload { pins: BTreeMap::new(), ..workload(uid, name, 1) }, host }
    }

    #[test]
    fn what_the_host_no_longer_has_is_parked_and_what_others_have_is_left() {
        let set = generation::set(&[workload(1, "a", 3)], &BTreeMap::new());
        let other = Some(HostId(Uuid::from_u128(2)));
        let known = [stored(1, "a", other), stored(2, "b", Some(HOST)), stored(3, "c", other)];
        let takeover = take_over(HOST, &set, &known).unwrap();
        assert_eq!(takeover.put, [workload(1, "a", 3)]);
        assert_eq!(takeover.parked, [WorkloadUid(Uuid::from_u128(2))]);
    }

    #[test]
    fn two_workloads_of_one_name_are_not_made_one() {
        let set = generation::set(&[workload(1, "a", 1)], &BTreeMap::new());
        let clash = take_over(HOST, &set, &[stored(9, "a", None)]).unwrap_err();
        assert_eq!(clash, NameClash("a".parse().unwrap()));
    }

    proptest! {
        /// Keeping a host's set means that nothing on it is replaced, whatever the database knows.
        #[test]
        fn a_kept_set_is_the_same_set(uids in proptest::collection::btree_map(0_u128..50, 1_u64..9, 0..6), known in 0_u64..9) {
            let workloads: Vec<Workload> =
                uids.iter().map(|(uid, version)| workload(*uid, &format!("w{uid}"), *version)).collect();
            let set = generation::set(&workloads, &BTreeMap::new());
            let takeover = take_over(HOST, &set, &[]).unwrap();
            let lowest = uids.values().min().copied().unwrap_or(0);
            let secrets = BTreeMap::from([("db-password".parse().unwrap(), known.min(lowest))]);
            prop_assert_eq!(generation::set(&takeover.put, &secrets), set);
        }
    }
}
