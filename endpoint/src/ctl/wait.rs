//! Waiting until workloads run, woken by the endpoint's events.

use std::time::Duration;

use anyhow::{Result, bail};
use basalt_api::id::Name;
use basalt_api::operator::{EVENTS_PATH, Events, WORKLOADS_PATH, WorkloadDetail, WorkloadSummary};
use basalt_api::report::{Trouble, WorkloadState, WorkloadStatus};
use tokio::time::Instant;

use super::PATIENCE;
use crate::client::Client;

/// Seconds that one question for events waits.
const EVENTS_WAIT_S: u64 = 10;

/// How far a workload is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    /// It runs as it shall, or has finished.
    Done,
    /// It is on its way.
    Underway,
    /// It will not run as it is, and why.
    Stuck(String),
}

/// Waits until all run or have finished.
pub(super) async fn until_they_run(
    client: &Client,
    names: &[Name],
    timeout: Duration,
) -> Result<()> {
    let until = Instant::now() + timeout;
    // Asked before the first look, so that nothing in between is missed.
    let mut after = client.get::<Events>(EVENTS_PATH, PATIENCE).await?.next;
    loop {
        let mut underway = Vec::new();
        for name in names {
            let path = format!("{WORKLOADS_PATH}/{name}");
            let detail: WorkloadDetail = client.get(&path, PATIENCE).await?;
            match progress(&detail.workload) {
                Progress::Done => (),
                Progress::Underway => {
                    underway.push(underway_as(&detail.workload));
                }
                Progress::Stuck(why) => bail!("`{name}` does not run: {why}"),
            }
        }
        if underway.is_empty() {
            return Ok(());
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("after {} s, {}", timeout.as_secs(), underway.join("; "));
        }
        let path =
            format!("{EVENTS_PATH}?after={after}&wait_s={}", EVENTS_WAIT_S.min(left.as_secs() + 1));
        after = client.get::<Events>(&path, PATIENCE).await?.next;
    }
}

fn progress(workload: &WorkloadSummary) -> Progress {
    if workload.host.is_none() {
        return Progress::Stuck(workload.reason.clone().unwrap_or_default());
    }
    // What is said of an earlier spec says nothing of this one.
    let status = workload.status.as_ref().filter(|_| workload.is_spoken_of());
    let Some(status) = status else { return Progress::Underway };
    if status.state == WorkloadState::Refused {
        return Progress::Stuck(why(status));
    }
    match status.trouble {
        Some(Trouble::Lasting) => return Progress::Stuck(why(status)),
        Some(Trouble::Passing) => return Progress::Underway,
        None => (),
    }
    match status.state {
        WorkloadState::Failed => Progress::Stuck(why(status)),
        WorkloadState::Stopped if status.held => {
            Progress::Stuck("it is held by `hostctl stop`".to_owned())
        }
        WorkloadState::Finished if status.exit_code.is_some_and(|code| code != 0) => {
            Progress::Stuck(why(status))
        }
        WorkloadState::Running | WorkloadState::Finished if workload.is_up_to_date() => {
            Progress::Done
        }
        _ => Progress::Underway,
    }
}

fn why(status: &WorkloadStatus) -> String {
    status.reason.clone().unwrap_or_else(|| status.state.to_string())
}

/// `web` is failed: `r.example` refuses connections
fn underway_as(workload: &WorkloadSummary) -> String {
    let (name, state) = (&workload.spec.name, state(workload));
    match workload.status.as_ref().and_then(|status| status.reason.as_ref()) {
        Some(reason) => format!("`{name}` is {state}: {reason}"),
        None => format!("`{name}` is {state}"),
    }
}

/// The word for how a workload is.
pub(super) fn state(workload: &WorkloadSummary) -> &'static str {
    match (&workload.host, &workload.status) {
        (None, _) => "unplaced",
        (Some(_), None) => "assigned",
        (Some(_), Some(status)) => status.state.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `said` is what the host says: the hash of what runs, that of what it shall run, the state,
    /// and more.
    fn check(
        host: Option<&str>,
        said: (&str, &str, &str),
        more: &serde_json::Value,
        expected: &Progress,
    ) {
        let spec: serde_json::Value =
            serde_json::from_str(include_str!("../../../crates/api/examples/workload-vm.json"))
                .unwrap();
        let uid = uuid::Uuid::nil();
        let (hash, wanted, state) = said;
        let mut status = serde_json::json!({
            "uid": uid, "name": "x", "kind": "vm", "source": "assigned",
            "state": state, "hash": hash, "wanted": wanted, "reason": "no image",
        });
        let more = more.as_object().unwrap().clone();
        status.as_object_mut().unwrap().extend(more);
        let workload = serde_json::from_value(serde_json::json!({
            "uid": uid, "spec": spec, "host": host, "reason": "no room", "hash": "1-a",
            "applied_at": 0, "status": status,
        }));
        assert_eq!(progress(&workload.unwrap()), *expected, "{state} {hash} for {wanted}");
    }

    fn says(hash: &str, wanted: &str, state: &str, expected: &Progress) {
        check(Some("h"), (hash, wanted, state), &serde_json::json!({}), expected);
    }

    fn stuck() -> Progress {
        Progress::Stuck("no image".to_owned())
    }

    #[test]
    fn only_what_runs_as_it_shall_is_done() {
        says("1-a", "1-a", "running", &Progress::Done);
        says("1-a", "1-a", "finished", &Progress::Done);
        says("1-old", "1-a", "running", &Progress::Underway);
        says("1-old", "1-old", "running", &Progress::Underway);
        says("1-a", "1-a", "backoff", &Progress::Underway);
        // A host of the release before does not say which spec it speaks of.
        says("1-a", "", "running", &Progress::Done);
        says("1-old", "", "failed", &Progress::Underway);
        says("1-a", "", "failed", &stuck());
        let nowhere = Progress::Stuck("no room".to_owned());
        check(None, ("1-a", "1-a", "running"), &serde_json::json!({}), &nowhere);
    }

    #[test]
    fn what_cannot_be_made_is_told_at_once_although_nothing_was_made_of_it() {
        says("", "1-a", "failed", &stuck());
        says("", "1-a", "refused", &stuck());
        says("1-old", "1-old", "failed", &Progress::Underway);
        let ended = serde_json::json!({ "exit_code": 3 });
        check(Some("h"), ("1-a", "1-a", "finished"), &ended, &stuck());
    }

    #[test]
    fn a_failure_that_may_pass_is_waited_for_and_one_that_lasts_is_not() {
        let passing = serde_json::json!({ "trouble": "passing" });
        check(Some("h"), ("", "1-a", "failed"), &passing, &Progress::Underway);
        let lasting = serde_json::json!({ "trouble": "lasting" });
        check(Some("h"), ("", "1-a", "failed"), &lasting, &stuck());
        // The old one goes on while its replacement cannot be made.
        check(Some("h"), ("1-old", "1-a", "running"), &lasting, &stuck());
        let unheard = serde_json::json!({ "trouble": "of a later release" });
        check(Some("h"), ("", "1-a", "failed"), &unheard, &stuck());
    }
}
