//! Waiting until workloads run, woken by the endpoint's events.

use std::time::Duration;

use anyhow::{Result, bail};
use basalt_api::id::Name;
use basalt_api::operator::{EVENTS_PATH, Events, WORKLOADS_PATH, WorkloadDetail, WorkloadSummary};
use basalt_api::report::WorkloadState;
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
                    underway.push(format!("`{name}` is {}", state(&detail.workload)));
                }
                Progress::Stuck(why) => bail!("`{name}` does not run: {why}"),
            }
        }
        if underway.is_empty() {
            return Ok(());
        }
        let left = until.saturating_duration_since(Instant::now()).as_secs();
        if left == 0 {
            bail!("after {} s, {}", timeout.as_secs(), underway.join(" and "));
        }
        let path = format!("{EVENTS_PATH}?after={after}&wait_s={}", EVENTS_WAIT_S.min(left));
        after = client.get::<Events>(&path, PATIENCE).await?.next;
    }
}

fn progress(workload: &WorkloadSummary) -> Progress {
    if workload.host.is_none() {
        return Progress::Stuck(workload.reason.clone().unwrap_or_default());
    }
    let status = workload.status.as_ref().filter(|_| workload.is_up_to_date());
    let Some(status) = status else { return Progress::Underway };
    match status.state {
        WorkloadState::Running | WorkloadState::Finished => Progress::Done,
        WorkloadState::Failed | WorkloadState::Refused => {
            Progress::Stuck(status.reason.clone().unwrap_or_else(|| status.state.to_string()))
        }
        WorkloadState::Stopped if status.held => {
            Progress::Stuck("it is held by `hostctl stop`".to_owned())
        }
        _ => Progress::Underway,
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

    fn check(host: Option<&str>, hash: &str, state: &str, expected: &Progress) {
        let spec: serde_json::Value =
            serde_json::from_str(include_str!("../../../crates/api/examples/workload-vm.json"))
                .unwrap();
        let uid = uuid::Uuid::nil();
        let workload = serde_json::from_value(serde_json::json!({
            "uid": uid, "spec": spec, "host": host, "reason": "no room", "hash": "1-a", "applied_at": 0,
            "status": { "uid": uid, "name": "x", "kind": "vm", "source": "assigned",
                        "state": state, "hash": hash, "reason": "no image" },
        }));
        assert_eq!(progress(&workload.unwrap()), *expected);
    }

    #[test]
    fn only_what_runs_as_it_shall_is_done() {
        check(Some("h"), "1-a", "running", &Progress::Done);
        check(Some("h"), "1-a", "finished", &Progress::Done);
        check(Some("h"), "1-old", "running", &Progress::Underway);
        check(Some("h"), "1-old", "failed", &Progress::Underway);
        check(Some("h"), "1-a", "backoff", &Progress::Underway);
        check(Some("h"), "1-a", "failed", &Progress::Stuck("no image".to_owned()));
        check(None, "1-a", "running", &Progress::Stuck("no room".to_owned()));
    }
}
