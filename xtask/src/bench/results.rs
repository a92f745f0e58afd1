//! What was measured, on what, of which commit: a JSON file and a table.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use serde::{Deserialize, Serialize};

use crate::session::Session;

/// One number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measure {
    /// The benchmark that it comes from.
    #[serde(default)]
    benchmark: String,
    what: String,
    value: f64,
    /// `s`, `MB` (10⁶ bytes), `MiB`, or `×` for a ratio.
    unit: String,
    /// What it should not exceed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
}

impl Measure {
    pub(super) fn new(what: impl Into<String>, value: f64, unit: &str) -> Self {
        let (what, unit) = (what.into(), unit.to_owned());
        Self { benchmark: String::new(), what, value, unit, at_most: None }
    }

    /// The aim.
    pub(super) fn at_most(self, limit: f64) -> Self {
        Self { at_most: Some(limit), ..self }
    }

    #[cfg(test)]
    pub(super) fn value(&self) -> f64 {
        self.value
    }

    fn verdict(&self) -> String {
        let Some(limit) = self.at_most else { return String::new() };
        let unit = &self.unit;
        let missed_by = self.value - limit;
        if missed_by > 0.0 {
            format!("≤ {limit} {unit}, missed by {missed_by:.2} {unit}")
        } else {
            format!("≤ {limit} {unit}")
        }
    }
}

/// A run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Results {
    date: String,
    commit: String,
    machine: Machine,
    measures: Vec<Measure>,
    #[serde(skip)]
    file: PathBuf,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Machine {
    cpu: String,
    cpus: usize,
    memory_mib: u64,
    kernel: String,
    debian: String,
}

impl Results {
    /// Takes up the results of the same day, commit and machine, if there are any.
    pub(super) fn begin(session: &Session, now: SystemTime) -> Result<Self> {
        let date = jiff::Timestamp::try_from(now)?.strftime("%Y-%m-%d").to_string();
        let commit = commit(session)?;
        let file = session.root.join("bench/results").join(format!("{date}-{commit}.json"));
        let machine = machine()?;
        let earlier = fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let earlier = earlier.filter(|earlier: &Self| earlier.machine == machine);
        let measures = earlier.map_or_else(Vec::new, |earlier| earlier.measures);
        Ok(Self { date, commit, machine, measures, file })
    }

    /// Puts these numbers in the place of the benchmark's earlier ones.
    pub(super) fn replace(&mut self, benchmark: &str, measures: Vec<Measure>) {
        self.measures.retain(|measure| measure.benchmark != benchmark);
        let named = measures.into_iter();
        let named = named.map(|measure| Measure { benchmark: benchmark.to_owned(), ..measure });
        self.measures.extend(named);
    }

    /// Writes the file and returns its path.
    pub(super) fn write(&self) -> Result<PathBuf> {
        let folder = self.file.parent().context("no folder for results")?;
        fs::create_dir_all(folder)?;
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&self.file, text)
            .with_context(|| format!("cannot write `{}`", self.file.display()))?;
        Ok(self.file.clone())
    }
}

impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cpu, cpus, memory_mib, kernel, debian } = &self.machine;
        writeln!(f, "{} of {}, on {cpus} × {cpu}", self.date, self.commit)?;
        writeln!(f, "{memory_mib} MiB of memory, Debian {debian}, kernel {kernel}")?;
        let mut benchmark = "";
        for measure in &self.measures {
            if measure.benchmark != benchmark {
                benchmark = &measure.benchmark;
                writeln!(f, "\n{benchmark}")?;
            }
            let Measure { what, value, unit, .. } = measure;
            let line = format!("  {what:<44}{value:>10.2} {unit:<4} {}", measure.verdict());
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
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
    let changed = git(&["status", "--porcelain", "--", ".", ":!bench/results"])?.stdout_text();
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

    fn results() -> Results {
        let machine = Machine {
            cpu: "Cray-1".to_owned(),
            cpus: 1,
            memory_mib: 8,
            kernel: "6.12".to_owned(),
            debian: "13.1".to_owned(),
        };
        let (date, commit) = ("1976-03-04".to_owned(), "abc".to_owned());
        Results { date, commit, machine, measures: Vec::new(), file: PathBuf::new() }
    }

    #[test]
    fn a_missed_aim_says_by_how_much() {
        let mut results = results();
        results.replace("build", vec![Measure::new("nothing changed", 1.25, "s").at_most(1.0)]);
        let line =
            "  nothing changed                                   1.25 s    ≤ 1 s, missed by 0.25 s";
        assert!(results.to_string().lines().any(|it| it == line), "{results}");
    }

    #[test]
    fn a_benchmark_that_ran_again_replaces_its_own_numbers_only() {
        let mut results = results();
        results.replace("size", vec![Measure::new("tree", 700.0, "MB")]);
        results.replace("build", vec![Measure::new("cold", 200.0, "s")]);
        results.replace("build", vec![Measure::new("cold", 190.0, "s")]);
        let values: Vec<f64> = results.measures.iter().map(|measure| measure.value).collect();
        assert_eq!(values, [700.0, 190.0]);
    }

    #[test]
    fn results_survive_their_file() {
        let mut before = results();
        before.replace("size", vec![Measure::new("tree", 700.0, "MB").at_most(800.0)]);
        let text = serde_json::to_string(&before).unwrap();
        let after: Results = serde_json::from_str(&text).unwrap();
        assert_eq!(after.to_string(), before.to_string());
    }

    #[test]
    fn a_field_is_found_whatever_its_padding() {
        assert_eq!(field("processor\t: 0\nmodel name\t: A: B", "model name").unwrap(), "A: B");
        assert_eq!(field("a: 1", "b"), None);
    }
}
