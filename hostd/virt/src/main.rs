//! `hostd-virt`: runs virtual machines through libvirt for `hostd`, which starts it with a socket
//! as its stdin when the first machine is needed. It ends when the socket closes; machines go on,
//! for they are libvirt's. In reading order:

mod server;

mod machines;
mod record;
mod store;

mod domain;
mod mark;
mod xml;

mod disk;
mod image;
mod seed;

mod accel;
mod clock;
mod lanes;
mod link;
mod pool;
mod raw;

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let words: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
    let failed = match words.as_slice() {
        [] => server::run().err().map(|error| format!("error: {error}")),
        [word] if *word == "fetch" => {
            return if image::fetch::run() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        [word, file] if *word == "check" => Some(image::become_checker(Path::new(file))),
        [word] if *word == "--version" || *word == "-V" => {
            println!("hostd-virt {}", env!("CARGO_PKG_VERSION"));
            None
        }
        _ => Some("error: hostd starts this program; nobody else has to".to_owned()),
    };
    match failed {
        None => ExitCode::SUCCESS,
        Some(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
