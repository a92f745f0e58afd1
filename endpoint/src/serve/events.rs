//! What happened, and who asked for it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use basalt_api::operator::{AuditLog, Events, EventsQuery};
use tokio::time::{Instant, timeout_at};

use crate::app::Shared;
use crate::refusal::Answer;
use crate::routes::QueryOf;
use crate::store::{audit, events};

/// Seconds that somebody may wait for an event.
const MAX_WAIT_S: u64 = 60;

pub(crate) async fn list(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<EventsQuery>,
) -> Answer<Json<Events>> {
    let wait_s = query.wait_s.unwrap_or(0).min(MAX_WAIT_S);
    let until = Instant::now() + Duration::from_secs(wait_s);
    let (mut news, mut stopping) = (app.news.subscribe(), app.stopping.subscribe());
    loop {
        let found = events::list(&mut app.store.read().await?, query.after).await?;
        if !found.events.is_empty() || wait_s == 0 || app.is_stopping() {
            return Ok(Json(found));
        }
        let wait = async {
            tokio::select! {
                // Cancel-safe: `changed` marks the value seen only when it completes.
                _ = news.changed() => (),
                // Cancel-safe, as above.
                _ = stopping.changed() => (),
            }
        };
        if timeout_at(until, wait).await.is_err() {
            return Ok(Json(found));
        }
    }
}

pub(crate) async fn audit(State(app): State<Shared>) -> Answer<Json<AuditLog>> {
    Ok(Json(audit::list(&mut app.store.read().await?).await?))
}
