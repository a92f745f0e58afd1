//! Processes of a container that its engine has forgotten: one that is killed within a start, after
//! its runtime had begun and before it wrote that down, takes the container for one that never ran.
//! Made anew beside them, the workload would run twice; removed, it would run on for ever. Blocks.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// How long they may take to be gone once they are killed, and how often that is looked at.
const DEATH_DEADLINE: Duration = Duration::from_secs(10);
const DEATH_TICK: Duration = Duration::from_millis(50);

/// Kills all that is left of the container with this full id, and waits until it is gone.
///
/// # Errors
/// Processes cannot be looked at or killed, or do not end.
pub(super) fn end(id: &str) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        let left = left_of(id)?;
        if left.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > DEATH_DEADLINE {
            return Err(io::Error::other("it was killed and does not end"));
        }
        tracing::warn!(container = id, ?left, "its engine has forgotten what runs of it: killed");
        for pid in left {
            kill(pid, id)?;
        }
        std::thread::sleep(DEATH_TICK);
    }
}

/// Those of these full ids that have a process, in one look at all processes.
///
/// # Errors
/// Processes cannot be listed.
pub(super) fn that_run(ids: &BTreeSet<String>) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for pid in processes()? {
        let cgroup = of_process(pid, "cgroup");
        let its = groups(&cgroup).filter(|id| ids.contains(*id)).map(str::to_owned);
        let its: BTreeSet<String> = its.collect();
        if !its.is_empty() && !is_dead(&of_process(pid, "status")) {
            found.extend(its);
        }
    }
    Ok(found)
}

fn left_of(id: &str) -> io::Result<Vec<i32>> {
    Ok(processes()?.filter(|pid| is_of(*pid, id)).collect())
}

fn processes() -> io::Result<impl Iterator<Item = i32>> {
    let entries = fs::read_dir("/proc")?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

/// A file of a process; nothing where that ended meanwhile.
fn of_process(pid: i32, name: &str) -> String {
    let path = Path::new("/proc").join(pid.to_string()).join(name);
    fs::read_to_string(path).unwrap_or_default()
}

/// Whether a process is alive and in the container's group.
fn is_of(pid: i32, id: &str) -> bool {
    names(&of_process(pid, "cgroup"), id) && !is_dead(&of_process(pid, "status"))
}

fn names(cgroup: &str, id: &str) -> bool {
    // An empty id would be that of everybody (cgroups(7): `0::/`).
    !id.is_empty() && groups(cgroup).any(|one| one == id)
}

/// Ids of which `/proc/PID/cgroup` may name the group: `ID` by dockerd, `libpod-ID` by podman, with
/// `docker-` and `.scope` where systemd makes it. podman's own process beside it, in
/// `libpod-conmon-ID`, is not of the container.
fn groups(cgroup: &str) -> impl Iterator<Item = &str> {
    cgroup.lines().flat_map(|line| line.split('/').skip(1)).map(|part| {
        let part = part.strip_suffix(".scope").unwrap_or(part);
        let bare = part.strip_prefix("docker-").or_else(|| part.strip_prefix("libpod-"));
        bare.unwrap_or(part)
    })
}

fn is_dead(status: &str) -> bool {
    status.lines().any(|line| line.starts_with("State:\tZ") || line.starts_with("State:\tX"))
}

/// By a handle, so that nobody else is killed who has the number by now.
fn kill(pid: i32, id: &str) -> io::Result<()> {
    let Some(number) = Pid::from_raw(pid) else { return Ok(()) };
    let handle = match pidfd_open(number, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        other => other?,
    };
    if !is_of(pid, id) {
        return Ok(());
    }
    match pidfd_send_signal(handle, Signal::KILL) {
        Err(Errno::SRCH) => Ok(()),
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4d0c7a0e55";

    fn check(cgroup: &str, expected: bool) {
        assert_eq!(names(cgroup, ID), expected, "{cgroup}");
    }

    #[test]
    fn a_process_of_a_container_is_told_by_its_group_alone() {
        check(&format!("9:memory:/docker/{ID}\n0::/\n"), true);
        check(&format!("0::/system.slice/docker-{ID}.scope"), true);
        check(&format!("0::/machine.slice/libpod-{ID}.scope/container"), true);
        check(&format!("1:name=systemd:/libpod_parent/libpod-{ID}"), true);
        check(&format!("0::/machine.slice/libpod-conmon-{ID}.scope"), false);
        check(&format!("0::/docker/{ID}0"), false);
        check("0::/\n1:cpu:/user.slice", false);
        assert!(!names("0::/", ""));
    }
}
