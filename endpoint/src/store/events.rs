//! What happened. The last ones are kept.

use anyhow::Result;
use basalt_api::id::Name;
use basalt_api::install::{InstallReport, InstallState};
use basalt_api::operator::{Event, Events};
use basalt_endpoint_core::Seconds;

use super::Db;

/// Events that are kept.
const KEPT: i64 = 10_000;
/// Of these, those of installations at most.
const KEPT_OF_INSTALLATIONS: i64 = 1000;
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
    // By their number: those of installations that were thinned out leave gaps.
    if id > KEPT {
        sqlx::query(
            "DELETE FROM events WHERE id <=
             (SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?)",
        )
        .bind(KEPT)
        .execute(&mut **db)
        .await?;
    }
    Ok(())
}

/// Writes down how far an installation is, in place of how far the same machine's was: whoever
/// listens hears each step, and the list has the last one. However many there are, they push out
/// nothing else.
///
/// # Errors
/// The database is broken.
pub async fn put_installation(db: &mut Db, report: &InstallReport, now: Seconds) -> Result<()> {
    let machine = format!("{}: ", report.machine);
    sqlx::query("DELETE FROM events WHERE kind = ? AND substr(message, 1, ?) = ?")
        .bind(InstallState::Installing.event())
        .bind(i64::try_from(machine.chars().count())?)
        .bind(&machine)
        .execute(&mut **db)
        .await?;
    let message = machine + &report.what;
    let kind = report.state.event();
    put(db, Happened { kind, host: None, workload: None, message: &message }, now).await?;
    let [a, b, c] = InstallState::ALL.map(InstallState::event);
    sqlx::query(
        "DELETE FROM events WHERE kind IN (?1, ?2, ?3) AND id <=
         (SELECT id FROM events WHERE kind IN (?1, ?2, ?3) ORDER BY id DESC LIMIT 1 OFFSET ?4)",
    )
    .bind(a)
    .bind(b)
    .bind(c)
    .bind(KEPT_OF_INSTALLATIONS)
    .execute(&mut **db)
    .await?;
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
