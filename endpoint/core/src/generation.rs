//! When a host's set gets a new generation.

use std::collections::BTreeMap;

use basalt_api::id::{Name, WorkloadUid};
use basalt_api::rollout::OsTarget;
use basalt_api::set::{Assigned, HostSet};
use basalt_api::workload::WorkloadSpec;

use crate::Seconds;

/// A set and its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// The number; rises with every set that differs from the one before.
    pub number: u64,
    /// The set's hash.
    pub hash: String,
}

/// A workload, with the versions of secrets that it must not fall behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Which one.
    pub uid: WorkloadUid,
    /// What it is.
    pub spec: WorkloadSpec,
    /// Versions that a host had of its secrets when it was taken over in a resync; the database
    /// may know only older ones.
    pub pins: BTreeMap<Name, u64>,
}

/// The set of these workloads, for a host that shall run this release.
#[must_use]
pub fn set<'a>(
    workloads: impl IntoIterator<Item = &'a Workload>,
    secrets: &BTreeMap<Name, u64>,
    os: Option<OsTarget>,
) -> HostSet {
    let mut workloads: Vec<Assigned> =
        workloads.into_iter().map(|workload| assigned(workload, secrets)).collect();
    workloads.sort_by_key(|assigned| assigned.uid);
    HostSet { workloads, os }
}

/// A workload as a host gets it.
#[must_use]
pub fn assigned(workload: &Workload, secrets: &BTreeMap<Name, u64>) -> Assigned {
    let version = |name: &Name| secrets.get(name).max(workload.pins.get(name)).copied();
    let names = workload.spec.secrets().into_iter();
    let secret_versions = names.filter_map(|name| Some((name.clone(), version(name)?))).collect();
    Assigned { uid: workload.uid, spec: workload.spec.clone(), secret_versions }
}

/// The version of a secret's next value: above every one that any host may have. A host may have
/// versions that a restored database knows nothing of; the clock is above those, for a secret is
/// not set once a second for long.
#[must_use]
pub fn next_version<'a>(
    name: &Name,
    known: Option<u64>,
    workloads: impl IntoIterator<Item = &'a Workload>,
    now: Seconds,
) -> u64 {
    let pinned = workloads.into_iter().filter_map(|workload| workload.pins.get(name).copied());
    let clock = u64::try_from(now).unwrap_or(0);
    pinned.chain(known).max().unwrap_or(0).max(clock) + 1
}

/// The generation after `set` was computed; none where it is the same set as before.
#[must_use]
pub fn next(before: &Generation, set: &HostSet) -> Option<Generation> {
    let hash = set.hash();
    (hash != before.hash).then(|| Generation { number: before.number + 1, hash })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn workload(uid: u128, pin: Option<u64>) -> Workload {
        let text = include_str!("../../../crates/api/examples/workload-container.json");
        let pins = pin.map(|pin| ("db-password".parse().unwrap(), pin));
        Workload {
            uid: WorkloadUid(uuid::Uuid::from_u128(uid)),
            spec: serde_json::from_str(text).unwrap(),
            pins: pins.into_iter().collect(),
        }
    }

    fn secrets(version: u64) -> BTreeMap<Name, u64> {
        BTreeMap::from([("db-password".parse().unwrap(), version), ("other".parse().unwrap(), 1)])
    }

    #[test]
    fn a_set_names_its_own_secrets_and_nothing_falls_behind_a_pin() {
        let version = |pin, known| {
            let assigned = assigned(&workload(1, pin), &known);
            let versions: Vec<u64> = assigned.secret_versions.into_values().collect();
            versions
        };
        assert_eq!(version(None, secrets(2)), [2]);
        assert_eq!(version(Some(5), secrets(2)), [5]);
        assert_eq!(version(Some(5), secrets(6)), [6]);
        assert_eq!(version(None, BTreeMap::new()), [0_u64; 0]);
        let name = "db-password".parse().unwrap();
        assert_eq!(next_version(&name, Some(2), &[workload(1, Some(5))], 0), 6);
        assert_eq!(next_version(&name, None, &[], 0), 1);
        assert_eq!(next_version(&name, Some(7), &[], 1_000_000), 1_000_001);
    }

    proptest! {
        #[test]
        fn the_same_set_keeps_its_generation_whatever_the_order(
            uids in proptest::collection::btree_set(0_u128..1000, 0..8),
            version in 1_u64..4,
        ) {
            let workloads: Vec<Workload> = uids.iter().map(|uid| workload(*uid, None)).collect();
            let forwards = set(&workloads, &secrets(version), None);
            let backwards = set(workloads.iter().rev(), &secrets(version), None);
            let empty = Generation { number: 4, hash: "other".to_owned() };
            let first = next(&empty, &forwards).unwrap();
            prop_assert_eq!(first.number, 5);
            prop_assert_eq!(next(&first, &backwards), None);
            let newer = next(&first, &set(&workloads, &secrets(version + 1), None));
            prop_assert_eq!(newer.is_some(), !workloads.is_empty());
        }
    }
}
