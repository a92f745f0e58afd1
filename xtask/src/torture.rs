//! `cargo xtask torture`: cuts the power of a recorded update again and again, and works out what
//! would boot.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use basalt_cmd::Cmd;
use basalt_power_cut::{Awaited, Boots, Flushes, Recording, Report, Torture, boot};
use clap::Args;
use serde_json::json;
use tempfile::TempDir;

use crate::image;
use crate::origin::Origin;
use crate::program::{self, Output};
use crate::proof::{Piece, Record};
use crate::session::{self, Session};
use crate::setup::{self, Purpose, SetupArgs};

/// States of one piece, after which the record is written.
const PIECE: u64 = 500;
/// Machines that boot at a time: each keeps a processor busy.
const AT_A_TIME: u64 = 2;
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
    /// Work this one out and no other, as one that failed is shown again; with `--boot 1` it boots
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
        well(args.seed, &report)?;
        return if args.boot > 0 { ground.boots_it(state) } else { Ok(()) };
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
        self.sum_up(record)
    }

    /// Adds all of it, once. Each flush was taken, if there are as many states.
    fn sum_up(&self, record: &mut Record) -> Result<()> {
        let seed = self.args.seed;
        let states = self.done(record, "states");
        let flushes = self.torture.flushes(seed, 0..states)?;
        let sum = sum(record, seed, flushes);
        if record.has(sum["piece"].as_str().unwrap_or_default()) {
            return Ok(());
        }
        let held = flushes.alone == flushes.all.min(states);
        record.add(Piece { seed, held, runs: vec![sum] })?;
        if held { Ok(()) } else { bail!("not each flush was taken: {flushes:?}") }
    }

    fn every_sync_is_missed(&self, record: &mut Record) -> Result<()> {
        let there: Vec<Awaited> = self.torture.awaited().collect();
        for awaited in Awaited::ALL {
            if self.done(record, &without(awaited)) > 0 {
                continue;
            }
            self.session.progress.heading(&format!("without the sync after which {awaited}"));
            if !there.contains(&awaited) {
                bail!("the recorded update has no sync after which {awaited}");
            }
            let report = self.torture.states_without(awaited, self.args.seed, 0..WITHOUT)?;
            let missed = report.findings.len();
            let example = report.findings.first().map(|it| it.what.clone());
            let held = missed > 0;
            let run = json!({
                "seed": self.args.seed, without(awaited): missed, "of": report.states,
                "example": example,
            });
            record.add(Piece { seed: self.args.seed, held, runs: vec![run] })?;
            if !held {
                bail!("nothing misses the sync after which {awaited}");
            }
        }
        Ok(())
    }

    /// Boots the next random ones, one on each processor.
    fn boots(&self, record: &mut Record) -> Result<()> {
        let first = self.done(record, "boots");
        let end = self.args.boot.min(first + AT_A_TIME);
        self.session.progress.heading(&format!("boots: {first} of {}", self.args.boot));
        let booted: Vec<Result<Booted>> = thread::scope(|scope| {
            // A machine ends with the thread that started it.
            let machines: Vec<_> =
                (first..end).map(|number| scope.spawn(move || self.boot_any(number))).collect();
            let panicked = || anyhow!("a thread that boots a machine panicked");
            let booted = machines.into_iter().map(|it| it.join().map_err(|_| panicked())?);
            booted.collect()
        });
        let mut result = Ok(());
        for booted in booted {
            let Booted { state, expected, folder, failed } = booted?;
            let (seed, held) = (self.args.seed, failed.is_none());
            let run = json!({
                "seed": seed, "boots": 1, "state": state, "expected": expected, "failed": failed,
            });
            record.add(Piece { seed, held, runs: vec![run] })?;
            if let Some(why) = failed {
                let kept = folder.keep();
                let kept = kept.display();
                result = Err(anyhow!("state {state} does not boot; its disk is {kept}: {why}"));
            }
        }
        result
    }

    /// Boots the one that was asked for, and keeps nothing of that.
    fn boots_it(&self, state: u64) -> Result<()> {
        let Booted { expected, failed, .. } = self.boot(state)?;
        failed.map_or(Ok(()), |why| bail!("state {state} does not boot: {why}"))?;
        println!("state {state} boots: {expected:?}");
        Ok(())
    }

    /// Boots a random one: the same for the same number.
    fn boot_any(&self, number: u64) -> Result<Booted> {
        let mut chances = fastrand::Rng::with_seed(self.args.seed.wrapping_add(number));
        self.boot(chances.u64(..self.args.states.max(1)))
    }

    fn boot(&self, state: u64) -> Result<Booted> {
        let folder = tempfile::tempdir_in(self.session.root.join("target/tmp"))?;
        let disk = folder.path().join("disk.raw");
        let expected = self.torture.write(self.args.seed, state, &disk)?;
        let result = boot(&disk, &folder.path().join("machine"), &self.recording, expected);
        Ok(Booted { state, expected, folder, failed: result.err().map(|error| error.to_string()) })
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

/// A state that was booted.
struct Booted {
    state: u64,
    expected: Boots,
    /// Of its disk and its machine.
    folder: TempDir,
    failed: Option<String>,
}

/// What tells how many states missed the sync.
fn without(awaited: Awaited) -> String {
    format!("missed: the sync after which {awaited}")
}

/// All that was done with this seed, as one run.
fn sum(record: &Record, seed: u64, flushes: Flushes) -> serde_json::Value {
    let [states, boots] = ["states", "boots"].map(|key| record.sum_of(seed, key));
    let missed = |it: Awaited| (it.to_string(), record.sum_of(seed, &without(it)));
    let syncs_missed: BTreeMap<_, _> = Awaited::ALL.map(missed).into();
    let piece = format!("all of seed {seed}: {states} states, {boots} boots");
    json!({ "piece": piece, "sum": {
        "seed": seed, "states": states, "boots": boots, "flushes": flushes,
        "syncs_missed": syncs_missed, "syncs_missed_of": WITHOUT,
    } })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_has_seed_states_boots_flushes_and_how_often_each_sync_was_missed() {
        let folder = tempfile::tempdir().unwrap();
        let mut record = Record::example(folder.path(), "torture");
        let entry = without(Awaited::Entry);
        for (seed, run) in [
            (1, json!({ entry.as_str(): 71, "of": 200 })),
            (1, json!({ "states": 500 })),
            (1, json!({ "states": 100 })),
            (1, json!({ "boots": 1 })),
            (2, json!({ "states": 7, entry.as_str(): 9 })),
        ] {
            record.add(Piece { seed, held: true, runs: vec![run] }).unwrap();
        }
        let flushes = Flushes { all: 90, alone: 90, and_more: 89 };
        let run = sum(&record, 1, flushes);
        let it = &run["sum"];
        assert_eq!((&it["seed"], &it["states"], &it["boots"]), (&json!(1), &json!(600), &json!(1)));
        assert_eq!(it["flushes"], json!({ "all": 90, "alone": 90, "and_more": 89 }));
        assert_eq!(it["syncs_missed"][Awaited::Entry.to_string()], 71);
        assert_eq!(it["syncs_missed"].as_object().unwrap().len(), Awaited::ALL.len());
        // It counts itself no second time.
        let piece = run["piece"].as_str().unwrap().to_owned();
        record.add(Piece { seed: 1, held: true, runs: vec![run] }).unwrap();
        assert!(record.has(&piece) && record.sum_of(1, "states") == 600);
    }
}
