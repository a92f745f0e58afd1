//! Real programs, real time: each test takes milliseconds.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};

use crate::{Cmd, CmdError};

fn sh(script: &str) -> Cmd {
    Cmd::new("/bin/sh").arg("-c").arg(script)
}

#[test]
fn output_of_both_streams_is_kept_apart() {
    let output = sh("echo out; echo err >&2").run().unwrap();
    assert_eq!(
        (output.stdout.as_slice(), output.stderr.as_slice()),
        (&b"out\n"[..], &b"err\n"[..])
    );
}

#[test]
fn a_failure_names_the_command_and_its_last_words() {
    let error = sh("echo no room >&2; exit 3").run().unwrap_err().to_string();
    assert!(
        error.contains("/bin/sh -c 'echo no room") && error.ends_with("exit status: 3: no room")
    );
}

#[test]
fn a_missing_program_is_a_start_error() {
    assert!(matches!(Cmd::new("/nonexistent/tool").run(), Err(CmdError::Start { .. })));
}

#[test]
fn a_redacted_argument_reaches_the_program_but_no_text() {
    let cmd = Cmd::new("/bin/sh").args(["-c", "echo $0 >&2; exit 1"]).redacted_arg("s3cret");
    assert!(!cmd.line().contains("s3cret"));
    let Err(CmdError::Failed { line, tail, .. }) = cmd.run() else { panic!("must fail") };
    assert!(!line.contains("s3cret") && tail == "s3cret");
}

#[test]
fn a_deadline_kills_the_whole_process_group() {
    let started = Instant::now();
    let error = sh("echo begun; sleep 60 & sleep 60").deadline(Duration::from_millis(200)).run();
    let Err(CmdError::Deadline { tail, .. }) = error else { panic!("must miss its deadline") };
    assert_eq!(tail, "begun");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_child_left_behind_does_not_hold_the_caller() {
    let started = Instant::now();
    sh("sleep 60 & exit 0").run().unwrap();
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn only_the_tail_of_a_long_output_is_kept() {
    let output = sh("seq 1 100000").output_cap(12).run().unwrap();
    assert_eq!(output.stdout, b"99999\n100000\n"[1..]);
}

#[test]
fn stdin_larger_than_a_pipe_arrives_whole() {
    let output = Cmd::new("wc").arg("-c").stdin(vec![b'x'; 1 << 20]).run().unwrap();
    assert_eq!(output.stdout_text().trim(), "1048576");
}

#[test]
fn lines_arrive_in_order_and_the_last_one_needs_no_newline() {
    let mut seen = Vec::new();
    sh("printf 'a\\nb\\rc'").run_with_lines(|line| seen.push(line.to_owned())).unwrap();
    assert_eq!(seen, ["a", "b", "c"]);
}

/// As on a busy machine: the program has long ended, and its output still waits to be looked at.
#[test]
fn what_a_program_printed_is_all_heard_however_slow_whoever_listens_is() {
    let mut heard = 0;
    let listen = |line: &str| {
        heard += line.len();
        std::thread::sleep(Duration::from_millis(30));
    };
    let script = "i=0; while [ $i -lt 100 ]; do printf '%2000s\\n' $i; i=$((i+1)); done";
    let output = sh(script).run_with_lines(listen).unwrap();
    assert_eq!((heard, output.stdout.len()), (200_000, 200_100));
}

#[test]
fn a_command_behind_another_keeps_its_arguments() {
    let cmd = Cmd::new("printf").args(["%s-", "a"]).redacted_arg("b").behind(["env", "X=1"]);
    assert_eq!(cmd.line(), "env X=1 printf %s- a ***");
    assert_eq!(cmd.run().unwrap().stdout_text(), "a-b-");
}

/// Its own id must stay taken: the group is signalled by it.
#[test]
fn a_program_that_ended_keeps_its_id_until_its_group_is_killed() {
    let null = Stdio::null;
    let mut running = sh("exit 3").spawn(null(), null(), null()).unwrap();
    let entry = format!("/proc/{}/stat", running.id());
    let ended = running.wait_for(Duration::from_secs(20)).unwrap();
    assert_eq!(ended.and_then(|status| status.code()), Some(3));
    assert!(Path::new(&entry).exists());
    running.kill();
    assert!(!Path::new(&entry).exists());
    assert_eq!(running.wait_for(Duration::ZERO).unwrap(), ended);
}

#[test]
fn a_program_that_a_signal_ended_says_which() {
    let output = sh("kill -TERM $$").output().unwrap();
    assert_eq!((output.status.code(), output.status.signal()), (None, Some(15)));
}

#[test]
fn what_a_program_left_behind_dies_with_its_handle() {
    let null = Stdio::null;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("id");
    let script = format!("sleep 60 & echo $! >'{}'", file.display());
    let mut running = sh(&script).spawn(null(), null(), null()).unwrap();
    assert!(running.wait_for(Duration::from_secs(20)).unwrap().is_some());
    let id = std::fs::read_to_string(&file).unwrap();
    let id = rustix::process::Pid::from_raw(id.trim().parse().unwrap()).unwrap();
    let orphan = pidfd_open(id, PidfdFlags::empty()).unwrap();
    drop(running);
    let limit = Timespec::try_from(Duration::from_secs(20)).unwrap();
    let ended = poll(&mut [PollFd::new(&orphan, PollFlags::IN)], Some(&limit)).unwrap();
    assert_eq!(ended, 1, "it still runs");
}

/// Runs this test once more in a process that may become another user and then kill nobody of that
/// user's; says whether this is that process. None where this cannot be.
fn is_without_cap_kill(test: &str) -> Option<bool> {
    const INSIDE: &str = "BASALT_TEST_WITHOUT_CAP_KILL";
    if std::env::var_os(INSIDE).is_some() {
        return Some(true);
    }
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "this test needs root");
        eprintln!("skipped: only root can give up to be root");
        return None;
    }
    let again = Cmd::new(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]);
    let bounded = ["setpriv", "--bounding-set=-all,+setuid,+setgid"];
    again.behind(bounded).env(INSIDE, "1").run().unwrap();
    Some(false)
}

#[test]
fn what_cannot_be_killed_is_an_error_and_no_wait_for_ever() {
    let test = "tests::what_cannot_be_killed_is_an_error_and_no_wait_for_ever";
    let Some(true) = is_without_cap_kill(test) else { return };
    let begun = Instant::now();
    let nobody = ["setpriv", "--reuid=65534", "--clear-groups"];
    let sleep = Cmd::new("sleep").arg("40").behind(nobody).deadline(Duration::from_millis(500));
    let error = sleep.run().unwrap_err();
    assert!(matches!(error, CmdError::NotKilled { .. }), "{error}");
    assert!(error.to_string().contains("sleep 40"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}
