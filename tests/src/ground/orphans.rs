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

fn descendants() -> Vec<Pid> {
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

/// The fourth field of `/proc/PID/stat` (proc(5)); the second one may hold anything in brackets.
fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    let fields = &stat[stat.rfind(')')? + 1..];
    Pid::from_raw(fields.split_whitespace().nth(1)?.parse().ok()?)
}
