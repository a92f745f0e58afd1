//! Workloads for people: tables and paragraphs.

use std::fmt::Write as _;

use anyhow::Result;
use basalt_api::local::{Event, PlanAnswer, WorkloadDescription};
use basalt_api::report::WorkloadStatus;
use basalt_table::{facts, one_line, shortened, table, time};

/// A line for each under a line of headings.
#[must_use]
pub fn list(workloads: &[WorkloadStatus]) -> String {
    let row = |one: &WorkloadStatus| {
        [
            one.name.to_string(),
            one.kind.to_string(),
            one.state.to_string(),
            one.source.to_string(),
            one.restarts.to_string(),
            one.addresses.join(","),
            shortened(one.reason.as_deref().unwrap_or_default()),
        ]
    };
    let rows: Vec<_> = workloads.iter().map(row).collect();
    table(["name", "kind", "state", "source", "restarts", "address", "reason"], &rows)
}

/// Everything about one.
///
/// # Errors
/// Its spec cannot be shown as TOML.
pub fn describe(one: &WorkloadDescription) -> Result<String> {
    let status = &one.status;
    let mut text = facts(&[
        ("name", status.name.to_string()),
        ("uid", status.uid.to_string()),
        ("kind", status.kind.to_string()),
        ("source", status.source.to_string()),
        ("state", status.state.to_string()),
        ("reason", status.reason.clone().unwrap_or_default()),
        ("restarts", status.restarts.to_string()),
        ("exit code", status.exit_code.map(|code| code.to_string()).unwrap_or_default()),
        ("started", status.started_at.map(time).unwrap_or_default()),
        ("address", status.addresses.join(", ")),
    ]);
    if let Some(spec) = &one.spec {
        let _ = write!(text, "\nspec\n{}", indented(&toml::to_string_pretty(spec)?));
    }
    if !one.events.is_empty() {
        text.push_str("\nevents\n");
        one.events.iter().for_each(|event| {
            let _ = writeln!(text, "  {}  {}", time(event.at), one_line(&event.message));
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
    format!("{}  {}  {}\n", time(event.at), event.workload, one_line(&event.message))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
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
