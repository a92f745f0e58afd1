//! What ran before the host booted has to run again before the boot has proved itself. Pure.
//!
//! Counted is what ran for a while, so that a workload that fails for its own reasons holds up no
//! release: it did not run before either. What is finished, held, stopped for the endpoint's
//! silence, or not wanted any more does not have to come back. What ran in a boot that did not prove
//! itself is no measure for the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use basalt_api::id::WorkloadUid;
use basalt_api::problem::{Code, Problem};
use basalt_api::ran::Ran;
use basalt_api::report::{Source, WorkloadState, WorkloadStatus};

/// What runs so long has come back: a program that fails at its start has done so by then.
const BACK: Duration = Duration::from_secs(5);
/// What runs so long is missed when it does not come back.
const SETTLED: Duration = Duration::from_secs(60);
/// What does not run for so long is not missed any more. Longer than a host takes to shut down, for
/// that ends workloads too.
const ENDED: Duration = Duration::from_secs(120);

/// What comes back in this boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comeback {
    ran: Ran,
    /// What has not come back yet.
    missing: BTreeSet<WorkloadUid>,
    /// Since when each runs, as its runtime dates it and in time since boot.
    runs: BTreeMap<WorkloadUid, (Option<i64>, Duration)>,
    /// Since when what ran does not.
    ended: BTreeMap<WorkloadUid, Duration>,
}

impl Comeback {
    /// Goes on from what was remembered, in the boot with this id.
    #[must_use]
    pub fn begin(ran: Ran, boot_id: &str) -> Self {
        let ran = if ran.boot_id == boot_id {
            ran
        } else {
            let before = if ran.is_good { ran.ran } else { ran.before };
            let boot_id = boot_id.to_owned();
            Ran { boot_id, is_good: false, ran: BTreeSet::new(), before }
        };
        Self { missing: ran.before.clone(), ran, ..Self::default() }
    }

    /// What is to be remembered.
    #[must_use]
    pub fn ran(&self) -> &Ran {
        &self.ran
    }

    /// Notes how the workloads are (none before the first look), and whether the boot has proved
    /// itself; what has not come back, and why.
    pub fn see(
        &mut self,
        statuses: Option<&[WorkloadStatus]>,
        is_good: bool,
        now: Duration,
    ) -> Vec<Problem> {
        let Some(statuses) = statuses else { return self.not_looked() };
        self.note_running(statuses, now);
        let (kept, runs) = (&mut self.ran, &self.runs);
        let runs_for = |uid: &WorkloadUid, least: Duration| {
            runs.get(uid).is_some_and(|(_, since)| now.saturating_sub(*since) >= least)
        };
        let must_return = |uid: &WorkloadUid| find(statuses, *uid).is_some_and(must_run);
        self.missing.retain(|uid| must_return(uid) && !runs_for(uid, BACK));
        kept.ran.extend(runs.keys().filter(|uid| runs_for(uid, SETTLED)));
        // What came back has settled in an earlier boot, and the next one may be soon.
        kept.ran.extend(kept.before.iter().filter(|uid| runs_for(uid, BACK)));
        let ended = &self.ended;
        let is_over = |uid: &WorkloadUid| {
            ended.get(uid).is_some_and(|since| now.saturating_sub(*since) >= ENDED)
        };
        kept.ran.retain(|uid| must_return(uid) && !is_over(uid));
        kept.is_good |= is_good;
        if kept.is_good && self.missing.is_empty() {
            kept.before.clear();
        }
        let missing = self.missing.iter().filter_map(|uid| find(statuses, *uid));
        let mut problems: Vec<Problem> = missing.map(not_back).collect();
        problems.sort_by(|one, other| one.subject.cmp(&other.subject));
        problems
    }

