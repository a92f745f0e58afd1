//! Logs stay on their hosts. An operator who wants one waits; the host is asked by its poll and
//! sends the end of it.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use basalt_api::capacity::feature;
use basalt_api::checkin::{Action, MAX_LOG_BYTES};
use basalt_api::fault::FaultKind;
use basalt_api::id::Name;
use basalt_api::operator::{HostState, LogsQuery};
use uuid::Uuid;

use crate::app::Shared;
use crate::refusal::{Answer, Refusal};
use crate::routes::{Bytes, HostCaller, In, QueryOf};
use crate::store::{hosts, workloads};

/// Lines that are sent to whoever does not say.
const DEFAULT_LINES: u32 = 100;
/// Lines that somebody may ask for.
const MAX_LINES: u32 = 10_000;
/// How long a host may take.
const HOST_TIME: Duration = Duration::from_secs(30);

pub(crate) async fn get(
    State(app): State<Shared>,
    In(name): In<Name>,
    QueryOf(query): QueryOf<LogsQuery>,
) -> Answer<String> {
    let mut read = app.store.read().await?;
    let stored = workloads::named(&mut read, &name).await?;
    let host = match stored.host {
        Some(host) => hosts::get(&mut read, host).await?,
        None => None,
    };
    drop(read);
    let Some(host) = host else {
        return Err(FaultKind::Conflict.with(format!("no host runs `{name}`")).into());
    };
    if !host.seen.features.iter().any(|has| has == feature::LOGS) {
        let detail = format!("the release of host `{}` cannot send logs", host.name);
        return Err(FaultKind::Conflict.with(detail).hint("`hostctl logs` on the host").into());
    }
    if host.seen.state != HostState::Present {
        let detail = format!("host `{}` is {}", host.name, host.seen.state);
        return Err(FaultKind::Conflict.with(detail).into());
    }
    let busy = || Refusal::come_again("too many logs are waited for", 5);
    let (ticket, log) = app.logs.wait(host.id).ok_or_else(busy)?;
    let lines = query.lines.unwrap_or(DEFAULT_LINES).min(MAX_LINES);
    let action = Action::SendLogs { ticket, uid: stored.uid(), lines };
    if !app.presence.ask(host.id, action) {
        return Err(busy());
    }
    match tokio::time::timeout(HOST_TIME, log).await {
        Ok(Ok(text)) => Ok(text),
        _ => Err(FaultKind::HostSilent.with(format!("host `{}` sent no log", host.name)).into()),
    }
}

pub(crate) async fn deliver(
    State(app): State<Shared>,
    caller: HostCaller,
    In(ticket): In<Uuid>,
    Bytes(bytes): Bytes,
) -> Answer<StatusCode> {
    if bytes.len() > MAX_LOG_BYTES {
        return Err(FaultKind::TooLarge.with(format!("at most {MAX_LOG_BYTES} bytes")).into());
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if app.logs.deliver(ticket, caller.id, text) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(FaultKind::NotFound.with("nobody waits for this log").into())
}
