//! What of a host's report is taken.

use std::collections::{BTreeMap, BTreeSet};

use basalt_api::capacity::Taken;
use basalt_api::checkin::CheckinRequest;
use basalt_api::id::{Name, WorkloadUid};
use basalt_api::report::{Source, WorkloadStatus};
use basalt_api::set::HostSet;
use basalt_api::workload::{Cpus, Kind, Resources};

use crate::bounds::cut;

/// Workloads that one host may report.
pub const MAX_STATUSES: usize = 4096;
/// Bytes of a reason that are kept: a person reads it.
const MAX_REASON: usize = 2 << 10;
/// Addresses of a workload that are kept, and bytes of each: an IPv6 address with its zone.
const MAX_ADDRESSES: (usize, usize) = (16, 64);
/// Bytes of a hash that are kept; ours has 64.
const MAX_HASH: usize = 128;

/// What is known of a host's workloads.
pub type Statuses = BTreeMap<WorkloadUid, WorkloadStatus>;
/// What the workloads of a host's set are called, and what they are.
pub type Assigned = BTreeMap<WorkloadUid, (Name, Kind)>;

/// The workloads of this set.
#[must_use]
pub fn assigned(set: &HostSet) -> Assigned {
    let named = set.workloads.iter();
    named.map(|it| (it.uid, (it.spec.name.clone(), it.spec.kind))).collect()
}

/// What a report changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// New or other than before.
    pub put: Vec<WorkloadStatus>,
    /// No longer there.
    pub gone: Vec<WorkloadUid>,
    /// Said about workloads that are not this host's, or beyond what is kept.
    pub refused: Vec<WorkloadUid>,
}

/// What a report changes. `assigned` are the workloads of the host's set. One that has left the
/// set is still the host's to tell about while it is known there: it is being stopped.
#[must_use]
pub fn difference(known: &Statuses, assigned: &Assigned, request: &CheckinRequest) -> Difference {
    let mut difference = Difference::default();
    let said: BTreeSet<WorkloadUid> = request.changes.iter().map(|status| status.uid).collect();
    let is_gone =
        |uid: &WorkloadUid| !said.contains(uid) && (request.is_full || request.gone.contains(uid));
    difference.gone = known.keys().filter(|uid| is_gone(uid)).copied().collect();
    let mut kept = known.len() - difference.gone.len();
    // Of a uid that is told twice, the last word counts.
    let changes: BTreeMap<WorkloadUid, &WorkloadStatus> =
        request.changes.iter().map(|status| (status.uid, status)).collect();
    for status in changes.into_values() {
        let before = known.get(&status.uid);
        if !is_its_own(status, assigned, before) || (before.is_none() && kept >= MAX_STATUSES) {
            difference.refused.push(status.uid);
            continue;
        }
        let status = bounded(status);
        if before != Some(&status) {
            kept += usize::from(before.is_none());
            difference.put.push(status);
        }
    }
    difference
}

/// Whether a host may tell this: an assigned workload must be one that it was assigned, and be
/// called as it was.
fn is_its_own(
    status: &WorkloadStatus,
    assigned: &Assigned,
    before: Option<&WorkloadStatus>,
) -> bool {
    let said = (&status.name, status.kind);
    if status.source != Source::Assigned {
        return !assigned.contains_key(&status.uid);
    }
    let known = assigned.get(&status.uid).map(|(name, kind)| (name, *kind));
    let left = before.filter(|before| before.source == Source::Assigned);
    known.or(left.map(|before| (&before.name, before.kind))) == Some(said)
}

/// No more of it than is kept.
fn bounded(status: &WorkloadStatus) -> WorkloadStatus {
    let mut status = status.clone();
    if let Some(reason) = &mut status.reason {
        cut(reason, MAX_REASON);
    }
    let (count, bytes) = MAX_ADDRESSES;
    status.addresses.truncate(count);
    status.addresses.retain(|address| address.len() <= bytes);
    cut(&mut status.hash, MAX_HASH);
    cut(&mut status.wanted, MAX_HASH);
    status
}

