//! `hostctl`, which asks `hostd`.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_manual::{CompletionArgs, ManArgs};
use clap::{CommandFactory, Parser, Subcommand};
use hostd::paths::Paths;
use hostd::{client, config, gate, show};

/// How long `hostctl status` waits for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Asks the host's supervisor.
#[derive(Debug, Parser)]
#[command(name = "hostctl", version, propagate_version = true)]
struct Cli {
    /// The root of the file system to work in
    #[arg(long, value_name = "DIR", default_value = "/", hide = true, global = true)]
    root: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[command(disable_version_flag = true)]
enum Command {
    /// Show how this host is
    ///
    /// Exits with 0 when nothing is wrong, 1 when something is or hostd does not answer.
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Wait until this boot has proved itself; systemd runs it at every boot
    ///
    /// Exits with 0 when the ledger is read, hostd has done its first round and answers, and the
    /// required units are active; with 1 when they are not by the deadline.
    Gate {
        /// How long to wait at most [default: `gate.deadline_s` of hostd.toml, or 120]
        #[arg(long, value_name = "SECONDS")]
        deadline: Option<u64>,
    },
    /// Print a shell's completion script
    Completion(CompletionArgs),
    /// Write the man pages
    Man(ManArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", basalt_explain::explain(&error));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn run(cli: &Cli) -> Result<ExitCode> {
    let paths = Paths::under(&cli.root);
    match &cli.command {
        Command::Status { json } => status(&paths.socket(), *json).await,
        Command::Gate { deadline } => {
            let deadline = deadline.map_or_else(|| configured(&paths), Duration::from_secs);
            Ok(gate(&paths.socket(), deadline).await)
        }
        Command::Completion(args) => {
            print(&basalt_manual::completion(Cli::command(), args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man(args) => {
            basalt_manual::write_pages(Cli::command(), args).context("cannot write")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn status(socket: &Path, json: bool) -> Result<ExitCode> {
    let status = client::status(socket, ANSWER).await?;
    let text =
        if json { serde_json::to_string_pretty(&status)? + "\n" } else { show::status(&status) };
    print(text.as_bytes())?;
    Ok(if status.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn gate(socket: &Path, deadline: Duration) -> ExitCode {
    match gate::wait(socket, deadline).await {
        Ok(status) => {
            eprintln!("this boot is good: version {}, {}", status.version, status.boot);
            ExitCode::SUCCESS
        }
        Err(against) => {
            eprintln!("error: this boot is not good after {} s", deadline.as_secs());
            for reason in against {
                eprintln!("  {reason}");
            }
            ExitCode::FAILURE
        }
    }
}

fn configured(paths: &Paths) -> Duration {
    let credentials = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    config::load(paths, credentials.as_deref()).config.gate_deadline
}

fn print(bytes: &[u8]) -> Result<()> {
    match io::stdout().write_all(bytes) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot print"),
    }
}
