//! `hostctl status` for people.

pub mod os;
pub mod workloads;

use basalt_api::status::{Boot, EndpointStatus, HostStatus};

/// A name and a value a line, then what is wrong. Ends with a newline.
#[must_use]
pub fn status(status: &HostStatus) -> String {
    let mut lines = vec![
        ("host", status.hostname.clone()),
        ("state", status.state.to_string()),
        ("version", version(status)),
        ("commit", status.commit.clone().unwrap_or_else(|| "none".to_owned())),
        ("slot", slot(status)),
        ("uptime", uptime(status.uptime_s)),
        ("address", addresses(status)),
    ];
    if let Some(endpoint) = &status.endpoint {
        lines.push(("endpoint", self::endpoint(endpoint)));
    }
    if status.problems.is_empty() {
        lines.push(("wrong", "nothing".to_owned()));
    }
    for problem in &status.problems {
        lines.push(("wrong", problem.to_string()));
        lines.extend(problem.hint.iter().map(|hint| ("", format!("hint: {hint}"))));
    }
    lines.iter().map(|(name, value)| format!("{name:<8} {}\n", indented(value))).collect()
}

fn version(status: &HostStatus) -> String {
    let HostStatus { image, version, release, .. } = status;
    if version.is_empty() {
        return "unknown".to_owned();
    }
    format!("{version} ({image}, {release} release)")
}

fn slot(status: &HostStatus) -> String {
    let slot = status.slot.as_deref().unwrap_or("none");
    match (status.boot, status.tries_left) {
        (Boot::Trial, Some(1)) => format!("{slot}, on trial, one try left"),
        (Boot::Trial, Some(tries)) => format!("{slot}, on trial, {tries} tries left"),
        (boot, _) => format!("{slot}, {boot}"),
    }
}

/// How a boot is, in the word that programs read.
#[must_use]
pub fn boot_word(boot: Boot) -> &'static str {
    match boot {
        Boot::Blessed => "blessed",
        Boot::Trial => "trial",
        Boot::Unknown => "unknown",
    }
}

fn endpoint(endpoint: &EndpointStatus) -> String {
    let mut text = endpoint.state.to_string();
    if let Some(name) = &endpoint.name {
        text = format!("{text}, as {name}");
    }
    match &endpoint.reason {
        Some(reason) => format!("{text}: {reason}"),
        None => text,
    }
}

fn uptime(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}min {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}min", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

fn addresses(status: &HostStatus) -> String {
    let one = |address: &basalt_api::status::Address| {
        format!("{} ({})", address.address, address.interface)
    };
    let all: Vec<String> = status.addresses.iter().map(one).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// Further lines of a value stand under its first.
fn indented(value: &str) -> String {
    value.replace('\n', &format!("\n{:<9}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_a_person_wants_to_know() {
        let text = include_str!("../../crates/api/examples/status.json");
        let text = status(&serde_json::from_str(text).unwrap());
        let expected = "\
host     rack4-17
state    degraded
version  3 (base, signed release)
commit   0335d20a6e91d3b70335d20a6e91d3b70335d20a6e91d3b70335d20a6e91d3b7
slot     b, on trial, 2 tries left
uptime   41s
address  10.0.2.15 (ens3)
wrong    podman.socket: it is failed, and must be active
         hint: see `systemctl status podman.socket`
";
        assert_eq!(text, expected);
    }

    #[test]
    fn times_are_in_two_units() {
        let times = [59, 61, 3661, 90_061].map(uptime);
        assert_eq!(times, ["59s", "1min 1s", "1h 1min", "1d 1h"]);
    }
}
