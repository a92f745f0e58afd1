//! How a workload is, in words.

use basalt_api::report::{WorkloadState, WorkloadStatus};

use super::case::{AfterEnd, Case, HandsOff, Orphaned};
use crate::instance::InstanceState;
use crate::step::Step;
use crate::wanted::Aim;

type Said = (WorkloadState, Option<String>);

/// How it is; `wait` is what it has to wait for.
pub(super) fn status(case: &Case<'_>, wait: Option<String>) -> WorkloadStatus {
    let (state, reason) = said(case, wait);
    let (mut exit_code, mut started_at) = (None, None);
    match case.instance.map(|instance| &instance.state) {
        Some(InstanceState::Running { since }) => started_at = Some(*since),
        Some(InstanceState::Ended { code, .. }) => exit_code = *code,
        Some(
            InstanceState::Made
            | InstanceState::DataOnly
            | InstanceState::Paused { .. }
            | InstanceState::Stray { .. }
            | InstanceState::Unknown { .. }
            | InstanceState::Broken { .. },
        )
        | None => (),
    }
    WorkloadStatus {
        uid: case.uid,
        name: case.name.clone(),
        kind: case.kind,
        source: case.source,
        state,
        reason,
        restarts: case.track.restarts,
        exit_code,
        started_at,
        addresses: case.instance.map(|instance| instance.addresses.clone()).unwrap_or_default(),
        held: case.wanted.as_ref().is_some_and(|(wanted, _)| wanted.held),
        hash: case.instance.map(|instance| instance.hash.clone()).unwrap_or_default(),
        wanted: case.wanted.as_ref().map(|(wanted, _)| wanted.hash.clone()).unwrap_or_default(),
        trouble: case.track.trouble,
    }
}

fn said(case: &Case<'_>, wait: Option<String>) -> Said {
    match case.hands_off {
        Some(HandsOff::Unavailable(reason)) => {
            return (WorkloadState::Unknown, Some(reason.to_owned()));
        }
        Some(HandsOff::Orphaned(why)) => {
            let why = match why {
                Orphaned::OtherIdentity => "it belongs to another host's id",
                Orphaned::InNoLedger => "no ledger knows it",
            };
            let hint = "`hostctl adopt` or `hostctl purge` decides";
            return (as_it_is(case), Some(format!("{why}: it is left alone ({hint})")));
        }
        Some(HandsOff::LedgerLost) => {
            return (as_it_is(case), Some("the ledger is lost: it is left alone".to_owned()));
        }
        Some(HandsOff::SetUnknown) => {
            let reason = "the endpoint has not said yet what shall run here: it is left alone";
            return (as_it_is(case), Some(reason.to_owned()));
        }
        Some(HandsOff::Sealed) => {
            let reason = case.wanted.as_ref().and_then(|(_, aim)| reason(aim));
            let runs = case.runs();
            return (if runs { WorkloadState::Running } else { WorkloadState::Refused }, reason);
        }
        None => (),
    }
    if let Some(step) = case.track.busy {
        return busy(case, step);
    }
    match &case.wanted {
        None => failed(case).unwrap_or((WorkloadState::Stopping, None)),
        Some((_, Aim::Run)) => running(case, wait),
        Some((_, aim)) if case.runs() => {
            failed(case).unwrap_or((WorkloadState::Stopping, reason(aim)))
        }
        Some((_, aim @ Aim::Refused(_))) => (WorkloadState::Refused, reason(aim)),
        Some((_, aim)) => (WorkloadState::Stopped, reason(aim)),
    }
}

fn reason(aim: &Aim) -> Option<String> {
    match aim {
        Aim::Run => None,
        Aim::Held => Some("this host's operator holds it (`hostctl start` lets go)".to_owned()),
        Aim::Disconnected(reason) | Aim::Refused(reason) => Some(reason.clone()),
    }
}

fn busy(case: &Case<'_>, step: Step) -> Said {
    match step {
        Step::Prepare if case.runs() => {
            (WorkloadState::Running, Some("its replacement is being prepared".to_owned()))
        }
        Step::Prepare => (WorkloadState::Preparing, None),
        Step::Resume => running(case, None),
        Step::Create | Step::Start => (WorkloadState::Starting, None),
        Step::Stop(_) | Step::Remove(_) => (WorkloadState::Stopping, None),
    }
}

fn running(case: &Case<'_>, wait: Option<String>) -> Said {
    if let Some(said) = paused(case).or_else(|| stray(case)) {
        return said;
    }
    if case.runs() {
        let why = case.track.error.as_ref().or(wait.as_ref());
        let reason = why.map(|why| format!("it goes on as it was; its replacement: {why}"));
        return (WorkloadState::Running, reason);
    }
    if let Some(failed) = failed(case) {
        return failed;
    }
    if let Some(wait) = wait {
        return (WorkloadState::Pending, Some(wait));
    }
    match case.instance.map(|instance| &instance.state) {
        Some(InstanceState::Ended { code, note, .. }) => ended(case, *code, note.as_deref()),
        Some(InstanceState::Unknown { reason }) => {
            (WorkloadState::Unknown, Some(format!("it ended, and how cannot be told: {reason}")))
        }
        _ => (WorkloadState::Pending, None),
    }
}

/// What stands still does nobody any good, although it has its memory.
fn paused(case: &Case<'_>) -> Option<Said> {
    let InstanceState::Paused { reason, may_resume, .. } = &case.instance?.state else {
        return None;
    };
    let wait = case.track.restart_wait.as_secs();
    let text = match (&case.track.error, *may_resume) {
        (Some(error), _) => format!("it is paused: {reason}; {error}"),
        (None, true) if wait > 0 => {
            format!("it is paused: {reason}; it is let go on again every {wait} s")
        }
        (None, true) => format!("it is paused: {reason}; it is let go on again"),
        (None, false) => format!("it is paused: {reason} (`hostctl start` lets it go on)"),
    };
    Some((WorkloadState::Failed, Some(text)))
}

/// Nobody hears of it, and none of its log is kept: it is not what was asked for.
fn stray(case: &Case<'_>) -> Option<Said> {
    let InstanceState::Stray { reason } = &case.instance?.state else { return None };
    let text = match &case.track.error {
        Some(error) => format!("{reason}; {error}"),
        None => format!("{reason}: it is ended and made anew"),
    };
    Some((WorkloadState::Failed, Some(text)))
}

fn ended(case: &Case<'_>, code: Option<i32>, note: Option<&str>) -> Said {
    let mut text = match code {
        Some(code) => format!("it ended with {code}"),
        None => "it ended".to_owned(),
    };
    if let Some(note) = note {
        text = format!("{text} ({note})");
    }
    match case.after_end() {
        AfterEnd::Finished => (WorkloadState::Finished, Some(text)),
        AfterEnd::Starts => (WorkloadState::Backoff, Some(format!("{text}; it starts again now"))),
        AfterEnd::Waits => {
            let wait = case.track.restart_wait.as_secs();
            let text = format!("{text}; it starts again {wait} s later");
            (WorkloadState::Backoff, Some(text))
        }
    }
}

/// What failed last, while nothing has succeeded since.
fn failed(case: &Case<'_>) -> Option<Said> {
    case.track.error.clone().map(|error| (WorkloadState::Failed, Some(error)))
}

/// The state of what nothing is done to.
fn as_it_is(case: &Case<'_>) -> WorkloadState {
    if case.runs() { WorkloadState::Running } else { WorkloadState::Stopped }
}
