//! What the consoles show above the login prompt: who this is, and how it is.

use std::fs;
use std::path::Path;
use std::time::Duration;

use basalt_api::status::{Boot, HostStatus};
use basalt_cmd::Cmd;
use basalt_durable::PUBLIC;

/// A console that cannot be told must not cost the round, which feeds the watchdog.
const DEADLINE: Duration = Duration::from_secs(5);
/// Problems shown; the rest is told by `hostctl status`.
const SHOWN: usize = 3;

/// Writes the text and has the consoles show it, unless it is there already. Blocks. A console
/// that cannot be told is logged and no more: the host is what matters.
pub fn show(path: &Path, status: &HostStatus) {
    let text = text(status);
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return;
    }
    if let Err(error) = basalt_durable::write(path, text.as_bytes(), PUBLIC) {
        tracing::warn!(%error, path = %path.display(), "cannot write what the consoles show");
        return;
    }
    if let Err(error) = Cmd::new("agetty").arg("--reload").deadline(DEADLINE).run() {
        tracing::debug!(%error, "no console was told");
    }
}

/// The text. Pure. It must not change while nothing does, or the prompt would jump.
fn text(status: &HostStatus) -> String {
    let addresses: Vec<&str> = status.addresses.iter().map(|one| one.address.as_str()).collect();
    let addresses =
        if addresses.is_empty() { "no address yet".to_owned() } else { addresses.join(" ") };
    let mut lines = vec![
        format!("{}  {addresses}", status.hostname),
        format!("version {}, {}, hostd is {}", status.version, slot(status), status.state),
    ];
    lines.extend(status.problems.iter().take(SHOWN).map(|problem| format!("  {problem}")));
    if status.problems.len() > SHOWN {
        lines.push(format!("  and {} more: hostctl status", status.problems.len() - SHOWN));
    }
    // agetty takes a backslash for the beginning of an escape.
    let lines: Vec<String> = lines.iter().map(|line| one_line(line)).collect();
    lines.join("\n") + "\n\n"
}

fn slot(status: &HostStatus) -> String {
    let slot = status.slot.as_deref().unwrap_or("none");
    match (status.boot, status.tries_left) {
        (Boot::Trial, Some(tries)) => format!("slot {slot} on trial ({tries} tries left)"),
        (boot, _) => format!("slot {slot} {boot}"),
    }
}

fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default().replace('\\', "\\\\");
    line.chars().filter(|char| !char.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> HostStatus {
        serde_json::from_str(include_str!("../../crates/api/examples/status.json")).unwrap()
    }

    #[test]
    fn it_says_name_addresses_version_slot_and_state() {
        let expected = "rack4-17  10.0.2.15\n\
            version 3, slot b on trial (2 tries left), hostd is degraded\n\
            \u{20}\u{20}podman.socket: it is failed, and must be active\n\n";
        assert_eq!(text(&status()), expected);
    }

    #[test]
    fn what_comes_from_outside_cannot_move_the_cursor_or_fake_a_line() {
        let mut status = status();
        status.problems[0].message = "bad \u{1b}[2J\\n thing\nlogin:".to_owned();
        assert!(text(&status).ends_with("  podman.socket: bad [2J\\\\n thing\n\n"));
    }

    #[test]
    fn uptime_does_not_change_it() {
        let (one, mut other) = (status(), status());
        other.uptime_s += 60;
        assert_eq!(text(&one), text(&other));
    }
}
