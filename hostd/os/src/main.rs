//! `hostd-os`: puts another release into the idle slot of this host, and goes back. A process of
//! its own, there only while that is done: libostree is large, and a call into it cannot be
//! cancelled. `hostctl os` starts it. In reading order:

mod cli;
mod update;

mod disk;
mod release;
mod source;
mod standing;

mod choice;
mod esp;

use std::process::ExitCode;

use clap::Parser;
use jiff::Timestamp;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => {
            let _ = said.print();
            return if said.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match cli::execute(cli, Timestamp::now()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", basalt_explain::explain(&error));
            ExitCode::FAILURE
        }
    }
}
