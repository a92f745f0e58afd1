//! The round that the endpoint makes by itself: who fell silent, what has to go elsewhere, which
//! certificate is due, how rollouts go on.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use basalt_api::id::{HostId, WorkloadUid};
use basalt_api::operator::HostState;
use basalt_endpoint_core::{Moment, Seconds, UpSeconds, disconnect};
use tokio::time::MissedTickBehavior;

use crate::app::{App, Shared};
use crate::ca::Turn;
use crate::clock;
use crate::store::events::{self, Happened};
use crate::store::hosts::Seen;
use crate::store::replan::{self, Cause};
use crate::store::{hosts, roll_on, workloads};
use crate::tls::Tls;

/// Time between rounds.
const INTERVAL: Duration = Duration::from_secs(1);

/// Makes rounds until the endpoint stops.
pub async fn run(app: Shared, tls: Arc<Tls>) {
    let mut stopping = app.stopping.subscribe();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // Cancel-safe: `changed` marks the value seen only when it completes.
            _ = stopping.changed() => return,
            // Cancel-safe: a tick that was not taken stays due.
            _ = ticks.tick() => (),
        }
        if let Err(error) = round(&app, &tls, clock::moment()).await {
            tracing::error!("a round failed: {}", basalt_explain::explain(&error));
        }
        if let Err(error) = rollouts(&app).await {
            tracing::error!("no rollout goes on: {}", basalt_explain::explain(&error));
        }
    }
}

async fn round(app: &App, tls: &Tls, now: Moment) -> Result<()> {
    certificates(app, tls, now.date).await?;
    let transitions = app.presence.transitions(now);
    let silent = app.presence.silent();
    if transitions.is_empty() && silent.is_empty() {
        return Ok(());
    }
    let abandoned = if silent.is_empty() {
        BTreeSet::new()
    } else {
        let all = workloads::replaceable(&mut app.store.read().await?).await?;
        abandoned(app, &all, &silent, now.up)
    };
    if transitions.is_empty() && abandoned.is_empty() {
        return Ok(());
    }
    write(app).await
}

/// The CA's successor and the server's certificate, each in time.
async fn certificates(app: &App, tls: &Tls, now: Seconds) -> Result<()> {
    let turn = app.ca.keep(now)?;
    if turn.is_some() || tls.is_due(now) {
        tls.renew(&app.ca, now)?;
    }
    let message = match turn {
        None => return Ok(()),
        Some(Turn::Ended) => "a CA has ended, and is trusted no more".to_owned(),
        Some(Turn::Rolled { fingerprint, old_until }) => format!(
            "there is a new CA, {fingerprint}; the old one is trusted for {} s more; hosts learn \
             of it by themselves, operators by `basaltctl login`",
            old_until - now
        ),
    };
    let mut write = app.store.write().await?;
    let happened = Happened { kind: "ca", host: None, workload: None, message: &message };
    events::put(&mut write, happened, now).await?;
    write.commit().await?;
    app.publish(&[]);
    Ok(())
}

/// Moves rollouts on.
async fn rollouts(app: &App) -> Result<()> {
    if roll_on::changes(&mut app.store.read().await?, clock::now()).await?.is_empty() {
        return Ok(());
    }
    // Again, once nobody else can write.
    let mut write = app.store.write().await?;
    let now = clock::now();
    let changes = roll_on::changes(&mut write, now).await?;
    let replanned = roll_on::carry_out(&mut write, &changes, now).await?;
    write.commit().await?;
    app.publish(&replanned);
    Ok(())
}

/// Workloads whose host has stopped its own copy by now.
fn abandoned(
    app: &App,
    all: &[workloads::Stored],
    silent: &BTreeSet<HostId>,
    now: UpSeconds,
) -> BTreeSet<WorkloadUid> {
    let is_due = |stored: &&workloads::Stored| {
        let Some(host) = stored.host.filter(|host| silent.contains(host)) else { return false };
        let at = disconnect::replace_at(&stored.workload.spec, app.presence.answered_at(host));
        at.is_some_and(|at| at <= now)
    };
    all.iter().filter(is_due).map(workloads::Stored::uid).collect()
}

/// Asks again once nobody else can write: a host may have checked in meanwhile.
async fn write(app: &App) -> Result<()> {
    let mut write = app.store.write().await?;
    let moment = clock::moment();
    let (transitions, now) = (app.presence.transitions(moment), moment.date);
    let all = workloads::replaceable(&mut write).await?;
    let abandoned = abandoned(app, &all, &app.presence.silent(), moment.up);
    let mut is_reason = !abandoned.is_empty();
    for (id, state) in &transitions {
        let Some(host) = hosts::get(&mut write, *id).await?.filter(|host| !host.is_revoked) else {
            continue;
        };
        hosts::set_state(&mut write, *id, *state).await?;
        let seen = Seen { state: *state, ..host.seen.clone() };
        is_reason |= replan::is_reason(&host, &seen);
        let (kind, host) = (format!("host_{state}"), Some(&host.name));
        let happened = Happened { kind: &kind, host, workload: None, message: sentence(*state) };
        events::put(&mut write, happened, now).await?;
    }
    let mut replanned = Vec::new();
    if is_reason {
        let cause = Cause { abandoned, ..Cause::default() };
        replanned = replan::replan(&mut write, &cause, now).await?;
    }
    write.commit().await?;
    for (host, state) in transitions {
        app.presence.stored(host, state);
    }
    app.publish(&replanned);
    Ok(())
}

fn sentence(state: HostState) -> &'static str {
    match state {
        HostState::Lost => "it has not checked in for longer than its lease",
        HostState::CertExpired => {
            "it is silent, and its certificate has expired: it may only renew"
        }
        HostState::Present => "it checks in",
        HostState::Ahead => "it is frozen",
        HostState::Unseen | HostState::Unknown => "it has not checked in yet",
    }
}
