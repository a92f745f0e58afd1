//! Boots a disk on this terminal, to look at it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use basalt_vm::Machine;

/// The unit of the serial console, and a drop-in for it that asks nobody for a name or password.
const CONSOLE_LOGIN: &str = "systemd.unit-dropin.serial-getty@ttyS0.service";
const ROOT_LOGIN: &str =
    "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 - vt220\n";

/// What to boot and how.
#[derive(Debug)]
pub struct Options {
    /// The disk image.
    pub disk: PathBuf,
    /// The machine's memory.
    pub memory_mib: u32,
    /// Who may log in on the console.
    pub login: Login,
    /// What happens to what the machine writes to its disk.
    pub writes: Writes,
}

/// Who may log in on the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// Whoever the image lets in.
    AsInTheImage,
    /// Root, without being asked; for this boot alone.
    Root,
}

/// What happens to what the machine writes to its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// It vanishes with the machine.
    Discarded,
    /// It goes to the disk image.
    Kept,
}

/// Becomes the machine: on success nothing returns, and the process ends when the guest powers
/// off.
///
/// # Errors
/// The disk, QEMU or its firmware is missing.
pub fn run(options: &Options) -> Result<()> {
    let machine = machine(options).foreground()?;
    eprintln!("{}", note(&options.disk, options.writes));
    Err(machine.exec().into())
}

fn machine(options: &Options) -> Machine {
    let mut machine = Machine::new(&options.disk).memory_mib(options.memory_mib);
    if options.login == Login::Root {
        machine = machine.credential(CONSOLE_LOGIN, ROOT_LOGIN);
    }
    match options.writes {
        Writes::Discarded => machine,
        Writes::Kept => machine.keep_writes(),
    }
}

fn note(disk: &Path, writes: Writes) -> String {
    let writes = match writes {
        Writes::Discarded => "its writes are discarded",
        Writes::Kept => "its writes are kept",
    };
    format!("booting `{}`; {writes}; Ctrl-A X ends the machine", disk.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(login: Login, writes: Writes) -> Options {
        Options { disk: "/nowhere/disk.raw".into(), memory_mib: 2048, login, writes }
    }

    #[test]
    fn nobody_is_let_in_and_nothing_kept_unless_it_is_asked() {
        let text = |login, writes| format!("{:?}", machine(&options(login, writes)));
        let plain = text(Login::AsInTheImage, Writes::Discarded);
        assert!(!plain.contains("autologin") && plain.contains("Discarded"), "{plain}");
        let asked = text(Login::Root, Writes::Kept);
        assert!(asked.contains("--autologin root") && asked.contains("Kept"), "{asked}");
    }

    #[test]
    fn a_missing_disk_is_named() {
        let error = run(&options(Login::Root, Writes::Discarded)).unwrap_err();
        assert!(
            basalt_explain::explain(&error)
                .starts_with("cannot read the disk `/nowhere/disk.raw`: ")
        );
    }
}