    fn note_running(&mut self, statuses: &[WorkloadStatus], now: Duration) {
        let runs = |status: &&WorkloadStatus| status.state == WorkloadState::Running;
        let running: BTreeMap<WorkloadUid, Option<i64>> =
            statuses.iter().filter(runs).map(|one| (one.uid, one.started_at)).collect();
        // One that was started anew meanwhile runs since then only.
        self.runs.retain(|uid, (started, _)| running.get(uid) == Some(started));
        for (uid, started) in &running {
            self.runs.entry(*uid).or_insert((*started, now));
        }
        let ran = &self.ran.ran;
        self.ended.retain(|uid, _| ran.contains(uid) && !running.contains_key(uid));
        for uid in ran.iter().filter(|uid| !running.contains_key(uid)) {
            self.ended.entry(*uid).or_insert(now);
        }
    }

    fn not_looked(&self) -> Vec<Problem> {
        if self.missing.is_empty() {
            return Vec::new();
        }
        let count = self.missing.len();
        vec![problem(
            "workloads",
            format!("{count} ran before the host booted, and none was looked for yet"),
        )]
    }
}

fn find(statuses: &[WorkloadStatus], uid: WorkloadUid) -> Option<&WorkloadStatus> {
    statuses.iter().find(|status| status.uid == uid)
}

/// Whether a workload shall run: nobody has stopped it, it is wanted, and it has not finished.
fn must_run(status: &WorkloadStatus) -> bool {
    let is_wanted = status.source != Source::Orphaned && !status.held;
    let is_at_rest = matches!(
        status.state,
        WorkloadState::Finished | WorkloadState::Stopped | WorkloadState::Stopping
    );
    is_wanted && !is_at_rest
}

fn not_back(status: &WorkloadStatus) -> Problem {
    let reason = status.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let state = status.state;
    problem(
        status.name.as_str(),
        format!("it ran before the host booted, and is {state} now{reason}"),
    )
}

