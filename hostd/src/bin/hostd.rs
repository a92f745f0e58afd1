//! `hostd`, the host's supervisor.

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hostd::daemon;
use hostd::host_config::{self, Taken};
use hostd::paths::Paths;

/// Keeps watch over a Basalt host. systemd starts it.
#[derive(Debug, Parser)]
#[command(name = "hostd", version)]
struct Cli {
    /// The root of the file system to work in
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Take the host's configuration from the EFI partition, once
    TakeHostConfig,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return basalt_manual::exit(&said),
    };
    let paths = Paths::under(&cli.root);
    let result = match cli.command {
        None => {
            let credentials = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
            daemon::run(&paths, credentials.as_deref())
        }
        Some(Command::TakeHostConfig) => host_config::take(&paths).map(|taken| {
            if taken == Taken::All {
                eprintln!("took the host's configuration from the EFI partition");
            }
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", basalt_explain::explain(&error));
            ExitCode::FAILURE
        }
    }
}
