//! The `basalt` command.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use basalt_builder::cli::{self, Cli};
use clap::Parser;

fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("BASALT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return basalt_manual::exit(&said),
    };
    #[expect(clippy::disallowed_methods, reason = "main reads the clock and passes it on")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    match cli::execute(cli, now) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", basalt_explain::explain(&error));
            ExitCode::from(1)
        }
    }
}
