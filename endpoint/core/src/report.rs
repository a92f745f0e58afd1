//! What of a host's report is taken.

use std::collections::{BTreeMap, BTreeSet};

use basalt_api::capacity::Taken;
use basalt_api::checkin::CheckinRequest;
use basalt_api::id::WorkloadUid;
use basalt_api::report::{Source, WorkloadStatus};
use basalt_api::workload::{Cpus, Resources};

/// Workloads that one host may report.
pub const MAX_STATUSES: usize = 4096;

/// What is known of a host's workloads.
pub type Statuses = BTreeMap<WorkloadUid, WorkloadStatus>;

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
pub fn difference(
    known: &Statuses,
    assigned: &BTreeSet<WorkloadUid>,
    request: &CheckinRequest,
) -> Difference {
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
        let is_its_own = status.source != Source::Assigned
            || assigned.contains(&status.uid)
            || before.is_some_and(|before| before.source == Source::Assigned);
        if !is_its_own || (before.is_none() && kept >= MAX_STATUSES) {
            difference.refused.push(status.uid);
        } else if before != Some(status) {
            kept += usize::from(before.is_none());
            difference.put.push(status.clone());
        }
    }
    difference
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

    fn keyed(statuses: Vec<WorkloadStatus>) -> Statuses {
        statuses.into_iter().map(|status| (status.uid, status)).collect()
    }

    /// Workload 1 is in the host's set.
    fn check(known: &str, changes: &str, is_full: bool, expected: &str) {
        let request = request(statuses(changes), vec![], is_full);
        let found = difference(&keyed(statuses(known)), &BTreeSet::from([uid(1)]), &request);
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
    fn a_host_cannot_fill_the_database() {
        let many = (0..MAX_STATUSES as u128 + 5).map(|number| WorkloadStatus {
            uid: WorkloadUid(Uuid::from_u128(number)),
            ..status("l0r")
        });
        let found =
            difference(&Statuses::new(), &BTreeSet::new(), &request(many.collect(), vec![], false));
        assert_eq!((found.put.len(), found.refused.len()), (MAX_STATUSES, 5));
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
            let assigned = BTreeSet::from([uid(1), uid(2)]);
            let first = difference(&known, &assigned, &request);
            known.retain(|uid, _| !first.gone.contains(uid));
            known.extend(keyed(first.put));
            let again = difference(&known, &assigned, &request);
            prop_assert_eq!((again.put.len(), again.gone.len()), (0, 0));
        }
    }
}