/// What the host's own local workloads take: what it says is taken, less what the endpoint
/// assigned. Only right for a report made with the assigned set applied.
#[must_use]
pub fn local_share<'a>(taken: Taken, assigned: impl IntoIterator<Item = &'a Resources>) -> Taken {
    let mut left = taken;
    for resources in assigned {
        let cpus = resources.cpus.unwrap_or_default().milli();
        left.cpus = Cpus::from_milli(left.cpus.milli().saturating_sub(cpus));
        left.memory_mib = left.memory_mib.saturating_sub(resources.memory_mib.unwrap_or(0));
    }
    left
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn uid(number: u8) -> WorkloadUid {
        WorkloadUid(Uuid::from_u128(number.into()))
    }

    /// `a1r`: assigned, uid 1, running; `l` is local; `f` is failed.
    fn status(word: &str) -> WorkloadStatus {
        let [source, number, state] = word.as_bytes() else { panic!("{word}") };
        serde_json::from_value(serde_json::json!({
            "uid": uid(number - b'0'), "name": "x", "kind": "container",
            "source": if *source == b'a' { "assigned" } else { "local" },
            "state": if *state == b'r' { "running" } else { "failed" },
        }))
        .unwrap()
    }

    fn statuses(words: &str) -> Vec<WorkloadStatus> {
        words.split_whitespace().map(status).collect()
    }

    fn request(
        changes: Vec<WorkloadStatus>,
        gone: Vec<WorkloadUid>,
        is_full: bool,
    ) -> CheckinRequest {
        let mut request: CheckinRequest = serde_json::from_value(serde_json::json!({
            "protocol": 1, "boot_id": "", "session": 1,
            "observed_generation": 0, "applied_generation": 0,
        }))
        .unwrap();
        (request.changes, request.gone, request.is_full) = (changes, gone, is_full);
        request
    }

    fn set(numbers: &[u8]) -> Assigned {
        let called = ("x".parse().unwrap(), Kind::Container);
        numbers.iter().map(|number| (uid(*number), called.clone())).collect()
    }

    fn keyed(statuses: Vec<WorkloadStatus>) -> Statuses {
        statuses.into_iter().map(|status| (status.uid, status)).collect()
    }

    /// Workload 1 is in the host's set.
    fn check(known: &str, changes: &str, is_full: bool, expected: &str) {
        let request = request(statuses(changes), vec![], is_full);
        let found = difference(&keyed(statuses(known)), &set(&[1]), &request);
        let put: Vec<u128> = found.put.iter().map(|status| status.uid.0.as_u128()).collect();
        let numbers = |uids: &[WorkloadUid]| -> Vec<u128> {
            uids.iter().map(|uid| uid.0.as_u128()).collect()
        };
        let found = format!(
            "put {put:?} gone {:?} refused {:?}",
            numbers(&found.gone),
            numbers(&found.refused)
        );
        assert_eq!(found, expected);
    }

    #[test]
    fn only_what_is_other_is_put() {
        check("a1r", "a1r", false, "put [] gone [] refused []");
        check("a1r", "a1f", false, "put [1] gone [] refused []");
        check("a1r l2r", "a1r", true, "put [] gone [2] refused []");
    }

    #[test]
    fn what_is_another_hosts_is_refused() {
        check("", "a2r a1r l3r", false, "put [1, 3] gone [] refused [2]");
        // It has left the set and is being stopped.
        check("a2r", "a2f", false, "put [2] gone [] refused []");
        // A local one does not become an assigned one by saying so.
        check("l2r", "a2r", false, "put [] gone [] refused [2]");
    }

    #[test]
    fn a_host_cannot_speak_of_a_workload_under_another_name() {
        let told = |change: fn(&mut WorkloadStatus), known: &str| {
            let mut status = status("a1r");
            change(&mut status);
            let request = request(vec![status], vec![], false);
            difference(&keyed(statuses(known)), &set(&[1]), &request).refused
        };
        let renamed = |status: &mut WorkloadStatus| status.name = "y".parse().unwrap();
        assert_eq!(told(|_| (), ""), []);
        assert_eq!(told(renamed, ""), [uid(1)]);
        assert_eq!(told(renamed, "a1r"), [uid(1)]);
        assert_eq!(told(|status| status.kind = Kind::Vm, ""), [uid(1)]);
        assert_eq!(told(|status| status.source = Source::Local, ""), [uid(1)]);
    }

    #[test]
    fn a_report_is_kept_as_far_as_a_person_reads() {
        let mut long = status("a1r");
        long.reason = Some("ü".repeat(1 << 20));
        long.addresses = vec!["x".repeat(65); 3];
        long.addresses.extend(vec!["10.0.0.1".to_owned(); 99]);
        long.hash = "h".repeat(1 << 20);
        let request = request(vec![long], vec![], false);
        let first = difference(&Statuses::new(), &set(&[1]), &request).put;
        assert!(serde_json::to_vec(&first).unwrap().len() < 4 << 10);
        assert_eq!(first[0].addresses.len(), 13);
        let again = difference(&keyed(first), &set(&[1]), &request);
        assert_eq!(again.put, [], "it is taken for news each time");
    }

    #[test]
    fn a_host_cannot_fill_the_database() {
        // As long as a host can make them, each check-in with others than the one before.
        let long = |number: u128| WorkloadStatus {
            uid: WorkloadUid(Uuid::from_u128(number)),
            name: "n".repeat(basalt_api::id::MAX_NAME).parse().unwrap(),
            reason: Some("\u{1}".repeat(10 << 10)),
            addresses: vec!["\u{1}".repeat(64); 99],
            hash: "\u{1}".repeat(1 << 10),
            wanted: "\u{1}".repeat(1 << 10),
            ..status("l0r")
        };
        let (mut known, mut refused) = (Statuses::new(), 0);
        for round in 0..6 {
            let said = (round * 1000..(round + 1) * 1000).map(long).collect();
            let difference = difference(&known, &set(&[]), &request(said, vec![], false));
            known.extend(keyed(difference.put));
            refused += difference.refused.len();
        }
        assert_eq!((known.len(), refused), (MAX_STATUSES, 6000 - MAX_STATUSES));
        let bytes: usize = known.values().map(|it| serde_json::to_vec(it).unwrap().len()).sum();
        assert!(bytes <= MAX_STATUSES * (24 << 10), "{bytes} bytes");
    }

    proptest! {
        #[test]
        fn a_report_that_is_repeated_changes_nothing(
            known in "([al][0-9][rf] ){0,6}",
            changes in "([al][0-9][rf] ){0,6}",
            gone in proptest::collection::vec(0_u8..10, 0..4),
            is_full: bool,
        ) {
            let mut known = keyed(statuses(&known));
            let request = request(statuses(&changes), gone.into_iter().map(uid).collect(), is_full);
            let assigned = set(&[1, 2]);
            let first = difference(&known, &assigned, &request);
            known.retain(|uid, _| !first.gone.contains(uid));
            known.extend(keyed(first.put));
            let again = difference(&known, &assigned, &request);
            prop_assert_eq!((again.put.len(), again.gone.len()), (0, 0));
        }
    }
}
