//! Makes this process one that can do nothing but what it is for, before it reads foreign bytes.

use std::io;

use rustix::process::{
    Gid, Resource, Rlimit, Signal, Uid, geteuid, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_uid};

/// The kernel's own number for who owns nothing, `nobody` in Debian.
const NOBODY: u32 = 65_534;
/// Address space: far more than a download or qemu-img touches, and no whole host's memory.
const MEMORY: u64 = 2 << 30;
/// Seconds of a processor: TLS over the largest image takes minutes.
const CPU_S: u64 = 3600;
/// Files and sockets at once.
const FILES: u64 = 64;

/// Gives up what this process need not have; it may write files of at most `max_file` bytes. Only
/// while it has one thread: others would keep what they have.
///
/// # Errors
/// The kernel refuses; the process must end then.
pub(super) fn give_up(max_file: u64) -> io::Result<()> {
    let limits = [
        (Resource::Fsize, max_file),
        (Resource::As, MEMORY),
        (Resource::Cpu, CPU_S),
        (Resource::Nofile, FILES),
        (Resource::Core, 0),
    ];
    for (resource, most) in limits {
        setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    set_no_new_privs(true)?;
    if geteuid().is_root() {
        set_thread_groups(&[])?;
        set_thread_gid(Gid::from_raw(NOBODY))?;
        set_thread_uid(Uid::from_raw(NOBODY))?;
    }
    // The kernel forgets that with the user: whoever started this process and dies takes it along.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use basalt_cmd::{Cmd, CmdError};

    const UNIT: &str = include_str!("../../../../images/base/usr/lib/systemd/system/hostd.service");
    const TEST: &str =
        "image::privileges::tests::who_became_nobody_is_killed_by_what_the_unit_leaves_us";
    const INSIDE: &str = "BASALT_TEST_BOUNDED";

    /// The unit's capabilities as `setpriv` says them.
    fn bounding_set() -> String {
        let line = UNIT.lines().find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
        let names = line.unwrap().split_whitespace().map(|name| name.strip_prefix("CAP_").unwrap());
        let kept: String = names.map(|name| format!(",+{}", name.to_lowercase())).collect();
        format!("--bounding-set=-all{kept}")
    }

    #[test]
    fn who_became_nobody_is_killed_by_what_the_unit_leaves_us() {
        if !rustix::process::geteuid().is_root() {
            assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "this test needs root");
            eprintln!("skipped: only root can become nobody");
            return;
        }
        if std::env::var_os(INSIDE).is_none() {
            let again = Cmd::new(std::env::current_exe().unwrap());
            let again = again.args(["--exact", TEST, "--nocapture"]).env(INSIDE, "1");
            again.behind(["setpriv", &bounding_set()]).run().unwrap();
            return;
        }
        let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
        let sleep = Cmd::new("sleep").arg("40").behind(nobody);
        let error = sleep.deadline(Duration::from_millis(500)).run().unwrap_err();
        assert!(matches!(error, CmdError::Deadline { .. }), "{error}");
    }
}
