//! `cargo xtask torture`: cuts the power of a recorded update again and again, and works out what
//! would boot.

use std::fs;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;
use basalt_power_cut::{Awaited, Recording, Report, Torture, boot};
use clap::Args;
use serde_json::json;

use crate::image;
use crate::origin::Origin;
use crate::program::{self, Output};
use crate::proof::{Piece, Record};
use crate::session::{self, Session};
use crate::setup::{self, Purpose, SetupArgs};

/// States of one piece, after which the record is written.
const PIECE: u64 = 500;
/// States that must show what a sync is for.
const WITHOUT: u64 = 200;
/// Compiling the tests, building three images, two boots.
const RECORD: Duration = Duration::from_secs(5400);
/// The test that records.
const TEST: &str = "its_update_to_the_third_is_recorded";
/// Which commit was recorded, beside the recording.
const OF: &str = "of";

/// What was typed.
#[derive(Debug, Args)]
pub(crate) struct TortureArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Which chances are taken
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Power cuts that are worked out
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    states: u64,
    /// Random ones of them that boot in QEMU
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    boot: u64,
    /// Work this one out and no other, as one that failed is shown again
    #[arg(long, value_name = "NUMBER")]
    state: Option<u64>,
    /// Record an update anew, also where this commit's is there
    #[arg(long)]
    record: bool,
}

struct Ground<'a> {
    session: &'a Session,
    args: &'a TortureArgs,
    recording: Recording,
    torture: Torture,
}

/// Goes on where it was interrupted, as long as the commit is the same, and writes
/// `proofs/DATE-COMMIT-torture.json` after each piece.
///
/// # Errors
/// Something does not boot, a sync is for nothing, or it cannot be tried.
pub(crate) fn run(session: &Session, args: &TortureArgs, now: SystemTime) -> Result<()> {
    setup::run(session, &args.setup, Purpose::Test)?;
    let recording = recording(session, args, now)?;
    session.progress.heading("the recorded update");
    let torture = Torture::of(&recording)?;
    let ground = Ground { session, args, recording, torture };
    if let Some(state) = args.state {
        let report = ground.torture.states(args.seed, state..state + 1)?;
        println!("{}", serde_json::to_string_pretty(&report)?);
        return well(args.seed, &report);
    }
    let mut record = Record::begin(session, "torture", now)?;
    let result = ground.prove(&mut record);
    println!("{record}");
    result
}

impl Ground<'_> {
    fn prove(&self, record: &mut Record) -> Result<()> {
        self.every_sync_is_missed(record)?;
        while self.done(record, "states") < self.args.states {
            self.session.go_on()?;
            let first = self.done(record, "states");
            let end = self.args.states.min(first + PIECE);
            let heading = format!("power cuts: {first} of {}", self.args.states);
            self.session.progress.heading(&heading);
            let report = self.torture.states(self.args.seed, first..end)?;
            self.keep(record, &report, json!({ "first": first, "report": report }))?;
        }
        while self.done(record, "boots") < self.args.boot {
            self.session.go_on()?;
            self.boots(record)?;
        }
        Ok(())
    }

    fn every_sync_is_missed(&self, record: &mut Record) -> Result<()> {
        let there: Vec<Awaited> = self.torture.awaited().collect();
        for awaited in Awaited::ALL {
            if self.done(record, &format!("without {awaited}")) > 0 {
                continue;
            }
            self.session.progress.heading(&format!("without the sync after which {awaited}"));
            if !there.contains(&awaited) {
                bail!("the recorded update has no sync after which {awaited}");
            }
            let report = self.torture.states_without(awaited, self.args.seed, 0..WITHOUT)?;
            let missed = report.findings.len();
            let example = report.findings.first().map(|it| it.what.clone());
            let (held, without) = (missed > 0, format!("without {awaited}"));
            let run = json!({
                "seed": self.args.seed, without: 1, "states": 0, "of": report.states,
                "missed": missed, "example": example,
            });
            record.add(Piece { seed: self.args.seed, held, runs: vec![run] })?;
            if !held {
                bail!("nothing misses the sync after which {awaited}");
            }
        }
        Ok(())
    }

    /// Boots the next random one.
    fn boots(&self, record: &mut Record) -> Result<()> {
        let number = self.done(record, "boots");
        let mut chances = fastrand::Rng::with_seed(self.args.seed.wrapping_add(number));
        let state = chances.u64(..self.args.states.max(1));
        let heading = format!("boots: {number} of {}, state {state}", self.args.boot);
        self.session.progress.heading(&heading);
        let folder = tempfile::tempdir_in(self.session.root.join("target/tmp"))?;
        let disk = folder.path().join("disk.raw");
        let expected = self.torture.write(self.args.seed, state, &disk)?;
        let result = boot(&disk, &folder.path().join("machine"), &self.recording, expected);
        let run = json!({
            "seed": self.args.seed, "boots": 1, "state": state, "expected": expected,
            "failed": result.as_ref().err().map(ToString::to_string),
        });
        record.add(Piece { seed: self.args.seed, held: result.is_ok(), runs: vec![run] })?;
        result.with_context(|| {
            let kept = folder.keep();
            format!("state {state} does not boot; its disk is {}", kept.display())
        })
    }

    fn keep(&self, record: &mut Record, report: &Report, run: serde_json::Value) -> Result<()> {
        let mut run = run;
        run["seed"] = self.args.seed.into();
        run["states"] = report.states.into();
        let held = report.findings.is_empty();
        record.add(Piece { seed: self.args.seed, held, runs: vec![run] })?;
        well(self.args.seed, report)
    }

    /// How many were done of something, with this seed.
    fn done(&self, record: &Record, key: &str) -> u64 {
        record.sum_of(self.args.seed, key)
    }
}

fn well(seed: u64, report: &Report) -> Result<()> {
    let Some(finding) = report.findings.first() else { return Ok(()) };
    bail!(
        "state {} of seed {seed} does not boot as it should: {}\nhint: `cargo xtask torture --seed \
         {seed} --state {}` works it out again",
        finding.state,
        finding.what,
        finding.state
    )
}

/// The recording of this commit, which is made if need be.
fn recording(session: &Session, args: &TortureArgs, now: SystemTime) -> Result<Recording> {
    let folder = session.root.join("target/tmp/recorded/recording");
    let of = Origin::of(session, now)?.commit().to_owned();
    let is_of_it = fs::read_to_string(folder.join(OF)).is_ok_and(|was| was == of);
    if args.record || !is_of_it {
        record(session)?;
        fs::write(folder.join(OF), of).context("the recording is not where it should be")?;
    }
    Recording::read(&folder)?.context("nothing was recorded")
}

fn record(session: &Session) -> Result<()> {
    image::compile_with_tests(session)?;
    let image = image::build(session, image::Formats::Own)?;
    session.progress.heading("an update is recorded");
    let cmd = Cmd::new(session::cargo())
        .args(["test", "--release", "--workspace", "--test", "proof", "--", TEST])
        .env("BASALT_IMAGE_DIR", &image.folder)
        .env("BASALT_NO_SKIP", "1")
        .current_dir(&session.root);
    program::run(session, cmd, Output::Shown, RECORD).map(|_| ())
}
