//! Every parser of foreign bytes is searched for inputs that it cannot take: the tests named
//! `fuzz_…`, built with coverage, two at once.
//!
//! Only this workspace's own packages are built anew for it (`xtask/rustc-for-fuzzing`). What a
//! search found reaches new code is kept in `target/fuzz` for the next one.

mod log;

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;
use clap::Args;
use serde_json::Value;

use crate::program::{self, Output};
use crate::session::{self, Session};
use log::Found;

/// Packages whose libraries have targets, and programs that have.
const LIBRARIES: &[&str] = &[
    "basalt-api",
    "basalt-builder",
    "basalt-endpoint",
    "basalt-sysroot",
    "basalt-workload-file",
    "hostd",
];
const PROGRAMS: &[&str] = &["hostd-virt"];
/// How the name of a target begins.
const PREFIX: &str = "fuzz_";
/// Searches at once.
const AT_ONCE: u32 = 2;
const COMPILE_DEADLINE: Duration = Duration::from_secs(1800);
const QUICK_DEADLINE: Duration = Duration::from_secs(60);
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
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Searched {
    /// The target's test, with its module.
    pub(crate) target: String,
    /// How long, in seconds.
    pub(crate) seconds: u64,
    /// Inputs that were tried.
    pub(crate) inputs: u64,
    /// Places in the code that were reached.
    pub(crate) reached: u64,
}

impl std::fmt::Display for Searched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { target, seconds, inputs, reached } = self;
        write!(f, "{inputs:>10} inputs in {seconds} s, {reached:>5} places reached  {target}")
    }
}

/// A target, and the program that it is in.
#[derive(Debug, Clone)]
struct Target {
    program: PathBuf,
    test: String,
}

/// Searches, and says how much was tried.
///
/// # Errors
/// As [`run`].
pub(crate) fn task(session: &Session, args: &FuzzArgs) -> Result<()> {
    let each = Time::Each(Duration::from_secs(args.seconds));
    let together = |seconds| Time::Together(Duration::from_secs(seconds));
    for searched in run(session, args.together.map_or(each, together))? {
        println!("{searched}");
    }
    Ok(())
}

/// Searches with every target.
///
/// # Errors
/// An input was found that a target cannot take, or nothing was searched.
pub(crate) fn run(session: &Session, time: Time) -> Result<Vec<Searched>> {
    let targets = targets(session)?;
    let each = time.each(targets.len());
    let name = format!("fuzz targets: {}, {} s each", targets.len(), each.as_secs());
    session.progress.heading(&name);
    let (queue, results) = (Mutex::new(VecDeque::from(targets)), Mutex::new(Vec::new()));
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(target) = next() {
                    let result = search(session, &target, each);
                    results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                }
            });
        }
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut searched = results.into_iter().collect::<Result<Vec<_>>>()?;
    searched.sort_by(|one, other| one.target.cmp(&other.target));
    Ok(searched)
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

fn targets(session: &Session) -> Result<Vec<Target>> {
    let libraries = LIBRARIES.iter().flat_map(|name| ["--package", name]);
    let mut programs = build(session, libraries.chain(["--lib"]).collect())?;
    for name in PROGRAMS {
        programs.extend(build(session, vec!["--package", name, "--bin", name])?);
    }
    if programs.len() != LIBRARIES.len() + PROGRAMS.len() {
        bail!("cargo built {} programs with fuzz targets", programs.len());
    }
    let mut all = Vec::new();
    for program in programs {
        let tests = listed(&program)?;
        if tests.is_empty() {
            bail!("`{}` has no fuzz target", program.display());
        }
        all.extend(tests.into_iter().map(|test| Target { program: program.clone(), test }));
    }
    Ok(all)
}

/// Builds tests with coverage; the programs.
fn build(session: &Session, what: Vec<&str>) -> Result<Vec<PathBuf>> {
    let cmd = Cmd::new(session::cargo())
        .args(["test", "--release", "--no-run", "--message-format", "json-render-diagnostics"])
        .args(["--features", "basalt-fuzz/guided"])
        .args(what)
        .env("RUSTC_WORKSPACE_WRAPPER", session.root.join("xtask/rustc-for-fuzzing"))
        .current_dir(&session.root);
    let lines = program::run(session, cmd, Output::StdoutKept, COMPILE_DEADLINE)?;
    Ok(lines.iter().filter_map(|line| built(line)).collect())
}

/// The program of a test, in a message of cargo's.
fn built(line: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(line).ok()?;
    let is_test = message["profile"]["test"] == Value::Bool(true);
    message["executable"].as_str().filter(|_| is_test).map(PathBuf::from)
}

/// The targets of a program.
fn listed(program: &Path) -> Result<Vec<String>> {
    let output = Cmd::new(program).args(["--list", "--format", "terse"]);
    let output = output.deadline(QUICK_DEADLINE).run()?.stdout_text();
    let tests = output.lines().filter_map(|line| line.strip_suffix(": test"));
    let is_target = |test: &&str| test.rsplit("::").next().is_some_and(|it| it.starts_with(PREFIX));
    Ok(tests.filter(is_target).map(str::to_owned).collect())
}

fn search(session: &Session, target: &Target, each: Duration) -> Result<Searched> {
    let program = target.program.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Cargo puts a hash behind the name, which changes with the code.
    let program = program.rsplit_once('-').map_or(program.as_str(), |(name, _)| name);
    let name = format!("{program}::{}", target.test);
    let folder = session.programs.join("../fuzz").join(name.replace("::", "."));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let path = folder.join("log");
    let cmd = Cmd::new("/bin/sh")
        .args(["-c", "exec \"$@\" >\"$0\" 2>&1"])
        .arg(&path)
        .arg(&target.program)
        .args(["--exact", &target.test, "--nocapture", "--test-threads", "1"])
        .env("BASALT_FUZZ_SECONDS", each.as_secs().to_string())
        .env("BASALT_FUZZ_FOLDER", &folder)
        // Of the package that it is in, as `cargo test` does it.
        .current_dir(&session.root);
    let result = program::run(session, cmd, Output::Shown, each + SLACK);
    session.go_on()?;
    let text = fs::read(&path).with_context(|| format!("no log in `{}`", path.display()))?;
    let text = String::from_utf8_lossy(&text);
    if let Err(error) = result {
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        return Err(error).with_context(|| {
            format!("{end}\n`{name}` cannot take an input, which lies in `{}`", folder.display())
        });
    }
    let Found { inputs, reached } = log::read(&text).with_context(|| format!("`{name}`"))?;
    Ok(Searched { target: name, seconds: each.as_secs(), inputs, reached })
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
    fn a_program_with_tests_is_told_from_a_library() {
        let test =
            r#"{"reason":"compiler-artifact","profile":{"test":true},"executable":"/t/a-1"}"#;
        assert_eq!(built(test), Some(PathBuf::from("/t/a-1")));
        for other in [test.replace("true", "false").as_str(), "{}", "no message"] {
            assert_eq!(built(other), None);
        }
    }
}
