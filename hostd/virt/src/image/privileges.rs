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
