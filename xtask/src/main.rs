//! `cargo xtask`: the one entry for people and for CI.
//!
//! One file a task. Nothing here links a library that `setup` would have to install first.

#![expect(dead_code, reason = "the tasks that boot the image land with it")]

mod program;
mod progress;
mod session;
mod setup;
mod test;

use std::process::ExitCode;

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
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let session = Session::begin()?;
    match cli.task {
        Task::Setup(args) => setup::run(&session, &args, Purpose::Test),
        Task::Test(args) => test::run(&session, &args),
    }
}
