//! A machine that runs.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use basalt_cmd::Running;

use crate::console::ConsoleLog;
use crate::deadline::Deadline;
use crate::error::{passed, silent};
use crate::{Processor, Qmp, Shell, VmError, socket};

/// How long somebody who types stays connected.
const TYPING: Duration = Duration::from_secs(2);
/// Between two looks at the console.
const PAUSE: Duration = Duration::from_millis(200);

/// A running machine. Dropping it ends it, and what it wrote to a disk that is not kept.
#[derive(Debug)]
pub struct Vm {
    qemu: Running,
    log: ConsoleLog,
    /// Ports of this host and of the guest.
    forwards: Vec<(u16, u16)>,
    qmp: Qmp,
    shell: Option<Shell>,
    /// Bytes of the console's plain text that earlier waits have consumed.
    seen: usize,
}

/// How long somebody waits for something that takes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From the beginning of the wait.
    pub overall: Duration,
    /// From the last thing that the console showed.
    pub silence: Duration,
}

impl Patience {
    /// For a whole boot on a slow and busy host.
    pub const BOOT: Self =
        Self { overall: Duration::from_secs(600), silence: Duration::from_secs(180) };
}

impl Vm {
    pub(crate) fn new(
        qemu: Running,
        log: ConsoleLog,
        forwards: Vec<(u16, u16)>,
        qmp: Qmp,
        shell: Option<Shell>,
    ) -> Self {
        Self { qemu, log, forwards, qmp, shell, seen: 0 }
    }

    /// Everything that the console has shown so far, without terminal control sequences.
    #[must_use]
    pub fn console(&self) -> String {
        self.log.text()
    }

    /// The file into which the console goes, as it is shown.
    #[must_use]
    pub fn console_file(&self) -> &Path {
        self.log.path()
    }

    /// The file that the firmware keeps its variables in.
    #[must_use]
    pub fn variables_file(&self) -> PathBuf {
        self.console_file().with_file_name("variables")
    }

    /// Waits until the console shows `text` after what earlier waits have found.
    ///
    /// # Errors
    /// The patience ends or the machine does; the error shows the console's last lines.
    pub fn wait_for_console(&mut self, text: &str, patience: Patience) -> Result<(), VmError> {
        let overall = Deadline::after(patience.overall);
        let (mut length, mut moved) = (self.log.length(), Instant::now());
        loop {
            // Asked before the look, so that a machine's last words count.
            let ended = self.ended_within(PAUSE)?;
            if self.found(text) {
                return Ok(());
            }
            let now = self.log.length();
            if now != length {
                (length, moved) = (now, Instant::now());
            }
            let why = if ended {
                "the machine ended".to_owned()
            } else if overall.left().is_none() {
                passed(patience.overall)
            } else if moved.elapsed() >= patience.silence {
                silent(patience.silence)
            } else {
                continue;
            };
            return Err(self.waited(format!("`{text}` on the console"), why));
        }
    }

    /// Types on the console, as somebody at the serial port would.
    ///
    /// # Errors
    /// The machine ended.
    pub fn type_on_console(&mut self, keys: &str) -> Result<(), VmError> {
        let folder = self.log.path().parent().unwrap_or(Path::new("."));
        let path = folder.join("keys");
        let mut typing =
            socket::connect(folder, "keys").map_err(VmError::file("type into", &path))?;
        typing.write_all(keys.as_bytes()).map_err(VmError::file("type into", &path))?;
        // Who hung up before QEMU has looked would have typed nothing; what it shows meanwhile is
        // in the file, too.
        let until = Deadline::after(TYPING);
        while let Some(left) = until.left() {
            let shown = socket::receive(&mut typing, left, &mut Vec::new());
            shown.map_err(VmError::file("type into", &path))?;
        }
        Ok(())
    }

    /// Whether the machine is off, now or within `time`.
    ///
    /// # Errors
    /// The system cannot wait for it.
    pub fn ended_within(&mut self, time: Duration) -> Result<bool, VmError> {
        Ok(self.qemu.wait_for(time).map_err(VmError::Program)?.is_some())
    }

    /// Waits until the machine is off.
    ///
    /// # Errors
    /// It still runs after `time`; the error shows the console's last lines.
    pub fn wait_for_end(&mut self, time: Duration) -> Result<(), VmError> {
        if self.ended_within(time)? {
            return Ok(());
        }
        Err(self.waited("end of the machine".to_owned(), passed(time)))
    }

    /// What counts the processor time that it takes.
    #[must_use]
    pub fn processor(&self) -> Processor {
        Processor::new(self.qemu.id())
    }

    /// The port on 127.0.0.1 that leads to the guest's port.
    ///
    /// # Errors
    /// The machine was built without [`forward`](crate::Machine::forward) for it.
    pub fn forwarded(&self, guest_port: u16) -> Result<u16, VmError> {
        let forward = self.forwards.iter().find(|(_, guest)| *guest == guest_port);
        forward
            .map(|(host, _)| *host)
            .ok_or_else(|| VmError::NotAsked(format!("forwarded port {guest_port}")))
    }

    /// Its power switch and more.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// The root shell in the guest.
    ///
    /// # Errors
    /// The machine was built without [`shell`](crate::Machine::shell).
    pub fn shell(&mut self) -> Result<&mut Shell, VmError> {
        self.shell.as_mut().ok_or_else(|| VmError::NotAsked("shell".to_owned()))
    }

    /// The process id of QEMU.
    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.qemu.id()
    }

    /// Ends it at once, as a power cut does.
    pub fn kill(&mut self) {
        self.qemu.kill();
    }

    /// Looks for the text behind what was found before, and moves there.
    fn found(&mut self, text: &str) -> bool {
        let console = self.log.text();
        let Some(new) = console.get(self.seen..) else { return false };
        let Some(at) = new.find(text) else { return false };
        self.seen += at + text.len();
        true
    }

    fn waited(&self, what: String, why: String) -> VmError {
        VmError::Waited { what, why, tail: self.log.tail(), log: self.log.path().to_owned() }
    }
}
