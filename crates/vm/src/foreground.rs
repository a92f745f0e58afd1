//! A machine on this terminal: the process becomes QEMU.
//!
//! Nobody is left to tidy up afterwards, so nothing is written to a file: what QEMU needs lies in
//! memory, in handles that it inherits.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use basalt_cmd::Cmd;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::arguments::{Console, Surroundings, arguments};
use crate::machine::Machine;
use crate::{Accel, QEMU, VmError};

/// A machine that is ready to take this process and its terminal.
#[must_use]
pub struct Foreground {
    cmd: Cmd,
    /// What QEMU inherits; closed when it cannot be started.
    _handles: Vec<OwnedFd>,
}

impl Foreground {
    /// Becomes the machine: on success nothing returns, and the process ends with the guest.
    /// Ctrl-A X ends the machine.
    #[must_use]
    pub fn exec(self) -> VmError {
        VmError::program(self.cmd.exec())
    }
}

pub(crate) fn prepare(machine: &Machine) -> Result<Foreground, VmError> {
    let machine = Machine { shell: false, ..machine.with_full_paths()? };
    let variables = machine.firmware.variables()?;
    let mut handles =
        vec![in_memory(&fs::read(&variables).map_err(VmError::file("read", &variables))?)?];
    let mut strings = Vec::new();
    for string in machine.strings() {
        let handle = in_memory(string.as_bytes())?;
        strings.push(path(&handle).display().to_string());
        handles.push(handle);
    }
    let variables = handles.first().map(path).unwrap_or_default();
    let around = Surroundings {
        accel: Accel::of_this_host()?.arguments(),
        code: &machine.firmware.code()?,
        variables: &variables,
        strings: &strings,
        forwards: &[],
        console: Console::Terminal,
    };
    let cmd = Cmd::new(QEMU).args(arguments(&machine, &around));
    Ok(Foreground { cmd, _handles: handles })
}

/// A file without a name that the next program inherits.
fn in_memory(bytes: &[u8]) -> Result<OwnedFd, VmError> {
    let failed = || VmError::file("make a file in", "memory");
    let handle =
        memfd_create("basalt", MemfdFlags::empty()).map_err(|error| failed()(error.into()))?;
    fs::write(path(&handle), bytes).map_err(failed())?;
    Ok(handle)
}

fn path(handle: &OwnedFd) -> PathBuf {
    Path::new("/proc/self/fd").join(handle.as_raw_fd().to_string())
}
