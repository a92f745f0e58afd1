//! Shows a disk and asks whether all on it may go.

use std::io::{self, BufRead, IsTerminal};
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, bail};

use super::target::{DiskFacts, Target};
use crate::progress::Progress;

/// What of a disk is shown before it is overwritten, a line each.
#[must_use]
pub(super) fn describe(facts: &DiskFacts, size: u64, target: &Target) -> String {
    let or = |text: &Option<String>, other: &str| printable(text.as_deref().unwrap_or(other));
    let removable = if facts.is_loose() { "" } else { ", built in" };
    let model = or(&facts.model, "no model name");
    let serial = or(&facts.serial, "unknown");
    let bus = facts.bus.name();
    let mut lines = vec![format!(
        "{}  {model}, serial {serial}, {}, {bus}{removable}",
        target.path.display(),
        gigabytes(size)
    )];
    let first = |start: u64| {
        let mut bytes = vec![0; basalt_disk::LOOKED_AT];
        let read = target.file.read_at(&mut bytes, start).unwrap_or(0);
        basalt_disk::describe(&bytes[..read])
    };
    if facts.parts.is_empty() {
        let there = first(0).unwrap_or_else(|| "nothing that is known".to_owned());
        lines.push(format!("  on it: {there}"));
    }
    for part in &facts.parts {
        let there = first(part.start).unwrap_or_else(|| "unknown".to_owned());
        lines.push(format!("  {}  {there}, {}", part.name, gigabytes(part.size)));
    }
    lines.join("\n")
}

/// Asks somebody at a terminal to type the disk's name.
///
/// # Errors
/// Nobody is there, or something else was typed.
pub(super) fn confirm(name: &str, progress: Progress) -> Result<()> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        bail!(
            "nobody can be asked whether all on `{name}` may go: this is no terminal\nhint: in \
             scripts, `--yes` says so"
        );
    }
    progress.say(&format!("everything on it is lost. type `{name}` to go on:"));
    let mut typed = String::new();
    stdin.lock().read_line(&mut typed).context("cannot read what is typed")?;
    if typed.trim() != name {
        bail!("`{name}` was not typed, and nothing was written");
    }
    Ok(())
}

/// What a disk says of itself goes to a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|one| !one.is_control()).collect()
}

fn gigabytes(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}
