//! `cargo xtask test`: everything that CI runs, and `.ci/run` runs nothing else.
//!
//! What is skipped has failed. Ends with how long each phase took and what the runners closed with.

mod closing;
mod timing;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;
use clap::Args;

use crate::fuzz;
use crate::image::{self, Image};
use crate::program::{self, Output};
use crate::session::{self, Session};
use crate::setup::{self, Purpose, SetupArgs, Tool};
use closing::Closing;
use timing::{Phase, Timing};

/// Compiling everything from nothing on two cores takes a quarter of this.
const COMPILE_DEADLINE: Duration = Duration::from_secs(3600);
const TEST_DEADLINE: Duration = Duration::from_secs(2700);
/// What all fuzz targets together search, beside what they take to compile.
const SEARCH: Duration = Duration::from_secs(90);
const QUICK_DEADLINE: Duration = Duration::from_secs(300);

/// Most of the time of a test that has containers or waits for an answer is waiting; with as many
/// at a time as there are processors, half of those would idle.
const AT_A_TIME: &str = "4";

/// Tells tests which image was built for them.
const IMAGE_VARIABLE: &str = "BASALT_IMAGE_DIR";

/// What was typed.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    #[command(flatten)]
    setup: SetupArgs,
}

/// Runs it all; stops at the first thing that fails.
///
/// # Errors
/// Something failed or was skipped.
pub(crate) fn run(session: &Session, args: &TestArgs) -> Result<()> {
    allowed(setup::is_root()?)?;
    setup::run(session, &args.setup, Purpose::Test)?;
    let mut report = Report::default();
    let result = phases(session, &mut report);
    report.print();
    result
}

/// Refuses before anything is compiled what would fail after half an hour. Pure.
fn allowed(is_root: bool) -> Result<()> {
    if is_root {
        return Ok(());
    }
    bail!(
        "only root can run every test: some take the network away from a build, fill its disk, or \
         build as another user\nhint: run it in a container or with sudo; `cargo nextest run \
         --release --workspace --exclude qemu-tests` runs what any user may"
    )
}

#[derive(Default)]
struct Report {
    timing: Timing,
    closings: Vec<Closing>,
}

impl Report {
    fn during<T>(&mut self, phase: Phase, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let result = work();
        self.timing.add(phase, began.elapsed());
        result
    }

    fn print(&self) {
        eprint!("\n{}\n", self.timing);
        for closing in &self.closings {
            eprintln!("{}", closing.line);
        }
    }
}

fn phases(session: &Session, report: &mut Report) -> Result<()> {
    report.during(Phase::Compile, || compile(session))?;
    let closing = report.during(Phase::Tests, || nextest(session))?;
    report.closings.extend(closing.clone());
    closing::all_ran(&closing)?;
    let image = report.during(Phase::Image, || image::build(session, image::Formats::WithLive))?;
    let closing = report.during(Phase::Tests, || build_tests(session, &image))?;
    report.closings.extend(closing.clone());
    closing::all_ran(&closing)?;
    let closing = report.during(Phase::Qemu, || qemu_tests(session, &image))?;
    report.closings.extend(closing.clone());
    closing::all_ran(&closing)?;
    report.during(Phase::Fuzz, || fuzz::search(session, fuzz::Time::Together(SEARCH)))
}

fn compile(session: &Session) -> Result<()> {
    session.progress.heading("format");
    cargo(session, &["fmt", "--all", "--check"], QUICK_DEADLINE)?;
    session.progress.heading("licences, bans, sources");
    let deny = Cmd::new(tool(Tool::DENY)?)
        .args(["--log-level", "error", "check", "licenses", "bans", "sources"])
        .current_dir(&session.root);
    program::run(session, deny, Output::Shown, QUICK_DEADLINE)?;
    session.progress.heading("clippy");
    let clippy = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    cargo(session, &clippy, COMPILE_DEADLINE)?;
    session.progress.heading("compile");
    image::compile_with_tests(session)
}

fn cargo(session: &Session, args: &[&str], deadline: Duration) -> Result<()> {
    let cmd = Cmd::new(session::cargo()).args(args).current_dir(&session.root);
    program::run(session, cmd, Output::Shown, deadline).map(|_| ())
}

fn tool(tool: Tool) -> Result<PathBuf> {
    setup::tool_program(tool)?.context("a tool that setup installed is gone")
}

fn nextest(session: &Session) -> Result<Vec<Closing>> {
    session.progress.heading("tests");
    let cmd = Cmd::new(tool(Tool::NEXTEST)?)
        .args(["nextest", "run", "--release", "--workspace", "--exclude", "qemu-tests"])
        .args(["--exclude", "build-tests", "--no-fail-fast", "--color", "never"])
        .args(["--test-threads", AT_A_TIME])
        .current_dir(&session.root);
    tests(session, cmd)
}

/// One at a time: each keeps both processors busy. Of the whole workspace, so that nothing is
/// compiled once more with other features.
fn build_tests(session: &Session, image: &Image) -> Result<Vec<Closing>> {
    session.progress.heading("tests that build images");
    let cmd = Cmd::new(tool(Tool::NEXTEST)?)
        .args(["nextest", "run", "--release", "--workspace", "-E", "package(build-tests)"])
        .args(["--test-threads", "1", "--no-fail-fast", "--color", "never"])
        .env(IMAGE_VARIABLE, &image.folder)
        .current_dir(&session.root);
    tests(session, cmd)
}

/// Those of qemu-tests, by their names; with `--package` all would be compiled once more.
fn qemu_tests(session: &Session, image: &Image) -> Result<Vec<Closing>> {
    session.progress.heading("tests that boot the image");
    let cmd = Cmd::new(session::cargo())
        .args(["test", "--release", "--workspace", "--test", "boot", "--test", "run"])
        .args(["--color", "never"])
        .env(IMAGE_VARIABLE, &image.folder)
        .current_dir(&session.root);
    tests(session, cmd)
}

/// A test that cannot run where `BASALT_NO_SKIP` is set has failed.
fn tests(session: &Session, cmd: Cmd) -> Result<Vec<Closing>> {
    let cmd = cmd.env("BASALT_NO_SKIP", "1");
    let lines = program::run(session, cmd, Output::ShownAndKept, TEST_DEADLINE)?;
    let closings = closing::closings(&lines);
    if closings.is_empty() {
        bail!("the tests ended well but did not say how many they were");
    }
    Ok(closings)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_user_is_refused_before_anything_is_done() {
        super::allowed(true).unwrap();
        let said = super::allowed(false).unwrap_err().to_string();
        assert!(said.contains("only root") && said.contains("hint: "), "{said}");
    }
}
