//! A root shell in the guest, on its second serial port, with nothing of it in the image.
//!
//! The guest's end is a unit that a credential brings. It says when it is up and under which boot
//! id; before that nothing is sent, because firmware and loader would take it for keys.

mod framing;

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::console::ConsoleLog;
use crate::deadline::Deadline;
use crate::error::{passed, silent};
use crate::{Patience, VmError, socket};

/// Between two looks at whether the console still moves.
const LOOK: Duration = Duration::from_secs(1);

pub use framing::Answer;
pub(crate) use framing::credentials;

/// A connection to the guest's shell.
#[derive(Debug)]
pub struct Shell {
    stream: UnixStream,
    log: ConsoleLog,
    received: Vec<u8>,
    /// The id of the boot whose shell answered last.
    boot: Option<String>,
    /// How many commands were sent.
    sent: u32,
}

impl Shell {
    pub(crate) fn new(stream: UnixStream, log: ConsoleLog) -> Self {
        Self { stream, log, received: Vec::new(), boot: None, sent: 0 }
    }

    /// Runs a command by `/bin/sh -c` as root, without stdin, once the shell is up. `time` is for
    /// both. Each command is a shell of its own: no folder or variable stays. What it leaves
    /// running in the background must not keep its output.
    ///
    /// # Errors
    /// No answer in time (the guest may still be busy with it then), the guest starts anew before
    /// it answers, or QEMU has ended.
    pub fn run(&mut self, command: &str, time: Duration) -> Result<Answer, VmError> {
        let deadline = Deadline::after(time);
        self.wait_up(&deadline)?;
        self.sent += 1;
        let number = self.sent;
        self.received.clear();
        self.send(&framing::request(command, number), command)?;
        let what = format!("answer to `{command}`");
        // A command may be at work for long without a word.
        self.until(&deadline, time, &what, |received| match framing::answer(received, number) {
            Some(answer) => Some(Ok(answer)),
            None => {
                framing::boot(received).map(|_| Err("the shell started anew before it".to_owned()))
            }
        })?
        .map_err(|why| self.waited(&what, why))
    }

    /// Waits until the shell of the current boot is up; returns at once when it is.
    ///
    /// # Errors
    /// It does not come up in time, or QEMU has ended.
    pub fn wait_until_up(&mut self, time: Duration) -> Result<(), VmError> {
        self.wait_up(&Deadline::after(time))
    }

    /// Asks the guest's systemd to reboot, and waits until the shell of the next boot is up.
    ///
    /// # Errors
    /// No shell comes up in time before or after, or QEMU has ended.
    pub fn reboot(&mut self, time: Duration) -> Result<(), VmError> {
        let deadline = Deadline::after(time);
        self.wait_up(&deadline)?;
        self.send("systemctl --no-block reboot\n", "reboot")?;
        self.wait_next_boot(&deadline)
    }

    /// Waits until the shell is up in another boot than the one in which it answered last: after
    /// a reset, or where the guest reboots by itself.
    ///
    /// # Errors
    /// It does not come up in time, or QEMU has ended.
    pub fn wait_for_reboot(&mut self, time: Duration) -> Result<(), VmError> {
        self.wait_next_boot(&Deadline::after(time))
    }

    /// The id of the boot whose shell answered last (`/proc/sys/kernel/random/boot_id`).
    #[must_use]
    pub fn boot_id(&self) -> Option<&str> {
        self.boot.as_deref()
    }

    fn wait_up(&mut self, deadline: &Deadline) -> Result<(), VmError> {
        if self.boot.is_none() { self.wait_next_boot(deadline) } else { Ok(()) }
    }

    /// A boot that says nothing for long is waited for no longer, whatever is left.
    fn wait_next_boot(&mut self, deadline: &Deadline) -> Result<(), VmError> {
        self.wait_next_boot_within(deadline, Patience::BOOT.silence)
    }

    fn wait_next_boot_within(
        &mut self,
        deadline: &Deadline,
        silence: Duration,
    ) -> Result<(), VmError> {
        let last = self.boot.clone();
        let boot = self.until(deadline, silence, "root shell in the guest", |received| {
            framing::boot(received).filter(|boot| Some(*boot) != last.as_deref()).map(str::to_owned)
        })?;
        tracing::debug!(%boot, "the shell is up");
        self.boot = Some(boot);
        Ok(())
    }

    /// Reads until `find` finds something in all that came since the last command. Gives up, too,
    /// once neither the shell nor the console has said anything for `silence`.
    fn until<T>(
        &mut self,
        deadline: &Deadline,
        silence: Duration,
        what: &str,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T, VmError> {
        let (mut said, mut moved) = (self.said(), Instant::now());
        loop {
            if let Some(found) = find(&String::from_utf8_lossy(&self.received)) {
                return Ok(found);
            }
            let Some(left) = deadline.left() else {
                return Err(self.waited(what, self.what_came(passed(deadline.given))));
            };
            socket::receive(&mut self.stream, left.min(LOOK), &mut self.received)
                .map_err(|error| self.lost(what, &error))?;
            if self.said() != said {
                (said, moved) = (self.said(), Instant::now());
            } else if moved.elapsed() >= silence {
                return Err(self.waited(what, self.what_came(silent(silence))));
            }
        }
    }

    /// How much the shell and the console have said.
    fn said(&self) -> (usize, u64) {
        (self.received.len(), self.log.length())
    }

    fn send(&mut self, text: &str, command: &str) -> Result<(), VmError> {
        tracing::debug!(command, "sent to the guest");
        self.stream.write_all(text.as_bytes()).map_err(|error| self.lost(command, &error))
    }

    fn what_came(&self, why: String) -> String {
        let came = crate::console::plain(&String::from_utf8_lossy(&self.received));
        let came = crate::console::last_lines(&came, 5);
        if came.is_empty() { why } else { format!("{why}, it said `{came}`") }
    }

    fn lost(&self, what: &str, error: &io::Error) -> VmError {
        self.waited(what, format!("the machine ended ({error})"))
    }

    fn waited(&self, what: &str, why: String) -> VmError {
        let (tail, log) = (self.log.tail(), self.log.path().to_owned());
        VmError::Waited { what: what.to_owned(), why, tail, log }
    }
}

#[cfg(test)]
mod tests;
