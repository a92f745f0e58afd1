//! Every parser of foreign bytes is searched for inputs that it cannot take: the tests named
//! `fuzz_…`, built with coverage, two at once.
//!
//! What a search found reaches new code is kept in `target/fuzz` for the next one, and with
//! `--keep` what is small of it in the repository.

mod build;
mod keep;
mod log;

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result};
use basalt_cmd::Cmd;
use clap::Args;

use crate::program::{self, Output};
use crate::progress::shown;
use crate::session::Session;
use build::Target;
use log::Found;

/// Searches at once.
const AT_ONCE: u32 = 2;
/// What a search may take beyond its time: its corpus is read first.
const SLACK: Duration = Duration::from_secs(120);
/// Lines of a log that are shown of a search that found something.
const SHOWN_LINES: usize = 40;

/// What was typed.
#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// Seconds for each target
    #[arg(long, value_name = "NUMBER", default_value_t = 60)]
    seconds: u64,
    /// Seconds for all targets together, instead
    #[arg(long, value_name = "NUMBER", conflicts_with = "seconds")]
    together: Option<u64>,
    /// Search only with targets that have this in their name
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Keep in `crates/fuzz/corpus` what is small of what was found, now and before
    #[arg(long)]
    keep: bool,
}

/// How long to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// So long for each target.
    Each(Duration),
    /// So long for all of them together.
    Together(Duration),
}

/// A search that found nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Searched {
    target: String,
    each: Duration,
    found: Found,
}

impl std::fmt::Display for Searched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Found { inputs, known, reached } = self.found;
        let per_second = inputs / self.each.as_secs().max(1);
        let new = reached.saturating_sub(known);
        write!(f, "{per_second:>9}/s {reached:>6} places, {new:>4} new  {}", self.target)
    }
}

/// Searches as was asked for, and says how much was tried.
///
/// # Errors
/// An input was found that a target cannot take, or nothing was searched.
pub(crate) fn task(session: &Session, args: &FuzzArgs) -> Result<()> {
    let each = Time::Each(Duration::from_secs(args.seconds));
    let time = args.together.map_or(each, |it| Time::Together(Duration::from_secs(it)));
    let mut targets = compiled(session)?;
    if let Some(only) = &args.only {
        targets.retain(|target| target.name().contains(only));
        anyhow::ensure!(!targets.is_empty(), "no target has `{only}` in its name");
    }
    search_all(session, &targets, time)?;
    if args.keep {
        keep::all(session, &targets)?;
    }
    Ok(())
}

/// Searches with every target.
///
/// # Errors
/// As of [`task`].
pub(crate) fn search(session: &Session, time: Time) -> Result<()> {
    search_all(session, &compiled(session)?, time)
}

fn compiled(session: &Session) -> Result<Vec<Target>> {
    session.progress.heading("fuzz targets, with coverage");
    let began = Instant::now();
    let targets = build::targets(session)?;
    eprintln!("compiled in {}", shown(began.elapsed()));
    Ok(targets)
}

fn search_all(session: &Session, targets: &[Target], time: Time) -> Result<()> {
    let each = time.each(targets.len());
    let name = format!("{} fuzz targets, {} s each", targets.len(), each.as_secs());
    session.progress.heading(&name);
    let (queue, results) = (Mutex::new(VecDeque::from_iter(targets)), Mutex::new(Vec::new()));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(target) = next() {
                    let result = search_one(session, target, each);
                    if let Ok(searched) = &result {
                        eprintln!("{searched}");
                    }
                    results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    all_good(results)
}

/// Every target that cannot take an input is told, not only the first.
fn all_good(results: Vec<Result<Searched>>) -> Result<()> {
    let mut bad: Vec<Error> = results.into_iter().filter_map(Result::err).collect();
    let Some(last) = bad.pop() else { return Ok(()) };
    bad.iter().for_each(|error| eprintln!("error: {error:#}"));
    Err(last)
}

impl Time {
    fn each(self, targets: usize) -> Duration {
        match self {
            Self::Each(each) => each,
            Self::Together(all) => {
                let rounds = u32::try_from(targets).unwrap_or(u32::MAX).div_ceil(AT_ONCE).max(1);
                Duration::from_secs((all / rounds).as_secs().max(1))
            }
        }
    }
}

impl Target {
    fn name(&self) -> String {
        format!("{}::{}", self.package, self.test)
    }
}

/// Where a target's log, its inputs and those that it cannot take are.
fn folder(session: &Session, target: &Target) -> PathBuf {
    session.programs.join("../fuzz").join(target.name().replace("::", "."))
}

fn search_one(session: &Session, target: &Target, each: Duration) -> Result<Searched> {
    let (name, folder) = (target.name(), folder(session, target));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let path = folder.join("log");
    let cmd = Cmd::new("/bin/sh")
        .args(["-c", "exec \"$@\" >\"$0\" 2>&1"])
        .arg(&path)
        .arg(&target.program)
        .args(["--exact", &target.test, "--nocapture", "--test-threads", "1"])
        .env("BASALT_FUZZ_SECONDS", each.as_secs().to_string())
        .env("BASALT_FUZZ_FOLDER", &folder)
        .current_dir(&session.root);
    let result = program::run(session, cmd, Output::Shown, each + SLACK);
    session.go_on()?;
    let text = fs::read(&path).with_context(|| format!("no log in `{}`", path.display()))?;
    let text = String::from_utf8_lossy(&text);
    result.with_context(|| told(target, &text))?;
    let found = log::read(&text).with_context(|| format!("`{name}`"))?;
    Ok(Searched { target: name, each, found })
}

/// What a search found that a target cannot take, and how to try it again. Pure.
fn told(target: &Target, log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let end = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
    let Target { package, test, .. } = target;
    let Some(input) = log::bad_input(log) else {
        return format!("{end}\n`{}` broke off and kept no input", target.name());
    };
    format!(
        "{end}\n`{}` cannot take what lies in `{input}`\nhint: `BASALT_FUZZ_INPUT={input} cargo \
         test --release --package {package} -- --exact {test}` tries it again; once it is taken, \
         `cargo xtask fuzz --only {test} --keep` keeps it as a test\n",
        target.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_for_all_is_shared_by_those_that_run_at_once() {
        let seconds = |time: Time, targets| time.each(targets).as_secs();
        assert_eq!(seconds(Time::Together(Duration::from_secs(240)), 30), 16);
        assert_eq!(seconds(Time::Together(Duration::from_secs(240)), 31), 15);
        assert_eq!(seconds(Time::Together(Duration::from_secs(1)), 30), 1);
        assert_eq!(seconds(Time::Each(Duration::from_secs(60)), 30), 60);
    }

    #[test]
    fn a_bad_input_is_told_with_the_command_that_tries_it_again() {
        let target = Target {
            program: "/t/a-1".into(),
            package: "a".to_owned(),
            test: "b::fuzz_c".to_owned(),
        };
        let log = "panicked\nartifact_prefix='/t/'; Test unit written to /t/crash-0\n";
        let said = told(&target, log);
        assert!(said.contains("panicked") && said.contains("`a::b::fuzz_c` cannot take"), "{said}");
        let again =
            "BASALT_FUZZ_INPUT=/t/crash-0 cargo test --release --package a -- --exact b::fuzz_c";
        assert!(said.contains(again), "{said}");
        assert!(told(&target, "killed").contains("kept no input"));
    }
}
