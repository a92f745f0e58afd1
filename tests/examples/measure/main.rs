//! Measures the real programs with each other: `cargo xtask bench` runs it and keeps what it prints,
//! a line of JSON for each number. Progress goes to stderr.
//!
//!     measure containers|machines|assigned|hostd|checkins [--rest SECONDS]

#![expect(clippy::unwrap_used, reason = "what cannot be measured is told by where it broke")]

mod assigned;
mod checkins;
mod containers;
mod hostd;
mod loop_of_hostd;
mod machines;
mod memory;
mod pairs;
mod print;
mod simulator;
mod statically;

use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // The kernel's own default for open files is too small for a thousand hosts.
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }).unwrap();
    match words.as_slice() {
        ["containers", ..] => containers::run(),
        ["machines", ..] => machines::run(),
        ["assigned", ..] => assigned::run(),
        ["hostd", rest @ ..] => hostd::run(rest_of(rest)),
        ["checkins", ..] => checkins::run(),
        // Programs of their own, which `checkins` starts.
        ["simulator", folder] => simulator::run(folder.as_ref()),
        ["static", folder] => statically::run(folder.as_ref()),
        _ => {
            eprintln!(
                "usage: measure containers|machines|assigned|hostd|checkins [--rest SECONDS]"
            );
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn rest_of(words: &[&str]) -> Duration {
    let seconds = match words {
        ["--rest", seconds] => seconds.parse().unwrap(),
        _ => 300,
    };
    Duration::from_secs(seconds)
}
