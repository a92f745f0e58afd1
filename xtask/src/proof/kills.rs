//! Kills at random moments, in pieces of `tests/tests/kills`.

use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use serde_json::Value;

use super::Ground;
use super::{Piece, Record};
use crate::program::{self, Output};
use crate::session;
use crate::setup::{Tool, tool_program};

/// Kills of each of the test's runs in one piece.
const IN_A_PIECE: u64 = 20;
/// A piece takes a minute or two.
const DEADLINE: Duration = Duration::from_secs(1800);
const COMPILE: Duration = Duration::from_secs(3600);

pub(super) fn run(ground: &Ground<'_>, record: &mut Record) -> Result<()> {
    compile(ground)?;
    if let Some(seed) = ground.args.seed {
        return piece(ground, record, seed);
    }
    let since = ground.now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let mut seed = since.as_secs();
    while record.sum("kills") < ground.args.kills {
        let so_far = record.sum("kills");
        let all = ground.args.kills;
        ground.session.progress.heading(&format!("kills: {so_far} of {all}, seed {seed}"));
        piece(ground, record, seed)?;
        seed += 1;
    }
    Ok(())
}

fn compile(ground: &Ground<'_>) -> Result<()> {
    let packages = ["hostd", "hostd-virt", "basalt-endpoint"].map(|name| ["--package", name]);
    let cmd = Cmd::new(session::cargo()).args(["build", "--release"]).args(packages.concat());
    let cmd = cmd.current_dir(&ground.session.root);
    program::run(ground.session, cmd, Output::Shown, COMPILE).map(|_| ())
}

/// One piece, which is kept whatever came of it.
fn piece(ground: &Ground<'_>, record: &mut Record, seed: u64) -> Result<()> {
    let folder = tempfile::tempdir().context("no folder for the report")?;
    let report = folder.path().join("report");
    let cmd = Cmd::new(tool_program(Tool::NEXTEST)?.context("cargo-nextest is gone")?)
        .args(["nextest", "run", "--release", "--package", "basalt-tests", "--test", "kills"])
        .args(["--no-fail-fast", "--color", "never"])
        .env("BASALT_NO_SKIP", "1")
        .env("BASALT_SEED", seed.to_string())
        .env("BASALT_KILLS", IN_A_PIECE.to_string())
        .env("BASALT_KILLS_REPORT", &report)
        .current_dir(&ground.session.root);
    let result = program::run(ground.session, cmd, Output::Shown, DEADLINE);
    // Interrupted is neither held nor failed.
    ground.session.go_on()?;
    let runs = runs(&fs::read_to_string(&report).unwrap_or_default())?;
    record.add(Piece { seed, held: result.is_ok(), runs })?;
    result.map(|_| ()).with_context(|| {
        format!("hint: `cargo xtask proof kills --seed {seed}` shows it again\nit did not hold")
    })
}

fn runs(report: &str) -> Result<Vec<Value>> {
    let line = |line: &str| serde_json::from_str(line).with_context(|| format!("no run: {line}"));
    report.lines().map(line).collect()
}
