//! A program that runs: its process group, its end, its death with ours.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use crate::CmdError;

/// A started program. Dropping it kills its whole process group.
///
/// One that has ended is not reaped before its group was killed: until then the system gives its
/// id to nobody else, so that a signal to the group never reaches strangers.
#[derive(Debug)]
pub struct Running {
    pub(crate) child: Child,
    pub(crate) line: String,
    ended: Option<ExitStatus>,
    reaped: bool,
}

impl Running {
    /// Its process id, which is its process group's id too.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The program's own handle, to take its pipes from.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Waits until it ends or `timeout` has passed; `None` when it still runs.
    ///
    /// # Errors
    /// The system cannot wait for it.
    pub fn wait_for(&mut self, timeout: Duration) -> Result<Option<ExitStatus>, CmdError> {
        if self.ended.is_none() && self.poll_end(timeout).map_err(|source| self.lost(source))? {
            self.ended = Some(self.status().map_err(|source| self.lost(source))?);
        }
        Ok(self.ended)
    }

    /// Asks its process group to end (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Kills its process group and reaps it.
    pub fn kill(&mut self) {
        // Signalled even after the program itself ended: its own children may live on.
        self.signal(Signal::KILL);
        if !self.reaped {
            let status = self.child.wait().unwrap_or_else(|_| ExitStatus::from_raw(9));
            self.ended.get_or_insert(status);
            self.reaped = true;
        }
    }

    pub(crate) fn lost(&self, source: io::Error) -> CmdError {
        CmdError::Lost { line: self.line.clone(), source }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) {
        if !self.reaped
            && let Some(pid) = self.pid()
        {
            // The group may be gone already, which is what was wanted.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// How it ended, without reaping it.
    fn status(&self) -> io::Result<ExitStatus> {
        let pid = self.pid().ok_or_else(|| io::Error::other("process id out of range"))?;
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status =
            waitid(WaitId::Pid(pid), options)?.ok_or_else(|| io::Error::other("no status"))?;
        // The form that wait(2) gives: the code above the signal.
        let raw = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => code << 8,
            (None, signal) => signal.unwrap_or(9) | if status.dumped() { 0x80 } else { 0 },
        };
        Ok(ExitStatus::from_raw(raw))
    }

    /// Whether it ended within `timeout`. Does not reap, so its id stays its own meanwhile.
    fn poll_end(&self, timeout: Duration) -> io::Result<bool> {
        let pid = self.pid().ok_or_else(|| io::Error::other("process id out of range"))?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        match poll(&mut fds, Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) fn start(
    command: &mut std::process::Command,
    line: String,
) -> Result<Running, CmdError> {
    command.process_group(0);
    die_with_parent(command);
    let child = command.spawn().map_err(|source| CmdError::Start { line: line.clone(), source })?;
    Ok(Running { child, line, ended: None, reaped: false })
}

/// A caller that is killed must not leave its programs behind.
#[expect(unsafe_code, reason = "std offers no safe way to run code between fork and exec")]
fn die_with_parent(command: &mut std::process::Command) {
    let set = || {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        Ok(())
    };
    // SAFETY: the closure makes one prctl call, which is async-signal-safe, and allocates nothing.
    unsafe { command.pre_exec(set) };
}
