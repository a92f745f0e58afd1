//! `cargo xtask bench`: measures side by side in one run and keeps the numbers.
//!
//! A benchmark never fails for being slow: the table says by how much an aim was missed.

mod boot;
mod build;
mod install;
mod measured;
mod results;
mod size;
mod updates;
mod write;

use std::cell::OnceCell;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use clap::Args;

use crate::image::{self, Image};
use crate::program::{self, Output};
use crate::session::Session;
use crate::setup::{self, Purpose, SetupArgs};
use results::{Measure, Results};

/// A build that starts from nothing, over a slow line.
const DEADLINE: Duration = Duration::from_secs(3600);

/// What was typed.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Seconds of rest over which `hostd` shows what it takes when nothing happens
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    rest: u32,
    /// Which ones to run [default: all]
    #[arg(value_parser = names())]
    names: Vec<String>,
}

/// What a benchmark works with.
struct Ground<'a> {
    session: &'a Session,
    /// The image, once something asked for it.
    image: OnceCell<Image>,
    /// Seconds of rest for what is measured at rest.
    rest: u32,
    /// An empty folder beside the output; it goes when the run ends.
    work: PathBuf,
}

struct Benchmark {
    name: &'static str,
    /// What the machine must have for it.
    purpose: Purpose,
    run: fn(&Ground<'_>) -> Result<Vec<Measure>>,
}

const BENCHMARKS: &[Benchmark] = &[
    Benchmark { name: "size", purpose: Purpose::Run, run: size::run },
    Benchmark { name: "build", purpose: Purpose::Run, run: build::run },
    Benchmark { name: "write", purpose: Purpose::Run, run: write::run },
    Benchmark { name: "install", purpose: Purpose::Run, run: install::run },
    Benchmark { name: "boot", purpose: Purpose::Run, run: boot::run },
    Benchmark { name: "updates", purpose: Purpose::Peers, run: updates::run },
    measured("containers", |ground| measured::run(ground, "containers")),
    measured("machines", |ground| measured::run(ground, "machines")),
    measured("assigned", |ground| measured::run(ground, "assigned")),
    measured("hostd", |ground| measured::run(ground, "hostd")),
    measured("checkins", |ground| measured::run(ground, "checkins")),
];

/// One that a program of `tests/examples/measure` measures with real engines.
const fn measured(name: &'static str, run: fn(&Ground<'_>) -> Result<Vec<Measure>>) -> Benchmark {
    Benchmark { name, purpose: Purpose::Test, run }
}

fn names() -> Vec<&'static str> {
    BENCHMARKS.iter().map(|benchmark| benchmark.name).collect()
}

/// Runs them, writes `bench/results/DATE-COMMIT.json`, prints the table.
///
/// # Errors
/// Something could not be measured.
pub(crate) fn run(session: &Session, args: &BenchArgs, now: SystemTime) -> Result<()> {
    let is_asked = |benchmark: &&Benchmark| {
        args.names.is_empty() || args.names.iter().any(|name| name == benchmark.name)
    };
    let asked: Vec<&Benchmark> = BENCHMARKS.iter().filter(is_asked).collect();
    for purpose in [Purpose::Run, Purpose::Test, Purpose::Peers] {
        if asked.iter().any(|benchmark| benchmark.purpose == purpose) {
            setup::run(session, &args.setup, purpose)?;
        }
    }
    std::fs::create_dir_all(session.out()).context("cannot make the output folder")?;
    let work = tempfile::Builder::new().prefix("bench.").tempdir_in(session.out())?;
    let (image, work_path) = (OnceCell::new(), work.path().to_owned());
    let ground = Ground { session, image, rest: args.rest, work: work_path };
    let mut results = Results::begin(session, now)?;
    for benchmark in asked {
        session.progress.heading(benchmark.name);
        results.replace(benchmark.name, (benchmark.run)(&ground)?);
        // What was measured is kept although a later one may fail.
        results.write()?;
    }
    let file = results.write()?;
    println!("{results}");
    println!("kept in {}", file.display());
    Ok(())
}

impl Ground<'_> {
    /// The image of this commit, built from the caches by whoever asks first.
    fn image(&self) -> Result<&Image> {
        if let Some(image) = self.image.get() {
            return Ok(image);
        }
        image::compile_with_tests(self.session)?;
        let image = image::build(self.session, image::Formats::Own)?;
        Ok(self.image.get_or_init(|| image))
    }

    /// Runs a command, its words going to our stderr; returns the seconds that it took.
    fn time(&self, cmd: Cmd) -> Result<f64> {
        let began = Instant::now();
        program::run(self.session, cmd, Output::StdoutKept, DEADLINE)?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// An empty folder of this name in the work folder.
    fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.work.join(name);
        std::fs::create_dir(&folder)
            .with_context(|| format!("cannot create `{}`", folder.display()))?;
        Ok(folder)
    }
}
