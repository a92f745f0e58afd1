//! Where a number or a proof comes from: the day, the commit, the machine.

use std::fmt;
use std::fs;
use std::time::SystemTime;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use serde::{Deserialize, Serialize};

use crate::session::Session;

/// Where something comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Origin {
    date: String,
    commit: String,
    machine: Machine,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Machine {
    cpu: String,
    cpus: usize,
    memory_mib: u64,
    kernel: String,
    debian: String,
}

impl Origin {
    /// This commit, on this machine, today.
    pub(crate) fn of(session: &Session, now: SystemTime) -> Result<Self> {
        let date = jiff::Timestamp::try_from(now)?.strftime("%Y-%m-%d").to_string();
        Ok(Self { date, commit: commit(session)?, machine: machine()? })
    }

    /// `DATE-COMMIT`, as files are called.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.date, self.commit)
    }

    /// The commit, and whether something was changed since.
    pub(crate) fn commit(&self) -> &str {
        &self.commit
    }

    /// Whether both are of one commit and machine, whatever the day.
    pub(crate) fn is_same_but_for_the_day(&self, other: &Self) -> bool {
        (&self.commit, &self.machine) == (&other.commit, &other.machine)
    }

    /// One that is nowhere.
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        let machine = Machine {
            cpu: "Cray-1".to_owned(),
            cpus: 1,
            memory_mib: 8,
            kernel: "6.12".to_owned(),
            debian: "13.1".to_owned(),
        };
        Self { date: "1976-03-04".to_owned(), commit: "abc".to_owned(), machine }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cpus, memory_mib, kernel, debian } = &self.machine;
        writeln!(f, "{} of {}, on {cpus} × {cpu}", self.date, self.commit)?;
        write!(f, "{memory_mib} MiB of memory, Debian {debian}, kernel {kernel}")
    }
}

/// The commit, and whether something was changed since; `unversioned` outside a repository.
fn commit(session: &Session) -> Result<String> {
    let git = |args: &[&str]| Cmd::new("git").args(args).current_dir(&session.root).output();
    let head = match git(&["rev-parse", "--short=12", "HEAD"]) {
        Ok(output) if output.status.success() => output.stdout_text(),
        _ => return Ok("unversioned".to_owned()),
    };
    // Results of an earlier run are no change.
    let ours = ["status", "--porcelain", "--", ".", ":!bench/results", ":!proofs"];
    let changed = git(&ours)?.stdout_text();
    Ok(if changed.is_empty() { head } else { format!("{head}-changed") })
}

fn machine() -> Result<Machine> {
    let read = |path: &str| fs::read_to_string(path).with_context(|| format!("cannot read {path}"));
    let cpuinfo = read("/proc/cpuinfo")?;
    let memory = field(&read("/proc/meminfo")?, "MemTotal").unwrap_or_default();
    let kib: u64 =
        memory.trim_end_matches(" kB").parse().context("no MemTotal in /proc/meminfo")?;
    Ok(Machine {
        cpu: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".to_owned()),
        cpus: std::thread::available_parallelism()?.get(),
        memory_mib: kib / 1024,
        kernel: read("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        debian: read("/etc/debian_version")?.trim().to_owned(),
    })
}

/// The value of the first `name : value` line.
fn field(text: &str, name: &str) -> Option<String> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_whatever_its_padding() {
        assert_eq!(field("processor\t: 0\nmodel name\t: A: B", "model name").unwrap(), "A: B");
        assert_eq!(field("a: 1", "b"), None);
    }

    #[test]
    fn a_proof_goes_on_the_next_day_and_not_on_another_commit() {
        let first = Origin::example();
        let tomorrow = Origin { date: "1976-03-05".to_owned(), ..first.clone() };
        let other = Origin { commit: "abd".to_owned(), ..first.clone() };
        assert!(first.is_same_but_for_the_day(&tomorrow));
        assert!(!first.is_same_but_for_the_day(&other));
    }
}
