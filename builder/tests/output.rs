//! `basalt` and who reads what it prints.

use std::fs::File;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use basalt_cmd::Cmd;

/// Runs a command that prints, into `stdout`.
fn print_into(stdout: Stdio) -> ExitStatus {
    let cmd = Cmd::new(env!("CARGO_BIN_EXE_basalt")).args(["completion", "bash"]);
    let mut running = cmd.spawn(Stdio::null(), stdout, Stdio::null()).expect("basalt runs");
    let ended = running.wait_for(Duration::from_secs(30)).expect("it is ours");
    ended.expect("it ends")
}

#[test]
fn who_mistypes_can_mend_it_and_who_asks_for_help_gets_it() {
    for (args, code) in [(&["biuld"][..], 1), (&["build", "--lock"], 1), (&["plan", "--help"], 0)] {
        let cmd = Cmd::new(env!("CARGO_BIN_EXE_basalt")).args(args);
        let output = cmd.deadline(Duration::from_secs(30)).output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert_eq!(output.stdout.is_empty(), code != 0, "{args:?}");
    }
}

#[test]
fn a_reader_that_left_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert!(print_into(writer.into()).success());
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = File::options().write(true).open("/dev/full").expect("a device that is full");
    assert_eq!(print_into(full.into()).code(), Some(1));
}
