//! The endpoint about itself.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::app::Shared;
use crate::metrics::Counts;
use crate::refusal::Answer;
use crate::routes::openapi;
use crate::store::workloads;

pub(crate) async fn health(State(app): State<Shared>) -> Answer<&'static str> {
    app.store.read().await?;
    Ok("ok\n")
}

pub(crate) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], openapi::text()).into_response()
}

pub(crate) async fn metrics(State(app): State<Shared>) -> Answer<Response> {
    let workloads = workloads::all(&mut app.store.read().await?).await?;
    let placed = workloads.iter().filter(|stored| stored.host.is_some()).count();
    let counts =
        Counts { hosts: app.presence.counts(), workloads: (placed, workloads.len() - placed) };
    let text = app.metrics.text(&counts);
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response())
}
