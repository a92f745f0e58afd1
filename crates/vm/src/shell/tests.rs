//! Tests of the shell: the framing alone, then a whole conversation with this machine's own `sh`.

use std::os::fd::OwnedFd;
use std::process::Stdio;

use basalt_cmd::{Cmd, Running};

use super::framing::{answer, boot, request};
use super::*;

const TIME: Duration = Duration::from_secs(20);

fn check(received: &str, expected: Option<(i32, &str)>) {
    let expected = expected.map(|(code, text)| Answer { code, text: text.to_owned() });
    assert_eq!(answer(received, 7), expected, "of {received:?}");
}

#[test]
fn an_answer_lies_between_its_own_markers() {
    check("noise\nbasalt-begin-7\none\ntwo\n\nbasalt-end-7 0\n", Some((0, "one\ntwo")));
    check("basalt-begin-7\nno newline\nbasalt-end-7 3\n", Some((3, "no newline")));
    check("basalt-begin-7\n\nbasalt-end-7 0\n", Some((0, "")));
    check("basalt-begin-7\r\none\r\n\r\nbasalt-end-7 130\r\n", Some((130, "one")));
}

#[test]
fn an_answer_that_is_not_whole_or_of_another_command_is_none() {
    check("", None);
    check("basalt-begin-7\none\n", None);
    check("basalt-begin-7\none\n\nbasalt-end-7 1", None);
    check("basalt-begin-6\none\n\nbasalt-end-6 0\n", None);
}

#[test]
fn a_line_that_is_echoed_is_no_answer() {
    check(&request("true", 7), None);
    check(&format!("{}\r\n", request("true", 7)), None);
}

#[test]
fn the_boot_is_the_last_that_was_named_whole() {
    assert_eq!(boot("firmware\u{1b}[2J\r\nbasalt-shell-up a1\r\n"), Some("a1"));
    assert_eq!(boot("basalt-shell-up a1\nx\nbasalt-shell-up b2\n"), Some("b2"));
    assert_eq!(boot("basalt-shell-up a"), None);
}

#[test]
fn the_unit_says_what_the_other_end_waits_for() {
    let [(name, unit), (_, dropin)] = credentials();
    assert_eq!(name, "systemd.extra-unit.basalt-test-shell.service");
    assert!(dropin.contains("Wants=basalt-test-shell.service"));
    let said = unit.split_once("echo \"").unwrap().1.split_once('"').unwrap().0;
    assert_eq!(boot(&format!("{}\n", said.replace("$$boot", "c3"))), Some("c3"));
}

/// A shell whose guest is this machine's `sh`.
fn connected() -> (Shell, Running) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let stdio = || Stdio::from(OwnedFd::from(theirs.try_clone().unwrap()));
    let guest = "echo; echo 'basalt-shell-up a1'; exec sh /dev/stdin";
    // `sh` opens its script anew, which a socket does not allow: a pipe stands between.
    let guest = Cmd::new("sh").args(["-c", &format!("cat | sh -c {guest:?}")]);
    let guest = guest.spawn(stdio(), stdio(), Stdio::null()).unwrap();
    (Shell::new(ours, ConsoleLog::new("/nowhere/console".into())), guest)
}

#[test]
fn commands_run_one_after_the_other_with_their_codes() {
    let (mut shell, _guest) = connected();
    let mut run = |command: &str| {
        let answer = shell.run(command, TIME).unwrap();
        (answer.code, answer.text)
    };
    assert_eq!(run("echo out; echo err >&2; exit 3"), (3, "out\nerr".to_owned()));
    assert_eq!(run("printf '%s' \"it's\""), (0, "it's".to_owned()));
    assert_eq!(run("echo one\necho two"), (0, "one\ntwo".to_owned()));
    assert_eq!(run("(").0, 2, "a mistake must not end the shell");
    assert_eq!(run("echo 'basalt-end-9 0'; cat"), (0, "basalt-end-9 0".to_owned()));
    assert_eq!(shell.boot_id(), Some("a1"));
}

#[test]
fn a_command_without_an_answer_says_what_it_printed() {
    let (mut shell, _guest) = connected();
    shell.wait_until_up(TIME).unwrap();
    let error = shell.run("echo so far; sleep 60", Duration::from_millis(500)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no answer to `echo so far; sleep 60`"), "{text}");
    assert!(text.contains("so far`"), "{text}");
}

#[test]
fn a_guest_that_starts_anew_ends_the_wait() {
    let (mut shell, _guest) = connected();
    let again = "printf 'basalt-shell-%s b2\\n' up; sleep 60";
    let error = shell.run(again, TIME).unwrap_err().to_string();
    assert!(error.contains("started anew"), "{error}");
    shell.wait_for_reboot(TIME).unwrap();
    assert_eq!(shell.boot_id(), Some("b2"));
}

/// What a wait of so many seconds for a shell that never comes ends with.
fn never_up(seconds: u64, silence: Duration, console: &std::path::Path) -> String {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let mut shell = Shell::new(ours, ConsoleLog::new(console.to_owned()));
    let deadline = Deadline::after(Duration::from_secs(seconds));
    shell.wait_next_boot_within(&deadline, silence).unwrap_err().to_string()
}

#[test]
fn a_boot_that_says_nothing_is_given_up_before_its_time_with_what_the_console_had() {
    let dir = tempfile::tempdir().unwrap();
    let console = dir.path().join("console");
    std::fs::write(&console, "one\nthe kernel panics\n").unwrap();
    let error = never_up(600, Duration::from_millis(1500), &console);
    assert!(
        error.contains("root shell in the guest") && error.contains("silent for 1 s"),
        "{error}"
    );
    assert!(error.contains("the kernel panics"), "{error}");
    assert!(error.contains(&console.display().to_string()), "{error}");
}

#[test]
fn a_boot_that_goes_on_has_all_of_its_time_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let console = dir.path().join("console");
    std::fs::write(&console, "").unwrap();
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                let mut file = std::fs::File::options().append(true).open(&console).unwrap();
                file.write_all(b"on and on\n").unwrap();
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let error = never_up(4, Duration::from_millis(2500), &console);
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(error.contains("4 s passed"), "{error}");
    });
}
