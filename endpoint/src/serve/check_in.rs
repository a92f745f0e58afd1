//! The check-in: a long poll that is answered when the host's set is newer than the host's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use basalt_api::checkin::{Action, CheckinAnswer, CheckinRequest};
use basalt_api::fault::{Fault, FaultKind};
use basalt_api::id::Name;
use basalt_endpoint_core::Seconds;
use basalt_endpoint_core::checkin::Verdict;
use tokio::time::Instant;

use crate::app::{App, Shared, to_the_end};
use crate::presence::Poll;
use crate::refusal::{Answer, Refusal};
use crate::routes::{HostCaller, JsonBody};
use crate::store::checkin::{self, Outcome};
use crate::store::events::{self, Happened};
use crate::{chance, clock};

/// Features that a host may name, and bytes of each.
const MAX_FEATURES: (usize, usize) = (64, 64);
/// Bytes of a boot's id and of a hash.
const MAX_ID: usize = 128;
/// What is said of two machines that are one host.
const DUPLICATE: &str = "another machine has this host's identity; both keep what they run";

pub(crate) async fn check_in(
    State(app): State<Shared>,
    caller: HostCaller,
    JsonBody(request): JsonBody<CheckinRequest>,
) -> Answer<Json<CheckinAnswer>> {
    check(&request)?;
    if let Some(after_s) = app.presence.too_early_s(caller.id, clock::up()) {
        return Err(Refusal::come_again("hosts come one after the other after a start", after_s));
    }
    let mut poll = subscribe(&app, caller)?;
    let outcome = take(&app, caller, &request).await?;
    if outcome.verdict == Verdict::Duplicate {
        return Err(duplicate(&app, &outcome).await?);
    }
    app.presence.take_turn(caller.id, &mut poll);
    let outcome = hold(&app, caller, &request, &mut poll, outcome).await?;
    Ok(Json(answer(&app, caller, &request, &poll, outcome)?))
}

fn check(request: &CheckinRequest) -> Answer<()> {
    let (features, bytes) = MAX_FEATURES;
    let is_sane = request.protocol >= 1
        && request.boot_id.len() <= MAX_ID
        && request.set_hash.len() <= MAX_ID
        && request.features.len() <= features
        && request.features.iter().all(|feature| feature.len() <= bytes);
    if is_sane { Ok(()) } else { Err(FaultKind::Invalid.with("this is no sane check-in").into()) }
}

fn subscribe(app: &App, caller: HostCaller) -> Answer<Poll> {
    let poll = app.presence.subscribe(caller.id);
    poll.ok_or_else(|| removed().into())
}

fn removed() -> Fault {
    FaultKind::Revoked.with("this host was removed")
}

/// Takes the check-in and tells whom it concerns.
async fn take(app: &Shared, caller: HostCaller, request: &CheckinRequest) -> Answer<Outcome> {
    let (shared, request) = (Arc::clone(app), request.clone());
    let work = async move {
        let outcome = checkin::take(&shared.store, caller.id, &request, clock::now()).await?;
        if outcome.has_news {
            shared.publish(&outcome.replanned);
        }
        Ok(outcome)
    };
    let outcome = to_the_end(work).await?;
    for uid in &outcome.refused {
        tracing::warn!(host = %outcome.host.name, %uid, "it reports a workload that is not its own");
    }
    Ok(outcome)
}

async fn duplicate(app: &Shared, outcome: &Outcome) -> Answer<Refusal> {
    if app.presence.duplicate(outcome.host.id, clock::now()) {
        // To its end, although the host hangs up: it is told once and not again for long.
        to_the_end(tell_of_duplicate(Arc::clone(app), outcome.host.name.clone())).await?;
    }
    let fault = FaultKind::DuplicateIdentity.with(DUPLICATE);
    Ok(fault.hint("enrol one of them anew with a token of its own").into())
}

async fn tell_of_duplicate(app: Shared, host: Name) -> anyhow::Result<()> {
    let mut write = app.store.write().await?;
    let host = Some(&host);
    let happened = Happened { kind: "host_duplicate", host, workload: None, message: DUPLICATE };
    events::put(&mut write, happened, clock::now()).await?;
    write.commit().await?;
    app.publish(&[]);
    Ok(())
}