fn problem(subject: &str, message: String) -> Problem {
    Problem {
        code: Code::WorkloadNotBack,
        subject: subject.to_owned(),
        message,
        hint: Some("`hostctl workloads` shows how they are".to_owned()),
        fails_gate: true,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn uid(name: &str) -> WorkloadUid {
        WorkloadUid(Uuid::from_u128(name.bytes().fold(0, |sum, c| sum * 31 + u128::from(c))))
    }

    /// Statuses as `web=running job=finished`; `!` after a state is a hold.
    fn statuses(text: &str) -> Vec<WorkloadStatus> {
        let one = |word: &str| {
            let (name, state) = word.split_once('=').unwrap();
            let text = format!(
                r#"{{"uid":"{}","name":"{name}","kind":"container","source":"local",
                    "state":"{}","held":{},"started_at":1}}"#,
                uid(name),
                state.trim_end_matches('!'),
                state.ends_with('!'),
            );
            serde_json::from_str(&text).unwrap()
        };
        text.split_whitespace().map(one).collect()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A boot in which the workloads are so for ten minutes, seen every 5 s.
    fn boot(ran: Ran, boot: &str, text: &str, is_good: bool) -> Ran {
        let mut comeback = Comeback::begin(ran, boot);
        for now in (0..600).step_by(5) {
            comeback.see(Some(&statuses(text)), is_good, seconds(now));
        }
        comeback.ran().clone()
    }

    /// What is missing in the boot after one in which `before` was so, once `now` was so for 10 s.
    fn check(before: &str, now: &str, expected: &[&str]) {
        let mut comeback = Comeback::begin(boot(Ran::default(), "one", before, true), "two");
        comeback.see(Some(&statuses(now)), false, seconds(1));
        let missing = comeback.see(Some(&statuses(now)), false, seconds(11));
        let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
        assert_eq!(missing, expected);
    }

    #[test]
    fn what_ran_before_the_boot_has_to_run_again() {
        check("web=running", "web=running", &[]);
        let missing = ["web: it ran before the host booted, and is failed now"];
        check("web=running", "web=failed", &missing);
        check(
            "web=running",
            "web=unknown",
            &["web: it ran before the host booted, and is unknown now"],
        );
    }

    #[test]
    fn they_are_told_by_their_names_in_order() {
        let missing = ["a", "b", "c"]
            .map(|name| format!("{name}: it ran before the host booted, and is failed now"));
        let missing: Vec<&str> = missing.iter().map(String::as_str).collect();
        check("c=running a=running b=running", "c=failed a=failed b=failed", &missing);
    }

    #[test]
    fn what_failed_before_for_its_own_reasons_may_fail_again() {
        check("web=running bad=backoff worse=failed", "web=running bad=backoff worse=failed", &[]);
    }

    #[test]
    fn finished_held_stopped_and_deleted_ones_do_not_count() {
        let before = "a=running b=running c=running d=running";
        check(before, "a=finished b=backoff! c=stopped", &[]);
    }

    #[test]
    fn a_moment_of_running_is_no_comeback() {
        let ran = boot(Ran::default(), "one", "web=running", true);
        let mut comeback = Comeback::begin(ran, "two");
        let mut see =
            |text: &str, now| comeback.see(Some(&statuses(text)), false, seconds(now)).len();
        assert_eq!(see("web=running", 1), 1);
        assert_eq!(see("web=running", 5), 1);
        assert_eq!(see("web=backoff", 6), 1);
        assert_eq!(see("web=running", 7), 1);
        assert_eq!(see("web=running", 12), 0);
        // It has come back, whatever it does later.
        assert_eq!(see("web=failed", 300), 0);
    }

    #[test]
    fn before_anybody_looked_nothing_has_come_back() {
        let mut comeback = Comeback::begin(boot(Ran::default(), "one", "web=running", true), "two");
        assert!(comeback.see(None, false, seconds(1))[0].fails_gate);
        assert_eq!(Comeback::begin(Ran::default(), "two").see(None, false, seconds(1)), []);
    }

    #[test]
    fn what_has_just_come_back_is_missed_in_the_next_boot() {
        let ran = boot(Ran::default(), "one", "web=running", true);
        let mut two = Comeback::begin(ran, "two");
        two.see(Some(&statuses("web=running")), false, seconds(1));
        two.see(Some(&statuses("web=running")), true, seconds(7));
        let mut three = Comeback::begin(two.ran().clone(), "three");
        assert_eq!(three.see(Some(&statuses("web=failed")), false, seconds(1)).len(), 1);
    }

    #[test]
    fn a_shutdown_that_ends_everything_forgets_nothing() {
        let mut comeback = Comeback::begin(boot(Ran::default(), "one", "web=running", true), "one");
        comeback.see(Some(&statuses("web=failed")), true, seconds(700));
        comeback.see(Some(&statuses("web=failed")), true, seconds(790));
        assert!(comeback.ran().ran.contains(&uid("web")));
        comeback.see(Some(&statuses("web=failed")), true, seconds(830));
        assert!(comeback.ran().ran.is_empty());
    }

    #[test]
    fn what_ran_in_a_boot_that_did_not_prove_itself_is_no_measure() {
        let good = boot(Ran::default(), "one", "web=running job=running", true);
        let bad = boot(good, "two", "web=failed job=running", false);
        let mut comeback = Comeback::begin(bad, "three");
        let missing = comeback.see(Some(&statuses("web=failed job=pending")), false, seconds(1));
        assert_eq!(missing.len(), 2);
    }

    #[test]
    fn once_all_is_back_in_a_good_boot_nothing_is_missed_any_more() {
        let good = boot(Ran::default(), "one", "web=running", true);
        let after = boot(good, "two", "web=running", true);
        assert!(after.before.is_empty() && after.is_good);
        // The next `hostd` of the same boot finds nothing missing either.
        let mut comeback = Comeback::begin(after, "two");
        assert_eq!(comeback.see(Some(&statuses("web=failed")), true, seconds(700)), []);
    }
}
