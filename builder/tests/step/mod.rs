//! Kills a program at each step that somebody else could see.

use std::os::unix::process::ExitStatusExt;

use basalt_cmd::Cmd;

const KILLED: i32 = 9;

/// Runs `cmd` and kills it before its main thread makes the system call of this name and number,
/// from 1 on; strace counts each name by itself. `false` when it came to its end in fewer.
pub(crate) fn is_killed_at(call: &str, number: usize, cmd: Cmd) -> bool {
    let inject = format!("inject={call}:signal=KILL:when={number}");
    let trace = format!("trace={call}");
    let strace = ["strace", "-qqq", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    let output = cmd.behind(strace).output().expect("strace runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let is_killed = output.status.signal() == Some(KILLED);
    assert!(is_killed || output.status.success(), "{call} {number}: {said}");
    is_killed
}
