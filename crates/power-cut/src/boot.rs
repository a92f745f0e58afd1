//! Boots a disk that a power cut left, and asks the host itself.

use std::path::Path;
use std::time::Duration;

use basalt_vm::{Answer, Machine, Vm};

use crate::{Boots, Problem, Recording};

/// A whole boot, or a gate, on a slow and busy machine.
const BOOT: Duration = Duration::from_secs(600);

/// Boots the raw `disk`, which is written to, with its console in `folder`. It runs what it should,
/// its gate passes, `/var` is its own partition, what updates it knows both slots, and the
/// ESP can be written.
///
/// # Errors
/// It does not, or there is no QEMU.
pub fn boot(
    disk: &Path,
    folder: &Path,
    recording: &Recording,
    expected: Boots,
) -> Result<(), Problem> {
    let mut vm = Machine::new(disk).cpus(1).keep_writes().no_network().shell().start(folder)?;
    let version = match expected {
        Boots::Old => &recording.from.version,
        Boots::New => &recording.to.version,
    };
    vm.shell()?.wait_until_up(BOOT)?;
    succeeds(&mut vm, "hostctl gate --deadline 300")?;
    let said = succeeds(&mut vm, "hostctl status --json || true")?;
    let is_it = said.contains(&format!("\"version\": \"{version}\""));
    if !is_it {
        return Err(Problem::Boot(format!("version {version} should run, and it says: {said}")));
    }
    succeeds(&mut vm, "findmnt --mountpoint /var --types ext4")?;
    succeeds(&mut vm, "hostctl os status")?;
    // The kernel writes nothing where it has found damage.
    succeeds(&mut vm, "touch /efi/written && rm /efi/written && sync -f /efi")?;
    succeeds(&mut vm, "! journalctl -k | grep -E 'EXT4-fs (error|warning)|FAT-fs.*[Ee]rror'")?;
    Ok(())
}

fn succeeds(vm: &mut Vm, command: &str) -> Result<String, Problem> {
    let Answer { code, text } = vm.shell()?.run(command, BOOT)?;
    if code == 0 {
        return Ok(text);
    }
    Err(Problem::Boot(format!("`{command}` ended with {code}: {text}")))
}
