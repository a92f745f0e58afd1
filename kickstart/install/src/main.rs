//! The `basalt-install` command.

use std::process::ExitCode;
use std::time::SystemTime;

use basalt_install::cli::{self, Cli};
use clap::Parser;

fn main() -> ExitCode {
    #[expect(clippy::disallowed_methods, reason = "main reads the clock and passes it on")]
    let now = SystemTime::now();
    match cli::execute(&Cli::parse(), now) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", basalt_explain::explain(&error));
            ExitCode::from(1)
        }
    }
}
