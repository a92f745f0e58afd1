//! What happened. The last ones are kept.

use anyhow::Result;
use basalt_api::id::Name;
use basalt_api::operator::{Event, Events};
use basalt_endpoint_core::Seconds;

use super::Db;

/// Events that are kept.
const KEPT: i64 = 10_000;
/// Events in one answer.
const PAGE: i64 = 500;
/// Events that are shown to whoever does not say after which.
const LAST: i64 = 50;

/// Something that happened.
#[derive(Debug, Clone, Copy)]
pub struct Happened<'a> {
    /// What kind it is.
    pub kind: &'a str,
    /// The host that it is about.
    pub host: Option<&'a Name>,
    /// The workload that it is about.
    pub workload: Option<&'a Name>,
    /// What happened, in a sentence.
    pub message: &'a str,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    at: i64,
    kind: String,
    host: Option<String>,
    workload: Option<String>,
    message: String,
}

/// Writes an event down.
///
/// # Errors
/// The database is broken.
pub async fn put(db: &mut Db, happened: Happened<'_>, now: Seconds) -> Result<()> {
    let Happened { kind, host, workload, message } = happened;
    tracing::info!(
        kind,
        host = host.map(Name::as_str),
        workload = workload.map(Name::as_str),
        "{message}"
    );
    let row = sqlx::query_scalar(
        "INSERT INTO events (at, kind, host, workload, message) VALUES (?, ?, ?, ?, ?) RETURNING id",
    );
    let row = row.bind(now).bind(kind).bind(host.map(Name::as_str));
    let id: i64 = row.bind(workload.map(Name::as_str)).bind(message).fetch_one(&mut **db).await?;
    sqlx::query("DELETE FROM events WHERE id <= ?").bind(id - KEPT).execute(&mut **db).await?;
    Ok(())
}

/// The events after one, or the last ones.
///
/// # Errors
/// The database is broken.
pub async fn list(db: &mut Db, after: Option<i64>) -> Result<Events> {
    let (first, last): (Option<i64>, Option<i64>) =
        sqlx::query_as("SELECT min(id), max(id) FROM events").fetch_one(&mut **db).await?;
    let (first, last) = (first.unwrap_or(0), last.unwrap_or(0));
    // Whoever comes from a longer history, as before a restore, begins anew.
    let after = after.filter(|after| *after <= last).unwrap_or((last - LAST).max(0));
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM events WHERE id > ? ORDER BY id LIMIT ?")
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut **db)
        .await?;
    let events: Vec<Event> = rows.into_iter().map(Event::from).collect();
    let next = events.last().map_or(after, |event| event.id);
    Ok(Events { events, next, some_are_gone: after + 1 < first })
}

impl From<Row> for Event {
    fn from(row: Row) -> Self {
        let name = |text: Option<String>| text.and_then(|text| text.parse().ok());
        Self {
            id: row.id,
            at: row.at,
            kind: row.kind,
            host: name(row.host),
            workload: name(row.workload),
            message: row.message,
        }
    }
}
