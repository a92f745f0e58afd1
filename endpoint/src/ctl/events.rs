//! What happened, and who asked for it.

use std::time::Duration;

use anyhow::Result;
use basalt_api::operator::{AUDIT_PATH, AuditEntry, AuditLog, EVENTS_PATH, Event, Events};
use basalt_table::{table, time};

use super::PATIENCE;
use super::login::Session;
use super::output::{Output, print};

/// Seconds that one question waits.
const WAIT_S: u64 = 60;

/// Prints the last events, and those to come where `follow` is set. In JSON, one a line.
pub(super) async fn events(session: &Session, output: Output, follow: bool) -> Result<()> {
    let mut events: Events = session.client.get(EVENTS_PATH, PATIENCE).await?;
    loop {
        if events.some_are_gone && follow {
            eprintln!("some events are no longer kept");
        }
        for event in &events.events {
            let line = if output.is_json { serde_json::to_string(event)? } else { line(event) };
            print(format!("{line}\n").as_bytes())?;
        }
        if !follow {
            return Ok(());
        }
        let path = format!("{EVENTS_PATH}?after={}&wait_s={WAIT_S}", events.next);
        let patience = PATIENCE + Duration::from_secs(WAIT_S);
        events = session.client.get(&path, patience).await?;
    }
}

fn line(event: &Event) -> String {
    let host = event.host.as_ref().map(|host| format!(" {host}"));
    let workload = event.workload.as_ref().map(|workload| format!(" {workload}"));
    let about = [host, workload].into_iter().flatten().collect::<String>();
    let text = format!("{}  {}{about}: {}", time(event.at), event.kind, event.message);
    text.chars().filter(|c| !c.is_control()).collect()
}

pub(super) async fn audit(session: &Session, output: Output) -> Result<()> {
    let log: AuditLog = session.client.get(AUDIT_PATH, PATIENCE).await?;
    output.show(&log, |log| {
        let rows: Vec<_> = log.entries.iter().rev().map(row).collect();
        table(["time", "who", "from", "method", "path", "status"], &rows)
    })
}

fn row(entry: &AuditEntry) -> [String; 6] {
    [
        time(entry.at),
        entry.who.clone(),
        entry.from.clone(),
        entry.method.clone(),
        entry.path.clone(),
        entry.status.map(|status| status.to_string()).unwrap_or_default(),
    ]
}
