//! Switches a machine on, with everything of it in one folder.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use basalt_cmd::{Cmd, Running};

use crate::arguments::{Console, Surroundings, arguments};
use crate::console::ConsoleLog;
use crate::deadline::Deadline;
use crate::machine::{Direct, Machine, Network};
use crate::{Accel, Disk, QEMU, Qmp, Shell, Vm, VmError, shell, smbios, socket};

/// How long QEMU may take to open its sockets; a second is much.
const START_DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks for a socket.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn start(machine: &Machine, folder: &Path) -> Result<Vm, VmError> {
    let machine = machine.with_full_paths()?;
    fs::create_dir_all(folder).map_err(VmError::file("make", folder))?;
    let forwards = forwards(&machine.network)?;
    let mut qemu = switch_on(&machine, folder, &forwards)?;
    let log = ConsoleLog::new(folder.join("console"));
    let qmp = Qmp::new(connect(&mut qemu, folder, "qmp")?)?;
    let shell = if machine.shell {
        Some(Shell::new(connect(&mut qemu, folder, "shell")?, log.clone()))
    } else {
        None
    };
    Ok(Vm::new(qemu, log, forwards, qmp, shell))
}

impl Machine {
    /// QEMU runs in another folder; and a disk that is missing is told before anything is made.
    pub(crate) fn with_full_paths(&self) -> Result<Self, VmError> {
        let full = |doing: &'static str, path: &PathBuf| {
            let mut byte = [0];
            let opened = File::open(path).and_then(|mut file| file.read(&mut byte));
            opened.and_then(|_| fs::canonicalize(path)).map_err(VmError::file(doing, path))
        };
        let disks = self.disks.iter().map(|disk| {
            let path = full("read the disk", &disk.path)?;
            Ok::<_, VmError>(Disk { path, ..disk.clone() })
        });
        let disks = disks.collect::<Result<_, _>>()?;
        let record = self.record.as_deref().map(empty).transpose()?;
        let direct = self.direct.clone().map(|direct| -> Result<Direct, VmError> {
            let (kernel, initrd) = (
                full("read the kernel", &direct.kernel)?,
                full("read the initrd", &direct.initrd)?,
            );
            Ok(Direct { kernel, initrd, ..direct })
        });
        Ok(Self { disks, record, direct: direct.transpose()?, ..self.clone() })
    }

    /// Its SMBIOS strings.
    pub(crate) fn strings(&self) -> Vec<String> {
        let mut credentials = self.credentials.clone();
        if self.shell {
            credentials.extend(shell::credentials());
        }
        let mut strings: Vec<String> =
            credentials.iter().map(|(name, text)| smbios::credential(name, text)).collect();
        if !self.kernel_arguments.is_empty() {
            strings.push(smbios::kernel_arguments(&self.kernel_arguments));
        }
        strings
    }
}

/// QEMU writes to a file that is there, and with a log of before it would be two in one.
fn empty(log: &Path) -> Result<PathBuf, VmError> {
    let made = File::create(log).and_then(|_| fs::canonicalize(log));
    made.map_err(VmError::file("make", log))
}

fn switch_on(
    machine: &Machine,
    folder: &Path,
    forwards: &[(u16, u16)],
) -> Result<Running, VmError> {
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.join(name);
        fs::write(&path, bytes).map_err(VmError::file("write", path))
    };
    let variables = machine.variables.clone().map_or_else(|| machine.firmware.variables(), Ok)?;
    write("variables", &fs::read(&variables).map_err(VmError::file("read", &variables))?)?;
    let mut strings = Vec::new();
    for (number, string) in machine.strings().iter().enumerate() {
        strings.push(format!("smbios-{number}"));
        write(&format!("smbios-{number}"), string.as_bytes())?;
    }
    write("console", b"")?;
    let said = folder.join("qemu");
    let said = File::create(&said).map_err(VmError::file("write", said))?;
    let around = Surroundings {
        accel: Accel::of_this_host()?.arguments(),
        code: &machine.firmware.code()?,
        variables: Path::new("variables"),
        strings: &strings,
        forwards,
        console: Console::Folder,
    };
    Cmd::new(QEMU)
        .args(arguments(machine, &around))
        .current_dir(folder)
        // Where QEMU keeps what is written to a disk that stays as it is.
        .env("TMPDIR", fs::canonicalize(folder).map_err(VmError::file("find", folder))?)
        .spawn(Stdio::null(), Stdio::null(), said.into())
        .map_err(VmError::program)
}

/// A free port of this host for each port of the guest. Another program can take one before QEMU
/// does; QEMU then ends at once and says so.
fn forwards(network: &Network) -> Result<Vec<(u16, u16)>, VmError> {
    let Network::User(ports) = network else { return Ok(Vec::new()) };
    // All are held until all are chosen, so that no two are the same.
    let held = ports.iter().map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let held = held.collect::<Result<Vec<_>, _>>().map_err(VmError::file("bind", "127.0.0.1"))?;
    let host = held.iter().map(|held| held.local_addr().map(|address| address.port()));
    let host = host.collect::<Result<Vec<_>, _>>().map_err(VmError::file("bind", "127.0.0.1"))?;
    Ok(host.into_iter().zip(ports.iter().copied()).collect())
}

fn connect(qemu: &mut Running, folder: &Path, name: &str) -> Result<UnixStream, VmError> {
    let deadline = Deadline::after(START_DEADLINE);
    loop {
        let error = match socket::connect(folder, name) {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        if let Some(status) = qemu.wait_for(PAUSE).map_err(VmError::Program)? {
            let said = fs::read_to_string(folder.join("qemu")).unwrap_or_default();
            return Err(VmError::Ended { how: status.to_string(), said: said.trim().to_owned() });
        }
        if !socket::is_not_there_yet(&error) || deadline.left().is_none() {
            return Err(VmError::File {
                doing: "connect to",
                path: folder.join(name),
                source: error,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_forwarded_port_gets_a_port_of_its_own() {
        let forwards = forwards(&Network::User(vec![22, 80, 22])).unwrap();
        let guest: Vec<u16> = forwards.iter().map(|(_, guest)| *guest).collect();
        assert_eq!(guest, [22, 80, 22]);
        let mut host: Vec<u16> = forwards.iter().map(|(host, _)| *host).collect();
        host.sort_unstable();
        host.dedup();
        assert_eq!(host.len(), 3);
        assert!(host.iter().all(|port| *port > 0));
    }

    #[test]
    fn a_missing_disk_is_told_before_anything_is_made() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("machine");
        let error = Machine::new(Path::new("/nowhere/disk.raw")).start(&folder).unwrap_err();
        assert_eq!(error.to_string(), "cannot read the disk `/nowhere/disk.raw`");
        assert!(!folder.exists());
    }

    #[test]
    fn the_shell_and_kernel_arguments_travel_as_strings() {
        let machine = Machine::new(Path::new("/disk.raw"));
        assert!(machine.strings().is_empty());
        let machine =
            machine.shell().credential("a", "b").kernel_argument("x").kernel_argument("y");
        let strings = machine.strings();
        assert_eq!(strings[0], "io.systemd.credential.binary:a=Yg==");
        assert!(strings[1].contains("basalt-test-shell.service"));
        assert_eq!(strings[3], "io.systemd.boot.kernel-cmdline-extra=x y");
    }
}
