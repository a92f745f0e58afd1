//! What processes take: memory by their proportional share (PSS), processor time by the scheduler's
//! own account.

use std::fs;
use std::time::Duration;

/// MiB of a process; none where it is gone.
pub(crate) fn pss_mib(pid: u32) -> Option<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kib / 1024.0)
}

/// Processor time of every thread of a process that there is now (`schedstat`'s first field, in
/// nanoseconds).
pub(crate) fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let times = tasks.filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(times.sum())
}

/// Ids of every process with this name in this place.
pub(crate) fn named(name: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let is_it = |pid: &u32| {
        let name_there = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let network = |of: &str| fs::read_link(format!("/proc/{of}/ns/net")).ok();
        name_there.trim() == name && network(&pid.to_string()) == network("thread-self")
    };
    pids.filter(is_it).collect()
}
