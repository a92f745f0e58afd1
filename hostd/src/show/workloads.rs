//! Workloads for people: tables and paragraphs.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::Result;
use basalt_api::local::{Event, PlanAnswer, WorkloadDescription};
use basalt_api::report::WorkloadStatus;
use jiff::Timestamp;
use tabwriter::TabWriter;

/// Characters of a reason that a table shows.
const REASON: usize = 60;

/// A line for each under a line of headings.
#[must_use]
pub fn list(workloads: &[WorkloadStatus]) -> String {
    let mut table = String::from("NAME\tKIND\tSTATE\tSOURCE\tRESTARTS\tADDRESS\tREASON\n");
    for one in workloads {
        let _ = writeln!(
            table,
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            one.name,
            one.kind,
            one.state,
            one.source,
            one.restarts,
            dash(&one.addresses.join(",")),
            dash(&shortened(&plain(one.reason.as_deref().unwrap_or_default()))),
        );
    }
    aligned(&table)
}

/// Everything about one.
///
/// # Errors
/// Its spec cannot be shown as TOML.
pub fn describe(one: &WorkloadDescription) -> Result<String> {
    let status = &one.status;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<9} {}", plain(value));
    };
    line("name", status.name.as_str());
    line("uid", &status.uid.to_string());
    line("kind", &status.kind.to_string());
    line("source", &status.source.to_string());
    line("state", status.state.as_str());
    if let Some(reason) = &status.reason {
        line("reason", reason);
    }
    line("restarts", &status.restarts.to_string());
    if let Some(code) = status.exit_code {
        line("exit code", &code.to_string());
    }
    if let Some(at) = status.started_at {
        line("started", &time(at));
    }
    if !status.addresses.is_empty() {
        line("address", &status.addresses.join(", "));
    }
    if let Some(spec) = &one.spec {
        let _ = write!(text, "\nspec\n{}", indented(&toml::to_string_pretty(spec)?));
    }
    if !one.events.is_empty() {
        text.push_str("\nevents\n");
        one.events.iter().for_each(|event| {
            let _ = writeln!(text, "  {}  {}", time(event.at), plain(&event.message));
        });
    }
    Ok(text)
}

/// What is being done and what would be done now.
#[must_use]
pub fn plan(plan: &PlanAnswer) -> String {
    if plan.plan.is_empty() && plan.under_way.is_empty() {
        return "nothing to do\n".to_owned();
    }
    let under_way = plan.under_way.iter().map(|line| format!("under way  {line}\n"));
    under_way.chain(plan.plan.iter().map(|line| format!("next       {line}\n"))).collect()
}

/// A line.
#[must_use]
pub fn event(event: &Event) -> String {
    format!("{}  {}  {}\n", time(event.at), event.workload, plain(&event.message))
}

fn time(unix_s: i64) -> String {
    Timestamp::from_second(unix_s).map_or_else(|_| unix_s.to_string(), |time| time.to_string())
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

fn dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// What comes from workloads and registries must not move the cursor of who reads it.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn aligned(table: &str) -> String {
    let mut writer = TabWriter::new(Vec::new()).padding(2);
    let written = writer.write_all(table.as_bytes()).and_then(|()| writer.flush());
    match (written, writer.into_inner()) {
        (Ok(()), Ok(bytes)) => String::from_utf8(bytes).unwrap_or_else(|_| table.to_owned()),
        _ => table.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> WorkloadStatus {
        serde_json::from_str(
            r#"{"uid":"00000000-0000-0000-0000-000000000001","name":"web","kind":"container",
                "source":"local","state":"failed","restarts":3,"exit_code":1,
                "reason":"no such image\u001b[2J"}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_list_is_a_table_without_control_characters() {
        let expected = "\
NAME  KIND       STATE   SOURCE  RESTARTS  ADDRESS  REASON
web   container  failed  local   3         -        no such image [2J
";
        assert_eq!(list(&[status()]), expected);
    }

    #[test]
    fn a_description_has_spec_and_events() {
        let example = include_str!("../../../crates/api/examples/workload-container.json");
        let one = WorkloadDescription {
            status: status(),
            spec: Some(serde_json::from_str(example).unwrap()),
            events: vec![Event {
                number: 1,
                at: 1_764_000_000,
                workload: status().name,
                uid: status().uid,
                message: "pending".to_owned(),
            }],
        };
        let text = describe(&one).unwrap();
        assert!(text.contains("\n  [resources]\n  cpus = 0.5\n"), "{text}");
        assert!(text.ends_with("events\n  2025-11-24T16:00:00Z  pending\n"), "{text}");
    }

    #[test]
    fn a_plan_of_nothing_says_so() {
        let nothing = PlanAnswer { plan: Vec::new(), under_way: Vec::new() };
        assert_eq!(plan(&nothing), "nothing to do\n");
    }
}