/// Waits until there is something to answer.
async fn hold(
    app: &Shared,
    caller: HostCaller,
    request: &CheckinRequest,
    poll: &mut Poll,
    mut outcome: Outcome,
) -> Answer<Outcome> {
    let _held = Held::begin(app);
    let hold_s = hold_s(poll, caller, request, clock::now());
    let until = Instant::now() + Duration::from_secs(hold_s);
    let mut stopping = app.stopping.subscribe();
    app.presence.heard(caller.id, frozen(&outcome), hold_s, clock::moment());
    loop {
        // What was asked for before this poll came woke nobody.
        let has_answer = outcome.verdict == Verdict::Behind || app.presence.has_actions(caller.id);
        if has_answer || app.is_stopping() {
            return Ok(outcome);
        }
        tokio::select! {
            // Cancel-safe: `changed` marks the value seen only when it completes.
            changed = poll.wake.changed() => changed.map_err(|_| removed())?,
            // Cancel-safe, as above.
            changed = poll.turn.changed() => {
                changed.map_err(|_| removed())?;
                return Err(FaultKind::Superseded.with("").into());
            }
            // Cancel-safe, as above.
            _ = stopping.changed() => return Ok(outcome),
            // Cancel-safe: it keeps nothing.
            () = tokio::time::sleep_until(until) => return Ok(outcome),
        }
        outcome = take(app, caller, request).await?;
    }
}

/// The first poll of this run is answered at once: the host does not know yet how long it may wait.
/// So is one that brings news: until it is answered the host does not know that they arrived, and
/// it counts the endpoint's silence from the sending of the last poll that was answered. None
/// outlasts the certificate.
fn hold_s(poll: &Poll, caller: HostCaller, request: &CheckinRequest, now: Seconds) -> u64 {
    let has_news = request.is_full
        || request.facts.is_some()
        || !(request.changes.is_empty() && request.gone.is_empty());
    if has_news {
        return 0;
    }
    let left = u64::try_from(caller.certificate.until - now).unwrap_or(0);
    poll.wait_s.unwrap_or(0).min(left)
}

fn frozen(outcome: &Outcome) -> Option<basalt_endpoint_core::checkin::Frozen> {
    match outcome.verdict {
        Verdict::Frozen(frozen) => Some(frozen),
        _ => None,
    }
}

fn answer(
    app: &App,
    caller: HostCaller,
    request: &CheckinRequest,
    poll: &Poll,
    outcome: Outcome,
) -> Answer<CheckinAnswer> {
    let now = clock::now();
    let wait_s = wait_s(app, caller, &outcome, now)?;
    app.presence.answered(caller.id, wait_s, clock::up());
    let mut actions = app.presence.take_actions(caller.id);
    if frozen(&outcome).is_some() {
        actions.push(Action::Frozen);
    }
    if outcome.wants_set {
        actions.push(Action::ReportSet);
    }
    if poll.wait_s.is_none() && !request.is_full {
        actions.push(Action::ReportAll);
    }
    let is_due = caller.certificate.until - now <= app.certificate_life / 3;
    // Of the CA before: its host may not have heard of the new one.
    if is_due || !app.ca.has_signed(&caller.certificate) {
        actions.push(Action::RenewCertificate);
    }
    let is_behind = outcome.verdict == Verdict::Behind;
    Ok(CheckinAnswer {
        lineage: app.store.lineage,
        set: is_behind.then(|| outcome.set.set()).transpose()?,
        generation: outcome.set.generation.number,
        set_hash: outcome.set.generation.hash,
        wait_s,
        lease_s: app.presence.lease_s(wait_s),
        server_time: now,
        actions,
    })
}

/// How long the next poll is held: not beyond the time to renew the certificate, nor so long that
/// a workload which may not be out of contact for longer would stop on a host that is in contact.
fn wait_s(app: &App, caller: HostCaller, outcome: &Outcome, now: Seconds) -> anyhow::Result<u64> {
    let wait_s = app.presence.wait_s(chance::fraction());
    let left = u64::try_from(caller.certificate.until - now).unwrap_or(0);
    let patience = outcome.set.shortest_period_s()?.map_or(u64::MAX, u64::from);
    Ok(wait_s.min(left.min(patience) / 3).max(1))
}

/// Counts a poll while it is held.
struct Held(Shared);

impl Held {
    fn begin(app: &Shared) -> Self {
        app.metrics.polls.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(app))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.metrics.polls.fetch_sub(1, Ordering::Relaxed);
    }
}
