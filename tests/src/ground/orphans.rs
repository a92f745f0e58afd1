//! What a killed engine leaves running comes to us, and ends with the test.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, waitpid};

use crate::until::until;

/// Makes this process the parent of everything below it whose own parent ends.
pub(super) fn adopt() -> std::io::Result<()> {
    set_child_subreaper(Some(rustix::process::getpid())).map_err(Into::into)
}

/// Kills every process that descends from this one, until there is none.
pub(super) fn end() {
    until(Duration::from_secs(20), "all processes below this one end", || {
        let all = descendants();
        for pid in &all {
            let _ = kill_process(*pid, Signal::KILL);
            let _ = waitpid(Some(*pid), WaitOptions::NOHANG);
        }
        all.is_empty().then_some(())
    });
}

/// Reaps what ended after its parent did. An engine that starts again asks whether the processes
/// that it remembers are there, and takes a dead one that nobody reaped for one that lives.
pub(crate) fn reap() {
    for pid in descendants() {
        if state(pid) == Some('Z') {
            // Only children of this process can be waited for; others are their parents' business.
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

/// Every process below this one.
pub(crate) fn descendants() -> Vec<Pid> {
    let own = rustix::process::getpid();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let parents: Vec<(Pid, Pid)> = entries
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            Some((pid, parent(pid)?))
        })
        .collect();
    let mut found = vec![own];
    let mut seen = 0;
    while seen < found.len() {
        let of = found[seen];
        found.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(pid, _)| *pid));
        seen += 1;
    }
    found.split_off(1)
}

fn parent(pid: Pid) -> Option<Pid> {
    Pid::from_raw(stat(pid)?.split_whitespace().nth(1)?.parse().ok()?)
}

fn state(pid: Pid) -> Option<char> {
    stat(pid)?.trim_start().chars().next()
}

/// The fields of `/proc/PID/stat` from the third on (proc(5)); the second one may hold anything in
/// brackets.
fn stat(pid: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    Some(stat[stat.rfind(')')? + 1..].to_owned())
}
