//! The `basalt-install` command.

use std::process::ExitCode;

use basalt_install::cli::{self, Cli};
use clap::Parser;

fn main() -> ExitCode {
    match cli::execute(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", basalt_explain::explain(&error));
            ExitCode::from(1)
        }
    }
}
