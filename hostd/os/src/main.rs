//! `hostd-os`: puts another release into the idle slot of this host, and goes back. A process of
//! its own, there only while that is done: libostree is large, and a call into it cannot be
//! cancelled. systemd starts it for each connection to its socket, with the connection as its
//! stdin and stdout; `hostctl os` is who asks. In reading order:

mod serve;

mod status;

mod kargs;
mod progress;
mod reset;
mod settle;
mod update;
mod way_back;

mod disk;
mod host;
mod release;
mod room;
mod standing;
mod trial;

mod choice;
mod esp;
mod etc;
mod journal;
mod mend;

use std::io::{stdin, stdout};
use std::process::ExitCode;

use jiff::Timestamp;

fn main() -> ExitCode {
    match std::env::args_os().nth(1) {
        None => (),
        Some(word) if word == "--version" || word == "-V" => {
            println!("hostd-os {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Some(word) if word == "mend-esp" => {
            return exit(mend::mend_esp(std::env::args_os().nth(2)));
        }
        Some(word) if word == "refresh-etc" => return exit(serve::refresh_etc()),
        Some(word) if word == "factory-reset" => {
            return exit(reset::machine::factory_reset(now()));
        }
        Some(_) => {
            eprintln!("error: systemd starts this program; `hostctl os` is for people");
            return ExitCode::FAILURE;
        }
    }
    serve::give_up_on_who_does_not_listen(&stdout());
    exit(serve::serve(stdin(), stdout(), now()))
}

fn exit(done: anyhow::Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", basalt_explain::explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// To the second: it is for people, and nothing happens faster here.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}
