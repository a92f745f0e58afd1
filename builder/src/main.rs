//! The `basalt` command.

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use basalt_builder::cli::{self, Cli};
use clap::Parser;

fn main() -> ExitCode {
    let filter = std::env::var("BASALT_LOG").unwrap_or_else(|_| "warn".to_owned());
    match basalt_log::Filter::parse(&filter) {
        Ok(filter) => basalt_log::begin(filter),
        Err(error) => {
            eprintln!("error: `BASALT_LOG={filter}`: {error}\nhint: {}", basalt_log::HINT);
            return ExitCode::from(1);
        }
    }
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
