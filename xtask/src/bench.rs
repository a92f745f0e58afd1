//! `cargo xtask bench`: measures side by side in one run and keeps the numbers.
//!
//! A benchmark never fails for being slow: the table says by how much an aim was missed.

mod boot;
mod build;
mod results;
mod size;

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
    /// Which ones to run [default: all]
    #[arg(value_parser = names())]
    names: Vec<String>,
}

/// What a benchmark works with.
struct Ground<'a> {
    session: &'a Session,
    /// The image that was built just before, from the caches.
    image: Image,
    /// An empty folder beside the output; it goes when the run ends.
    work: PathBuf,
}

struct Benchmark {
    name: &'static str,
    run: fn(&Ground<'_>) -> Result<Vec<Measure>>,
}

const BENCHMARKS: &[Benchmark] = &[
    Benchmark { name: "size", run: size::run },
    Benchmark { name: "build", run: build::run },
    Benchmark { name: "boot", run: boot::run },
];

fn names() -> Vec<&'static str> {
    BENCHMARKS.iter().map(|benchmark| benchmark.name).collect()
}

/// Runs them, writes `bench/results/DATE-COMMIT.json`, prints the table.
///
/// # Errors
/// Something could not be measured.
pub(crate) fn run(session: &Session, args: &BenchArgs, now: SystemTime) -> Result<()> {
    setup::run(session, &args.setup, Purpose::Run)?;
    image::compile(session)?;
    let image = image::build(session)?;
    let work = tempfile::Builder::new().prefix("bench.").tempdir_in(session.out())?;
    let ground = Ground { session, image, work: work.path().to_owned() };
    let mut results = Results::begin(session, now)?;
    for benchmark in BENCHMARKS {
        if args.names.is_empty() || args.names.iter().any(|name| name == benchmark.name) {
            session.progress.heading(benchmark.name);
            results.replace(benchmark.name, (benchmark.run)(&ground)?);
        }
    }
    let file = results.write()?;
    println!("{results}");
    println!("kept in {}", file.display());
    Ok(())
}

impl Ground<'_> {
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
