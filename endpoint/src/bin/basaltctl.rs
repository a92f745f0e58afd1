//! `basaltctl`, by which operators ask the endpoint.

use std::process::ExitCode;

use basalt_endpoint::ctl::{self, args::Cli};
use clap::Parser;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return basalt_manual::exit(&said),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(ctl::run(cli)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", basalt_explain::explain(&error));
            ExitCode::from(ctl::exit_code(&error))
        }
    }
}
