//! QEMU's control socket: power, reset, and what happens to the machine.
//!
//! The protocol: a greeting, then one JSON object a line; events come between answers
//! (QEMU's `docs/interop/qmp-spec.txt`).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::deadline::Deadline;
use crate::{VmError, socket};

/// How long QEMU may take to answer; it is slow only where the host is.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// A connection to a running QEMU.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    /// Bytes that are not a whole line yet.
    received: Vec<u8>,
    /// Events that nobody has asked for yet, oldest first.
    events: VecDeque<Value>,
}

impl Qmp {
    /// Greets QEMU on a connected socket.
    pub(crate) fn new(stream: UnixStream) -> Result<Self, VmError> {
        let mut qmp = Self { stream, received: Vec::new(), events: VecDeque::new() };
        qmp.next("the greeting", &Deadline::after(ANSWER_DEADLINE))?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns its result, which is `{}` for most.
    ///
    /// # Errors
    /// QEMU refuses it, has ended, or does not answer within 30 s.
    #[expect(clippy::needless_pass_by_value, reason = "a call reads best with `json!` in it")]
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, VmError> {
        let line = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.stream.write_all(line.as_bytes()).map_err(lost(command))?;
        let deadline = Deadline::after(ANSWER_DEADLINE);
        loop {
            let mut message = self.next(command, &deadline)?;
            if let Some(result) = message.get_mut("return") {
                return Ok(result.take());
            }
            if let Some(error) = message.get("error") {
                return Err(refused(command, error));
            }
            self.keep(message);
        }
    }

    /// Presses the power button: a guest that listens shuts down.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn power_down(&mut self) -> Result<(), VmError> {
        self.execute("system_powerdown", json!({})).map(drop)
    }

    /// Presses the reset button: the guest is not asked.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn reset(&mut self) -> Result<(), VmError> {
        self.execute("system_reset", json!({})).map(drop)
    }

    /// Pulls the plug.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn quit(&mut self) -> Result<(), VmError> {
        self.execute("quit", json!({})).map(drop)
    }

    /// Writes that the guest had done to a disk, by its number in the machine, since it was switched
    /// on.
    ///
    /// # Errors
    /// As [`execute`](Self::execute); or there is no such disk.
    pub fn writes(&mut self, disk: usize) -> Result<u64, VmError> {
        let disks = self.execute("query-blockstats", json!({}))?;
        let name = format!("disk{disk}");
        let mut disks = disks.as_array().into_iter().flatten();
        let found = disks.find(|it| it["device"] == name.as_str() || it["qdev"] == name.as_str());
        let writes = found.and_then(|it| it["stats"]["wr_operations"].as_u64());
        writes.ok_or_else(|| lost(&name)(io::Error::other("QEMU counts no writes of it")))
    }

    /// Waits for an event such as `RESET` or `SHUTDOWN` that nobody has taken yet, and takes it.
    /// The object has `event`, `timestamp` and mostly `data`.
    ///
    /// # Errors
    /// It does not come in time, or QEMU has ended.
    pub fn wait_for_event(&mut self, name: &str, time: Duration) -> Result<Value, VmError> {
        let deadline = Deadline::after(time);
        loop {
            if let Some(at) = self.events.iter().position(|event| event["event"] == name)
                && let Some(event) = self.events.remove(at)
            {
                return Ok(event);
            }
            let message = self.next(name, &deadline)?;
            self.keep(message);
        }
    }

    /// Forgets the events that came so far.
    pub fn forget_events(&mut self) {
        while let Some(line) = self.arrived() {
            self.received.drain(..line);
        }
        self.events.clear();
    }

    fn keep(&mut self, message: Value) {
        if message.get("event").is_some() {
            tracing::debug!(%message, "event");
            self.events.push_back(message);
        }
    }

    /// The length of a whole line that has arrived.
    fn arrived(&mut self) -> Option<usize> {
        // What fails here fails again at the next read that waits, with an error.
        while socket::receive(&mut self.stream, Duration::ZERO, &mut self.received).unwrap_or(false)
        {
        }
        line_length(&self.received)
    }

    fn next(&mut self, doing: &str, deadline: &Deadline) -> Result<Value, VmError> {
        loop {
            if let Some(length) = line_length(&self.received) {
                let line: Vec<u8> = self.received.drain(..length).collect();
                return serde_json::from_slice(&line)
                    .map_err(|error| lost(doing)(io::Error::other(error)));
            }
            let Some(left) = deadline.left() else {
                return Err(VmError::Unanswered { what: doing.to_owned(), time: deadline.given });
            };
            socket::receive(&mut self.stream, left, &mut self.received).map_err(lost(doing))?;
        }
    }
}

/// The length of the first line with its end, if it is whole.
fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1)
}

fn lost(doing: &str) -> impl FnOnce(io::Error) -> VmError {
    move |source| VmError::Control { doing: doing.to_owned(), source }
}

fn refused(command: &str, error: &Value) -> VmError {
    let reason = error["desc"].as_str().unwrap_or("no reason given").to_owned();
    VmError::Refused { command: command.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::thread;

    use super::*;

    /// A QEMU that says the first of these unasked, each other one after a line that it reads,
    /// and then ends.
    fn connected<const COUNT: usize>(said: [&'static str; COUNT]) -> Qmp {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            for (number, text) in said.iter().enumerate() {
                if number > 0 {
                    let _ = lines.next();
                }
                // Whoever asked may be gone by then.
                let _ = theirs.write_all(text.as_bytes());
            }
        });
        Qmp::new(ours).unwrap()
    }

    const GREETING: &str = "{\"QMP\": {}}\r\n";
    const DONE: &str = "{\"return\": {}}\r\n";

    #[test]
    fn an_answer_is_found_among_events_and_these_are_kept() {
        let answer = "{\"event\": \"RESET\", \"data\": {\"guest\": true}}\r\n{\"return\": {\"running\": true}}\r\n";
        let mut qmp = connected([GREETING, DONE, answer]);
        assert_eq!(qmp.execute("query-status", json!({})).unwrap(), json!({"running": true}));
        let event = qmp.wait_for_event("RESET", Duration::ZERO).unwrap();
        assert_eq!(event["data"]["guest"], true);
    }

    #[test]
    fn a_refusal_says_what_qemu_said() {
        let refusal =
            "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no such command\"}}\n";
        let error = connected([GREETING, DONE, refusal]).execute("fly", json!({})).unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused `fly`: no such command");
    }

    #[test]
    fn a_qemu_that_ends_is_an_error_and_no_hang() {
        let error = connected([GREETING, DONE]).wait_for_event("SHUTDOWN", Duration::from_secs(60));
        assert!(matches!(error, Err(VmError::Control { .. })), "{error:?}");
    }

    #[test]
    fn an_event_that_does_not_come_says_which() {
        let mut qmp = connected([GREETING, DONE, DONE, DONE]);
        let error = qmp.wait_for_event("RESET", Duration::from_millis(10)).unwrap_err();
        assert_eq!(error.to_string(), "no `RESET` from QEMU: 0 s passed");
    }

    #[test]
    fn forgotten_events_are_not_waited_for() {
        let mut qmp = connected([GREETING, DONE, "{\"event\": \"RESET\"}\n{\"return\": {}}\n"]);
        qmp.reset().unwrap();
        qmp.forget_events();
        assert!(qmp.wait_for_event("RESET", Duration::from_millis(10)).is_err());
    }
}
