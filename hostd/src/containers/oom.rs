//! Whether the kernel killed something in a container for want of memory.
//!
//! podman does not always tell (4.3 never does) and the container's cgroup, with its counters, goes
//! away with it. The kernel's log names the cgroup of each process that it kills so.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::time::{ClockId, clock_gettime};

/// Records that are looked through; the log has a fixed size and holds fewer.
const MAX_RECORDS: usize = 200_000;
/// Bytes of one record (`LOG_LINE_MAX` and its prefix).
const RECORD: usize = 8192;
/// Seconds by which the kernel's clock and the engine's may differ.
const TOLERANCE_S: i64 = 2;

/// Whether the log (`/dev/kmsg`) tells of a kill in this container since `since`, in seconds since
/// 1970. A log that cannot be read tells nothing. Blocking.
pub(super) fn killed(log: &Path, container: &str, since: i64) -> bool {
    // A boot's records count from its start; so does this clock, near enough.
    let started =
        clock_gettime(ClockId::Realtime).tv_sec - clock_gettime(ClockId::Monotonic).tv_sec;
    let mut found = false;
    let read = each_record(log, |record| {
        found |= kill_in(record, container).is_some_and(|at| started + at >= since - TOLERANCE_S);
    });
    if let Err(error) = read {
        tracing::debug!(%error, "the kernel's log cannot be read");
    }
    found
}

fn each_record(log: &Path, mut each: impl FnMut(&str)) -> io::Result<()> {
    #[expect(clippy::cast_possible_wrap, reason = "flags of open(2) are few and low bits")]
    let flags = OFlags::NONBLOCK.bits() as i32;
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(log)?;
    let mut record = [0; RECORD];
    for _ in 0..MAX_RECORDS {
        match file.read(&mut record) {
            Ok(0) => return Ok(()),
            Ok(length) => each(&String::from_utf8_lossy(&record[..length])),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            // Records were overwritten before we came to them; the next read goes on behind.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// When, in seconds since the kernel started, a record tells of a kill in this container's cgroup.
fn kill_in(record: &str, container: &str) -> Option<i64> {
    let (prefix, text) = record.split_once(';')?;
    let fields = text.strip_prefix("oom-kill:")?;
    let of_container = |path: &str| !container.is_empty() && path.contains(container);
    let is_in_it = fields.lines().next()?.split(',').any(|field| {
        let path = field.strip_prefix("task_memcg=").or_else(|| field.strip_prefix("oom_memcg="));
        path.is_some_and(of_container)
    });
    let microseconds: i64 = prefix.split(',').nth(2)?.parse().ok()?;
    is_in_it.then_some(microseconds / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = "6,1234,2352707855,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),\
        cpuset=aaaa,mems_allowed=0,oom_memcg=/docker/bbbb,task_memcg=/docker/bbbb/x,task=tail,\
        pid=4356,uid=0\n";

    #[test]
    fn a_kill_belongs_to_the_cgroup_that_it_names() {
        assert_eq!(kill_in(RECORD, "bbbb"), Some(2352));
        assert_eq!(kill_in(RECORD, "aaaa"), None);
        assert_eq!(kill_in(RECORD, ""), None);
    }

    #[test]
    fn other_records_and_damaged_ones_tell_nothing() {
        for record in
            ["", ";", "6,1,2,-;tail invoked oom-killer: bbbb", "6;oom-kill:task_memcg=bbbb"]
        {
            assert_eq!(kill_in(record, "bbbb"), None, "{record}");
        }
        for length in 0..RECORD.len() {
            kill_in(&RECORD[..length], "bbbb");
        }
    }

    #[test]
    fn a_log_is_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert!(!killed(&log, "bbbb", 0));
        std::fs::write(&log, RECORD).unwrap();
        assert!(killed(&log, "bbbb", 0));
        assert!(!killed(&log, "bbbb", i64::MAX));
    }

    #[test]
    fn fuzz_records_of_the_kernel() {
        let other = "6,1,2,-;tail invoked oom-killer: bbbb\n SUBSYSTEM=memory";
        basalt_fuzz::run(&[RECORD.as_bytes(), other.as_bytes()], |bytes| {
            let record = String::from_utf8_lossy(bytes);
            if kill_in(&record, "bbbb").is_some() {
                assert!(record.contains("_memcg=") && record.contains("bbbb"), "{record}");
            }
            assert_eq!(kill_in(&record, ""), None, "{record}");
        });
    }
}
