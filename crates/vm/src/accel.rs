//! Which accelerator a machine gets: KVM only where a guest has really run under it.
//!
//! Containers and nested machines often show a `/dev/kvm` that opens and then runs nothing, or
//! hangs. So a guest of three instructions is tried first.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use basalt_cmd::Cmd;

use crate::{QEMU, VmError};

/// How long the guest of the probe may take; where KVM works it needs a fraction of a second.
const PROBE_DEADLINE: Duration = Duration::from_secs(5);
/// What the probe's guest writes to the debug port.
const SIGN: u8 = 0x2a;
/// QEMU's `isa-debug-exit` ends with twice the written value plus one.
const SIGN_STATUS: i32 = SIGN as i32 * 2 + 1;

/// What runs the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// The processor itself.
    Kvm,
    /// QEMU's translator.
    Tcg,
}

impl Accel {
    /// The accelerator of this host. The first call may take five seconds; its answer holds for
    /// the process.
    ///
    /// # Errors
    /// QEMU is not installed.
    pub fn of_this_host() -> Result<Self, VmError> {
        static CHOSEN: OnceLock<Accel> = OnceLock::new();
        if let Some(accel) = CHOSEN.get() {
            return Ok(*accel);
        }
        let accel = choose()?;
        tracing::info!(?accel, "accelerator chosen");
        Ok(*CHOSEN.get_or_init(|| accel))
    }

    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Kvm => &["-accel", "kvm", "-cpu", "host"],
            Self::Tcg => &["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

fn choose() -> Result<Accel, VmError> {
    if Path::new("/dev/kvm").exists() && runs_a_guest(Accel::Kvm, PROBE_DEADLINE)? {
        return Ok(Accel::Kvm);
    }
    Ok(Accel::Tcg)
}

/// Whether a guest ran and gave its sign before the deadline.
fn runs_a_guest(accel: Accel, deadline: Duration) -> Result<bool, VmError> {
    let folder =
        tempfile::tempdir().map_err(VmError::file("make a folder in", std::env::temp_dir()))?;
    let disk = folder.path().join("disk");
    fs::write(&disk, boot_disk()).map_err(VmError::file("write", &disk))?;
    let probe = Cmd::new(QEMU)
        .args(accel.arguments())
        .args(["-machine", "q35", "-display", "none", "-nodefaults", "-no-reboot", "-m", "16"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"])
        .args(["-drive", "file=disk,format=raw,readonly=on,if=none,id=disk"])
        .args(["-device", "virtio-blk-pci,drive=disk"])
        .current_dir(folder.path())
        .deadline(deadline);
    match probe.output().map_err(VmError::program) {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            tracing::debug!(?accel, status = %output.status, %said, "the probe ended");
            Ok(output.status.code() == Some(SIGN_STATUS))
        }
        Err(error @ VmError::NotInstalled { .. }) => Err(error),
        Err(error) => {
            tracing::debug!(%error, ?accel, "no guest ran");
            Ok(false)
        }
    }
}

/// A disk that the BIOS starts: `mov al, SIGN; out 0xf4, al; hlt`, for ever.
fn boot_disk() -> Vec<u8> {
    let mut sector = [0; 512];
    let code = [0xb0, SIGN, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd];
    for (place, byte) in sector.iter_mut().zip(code) {
        *place = byte;
    }
    [sector[510], sector[511]] = [0x55, 0xaa];
    let mut disk = sector.to_vec();
    // Of a disk of one sector, the BIOS reads nothing: it has no whole cylinder.
    disk.resize(1 << 20, 0);
    disk
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says in one line when a test is skipped; where nothing may be, it fails instead.
    fn qemu_is_here() -> bool {
        let here = Cmd::new(QEMU).arg("--version").run().is_ok();
        let must = std::env::var_os("BASALT_NO_SKIP").is_some_and(|value| value == "1");
        assert!(here || !must, "{QEMU} is missing, and BASALT_NO_SKIP=1 forbids to skip");
        if !here {
            println!("skipped: no {QEMU}");
        }
        here
    }

    #[test]
    fn the_guest_of_the_probe_gives_its_sign_where_guests_run() {
        if qemu_is_here() {
            // The translator runs everywhere, only slowly: what is tried is the guest.
            assert!(runs_a_guest(Accel::Tcg, Duration::from_secs(60)).unwrap());
        }
    }

    #[test]
    fn the_probe_decides() {
        if qemu_is_here() {
            println!("this host runs guests by {:?}", Accel::of_this_host().unwrap());
        }
    }
}
