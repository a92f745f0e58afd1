//! A program that runs: its process group, its end, its death with ours.

use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process_group, pidfd_open, waitid,
};

use crate::CmdError;

/// How long a program may take to die once it was killed. The kernel does it at once, unless a disk
/// holds it, or it is another user's and we may not.
const DEATH: Duration = Duration::from_secs(10);
/// How often it is looked at where the kernel cannot tell of its end.
const TICK: Duration = Duration::from_millis(10);

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
    /// It was killed and does not die: nobody waits for it any more.
    given_up: bool,
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
        // The group may be gone already, which is what was wanted.
        let _ = self.signal(Signal::TERM);
    }

    /// Kills its process group and reaps it. One that does not die is left behind, and logged.
    pub fn kill(&mut self) {
        if let Err(error) = self.try_kill() {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(cause, "{error}");
        }
    }

    /// Kills its process group and reaps it.
    ///
    /// # Errors
    /// It does not die, as one of another user does not for somebody without `CAP_KILL`. It is left
    /// behind; calling this again does nothing.
    pub fn try_kill(&mut self) -> Result<(), CmdError> {
        if self.reaped || self.given_up {
            return Ok(());
        }
        // Signalled even after the program itself ended: its own children may live on.
        let signalled = self.signal(Signal::KILL);
        match self.death() {
            Some(status) => {
                self.ended.get_or_insert(status);
                self.reaped = true;
                Ok(())
            }
            None => {
                self.given_up = true;
                let late = || io::Error::from(io::ErrorKind::TimedOut);
                let source = signalled.err().unwrap_or_else(late);
                Err(CmdError::NotKilled { line: self.line.clone(), source })
            }
        }
    }

    /// How it ended, once it has; none where it does not.
    fn death(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + DEATH;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.poll_end(left).is_err() {
                thread::sleep(TICK.min(left));
            }
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() >= deadline => return None,
                Ok(None) => (),
                // It is nobody's child any more.
                Err(_) => return Some(ExitStatus::from_raw(9)),
            }
        }
    }

    pub(crate) fn lost(&self, source: io::Error) -> CmdError {
        CmdError::Lost { line: self.line.clone(), source }
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match self.pid() {
            Some(pid) if !self.reaped => Ok(kill_process_group(pid, signal)?),
            _ => Ok(()),
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
    Ok(Running { child, line, ended: None, reaped: false, given_up: false })
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
