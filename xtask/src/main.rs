//! `cargo xtask`: the one entry for people and for CI.
//!
//! One file a task. Nothing here links a library that `setup` would have to install first.

mod bench;
mod demo;
mod fuzz;
mod image;
mod origin;
mod program;
mod progress;
mod proof;
mod session;
mod setup;
mod test;
mod torture;

use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Result;
use clap::{Parser, Subcommand};

use session::Session;
use setup::Purpose;

/// Sets up, tests, shows and measures Basalt.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install the Debian packages and cargo tools that this machine misses
    Setup(setup::SetupArgs),
    /// Run everything that CI runs
    Test(test::TestArgs),
    /// Search for inputs that a parser of foreign bytes cannot take
    Fuzz(fuzz::FuzzArgs),
    /// Build the image, boot it, give it work, show what it proved, stop
    Demo(demo::DemoArgs),
    /// Cut the power of a recorded update at thousands of moments, and see what boots
    Torture(torture::TortureArgs),
    /// Measure, and keep the numbers in `bench/results`
    Bench(bench::BenchArgs),
    /// Prove what takes long, a piece at a time, and keep what was proven in `proofs`
    Proof(proof::ProofArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    #[expect(clippy::disallowed_methods, reason = "main reads the clock and passes it on")]
    let now = SystemTime::now();
    match run(cli, now) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli, now: SystemTime) -> Result<()> {
    let session = Session::begin()?;
    match cli.task {
        Task::Setup(args) => setup::run(&session, &args, Purpose::Test),
        Task::Test(args) => test::run(&session, &args),
        Task::Fuzz(args) => fuzz::task(&session, &args),
        Task::Demo(args) => demo::run(&session, &args),
        Task::Torture(args) => torture::run(&session, &args, now),
        Task::Bench(args) => bench::run(&session, &args, now),
        Task::Proof(args) => proof::run(&session, &args, now),
    }
}
