//! Which accelerator a machine gets: KVM only where a guest has really run under it.
//!
//! Containers and nested machines often show a `/dev/kvm` that opens and then runs nothing, hangs,
//! or runs a BIOS and stops at the first instruction that it cannot emulate. So two guests are
//! tried first: one that ends within a second where anything runs at all, and the firmware that
//! every image is started by.

mod efi_program;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use basalt_cmd::Cmd;

use crate::firmware::Firmware;
use crate::{QEMU, VmError};

/// How long the first guest may take; where KVM works it needs a fraction of a second.
const BIOS_DEADLINE: Duration = Duration::from_secs(5);
/// How long the second may take; where KVM works it needs about two seconds.
const FIRMWARE_DEADLINE: Duration = Duration::from_secs(15);
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
    /// The accelerator of this host. The first call may take 20 seconds; its answer holds for the
    /// process.
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
            // 256 MiB of translated code: with QEMU's default of a GiB, code of an earlier boot stays
            // known, and each write to a page that held it is slow: a reset costs 10 s more.
            // Without the two features of fast string instructions, which are slow here (a byte at
            // a time): kernels copy by words, and a boot takes 4 s of 59 less.
            Self::Tcg => &["-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,-erms,-fsrm"],
        }
    }
}

/// A guest that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guest {
    /// Three instructions that a BIOS starts from a disk.
    Bios,
    /// Four that OVMF starts as an EFI program.
    Firmware,
}

fn choose() -> Result<Accel, VmError> {
    let kvm_runs = |guest, deadline| runs_a_guest(Accel::Kvm, guest, deadline);
    let works = Path::new("/dev/kvm").exists()
        && kvm_runs(Guest::Bios, BIOS_DEADLINE)?
        && kvm_runs(Guest::Firmware, FIRMWARE_DEADLINE)?;
    Ok(if works { Accel::Kvm } else { Accel::Tcg })
}

/// Whether a guest ran and gave its sign before the deadline.
fn runs_a_guest(accel: Accel, guest: Guest, deadline: Duration) -> Result<bool, VmError> {
    let folder =
        tempfile::tempdir().map_err(VmError::file("make a folder in", std::env::temp_dir()))?;
    let probe = Cmd::new(QEMU)
        .args(accel.arguments())
        .args(["-display", "none", "-nodefaults", "-no-reboot"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"])
        .args(guest.prepare(folder.path())?)
        .current_dir(folder.path())
        .deadline(deadline);
    gave_the_sign(probe)
}

/// Whether QEMU ended, and with the status that only a guest's sign gives.
fn gave_the_sign(probe: Cmd) -> Result<bool, VmError> {
    match probe.output().map_err(VmError::program) {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            tracing::debug!(status = %output.status, %said, "the probe ended");
            Ok(output.status.code() == Some(SIGN_STATUS))
        }
        Err(error @ VmError::NotInstalled { .. }) => Err(error),
        Err(error) => {
            tracing::debug!(%error, "no guest ran");
            Ok(false)
        }
    }
}

impl Guest {
    /// Writes what it boots from to `folder`; QEMU's arguments for it.
    fn prepare(self, folder: &Path) -> Result<Vec<String>, VmError> {
        match self {
            Self::Bios => {
                let disk = folder.join("disk");
                fs::write(&disk, boot_disk()).map_err(VmError::file("write", &disk))?;
                Ok(words(&["-machine", "q35", "-m", "16", "-drive", &drive("disk")]))
            }
            Self::Firmware => {
                let programs = folder.join("esp/EFI/BOOT");
                fs::create_dir_all(&programs).map_err(VmError::file("make", &programs))?;
                let program = programs.join("BOOTX64.EFI");
                fs::write(&program, efi_program::program(&CODE))
                    .map_err(VmError::file("write", &program))?;
                let firmware = Firmware::Plain;
                let flash = |path: PathBuf, writes: &str| {
                    format!("file={},if=pflash,format=raw,{writes}", path.display())
                };
                let mut line = words(firmware.arguments());
                line.extend(words(&["-m", "256", "-drive", &drive("fat:esp")]));
                line.extend(words(&["-drive", &flash(firmware.code()?, "readonly=on")]));
                line.extend(words(&["-drive", &flash(firmware.variables()?, "snapshot=on")]));
                Ok(line)
            }
        }
    }
}

fn drive(file: &str) -> String {
    format!("file={file},format=raw,readonly=on,if=virtio")
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// `mov al, SIGN; out 0xf4, al`, then `hlt` for ever: the same bytes in 16 and in 64 bits.
const CODE: [u8; 7] = [0xb0, SIGN, 0xe6, 0xf4, 0xf4, 0xeb, 0xfd];

/// A disk that the BIOS starts.
fn boot_disk() -> Vec<u8> {
    let mut sector = [0; 512];
    for (place, byte) in sector.iter_mut().zip(CODE) {
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
    fn the_guests_of_the_probe_give_their_sign_where_guests_run() {
        if qemu_is_here() {
            // The translator runs everywhere, only slowly: what is tried is the guests.
            for guest in [Guest::Bios, Guest::Firmware] {
                let ran = runs_a_guest(Accel::Tcg, guest, Duration::from_secs(120)).unwrap();
                assert!(ran, "{guest:?}");
            }
        }
    }

    #[test]
    fn a_guest_that_gives_no_sign_in_time_did_not_run() {
        if qemu_is_here() {
            // As where KVM opens and then runs nothing: QEMU lives, the guest does not.
            let ran = runs_a_guest(Accel::Tcg, Guest::Firmware, Duration::from_millis(300));
            assert!(!ran.unwrap());
        }
    }

    #[test]
    fn a_machine_that_ends_without_the_sign_did_not_run_a_guest() {
        if qemu_is_here() {
            assert!(!gave_the_sign(Cmd::new(QEMU).arg("--version")).unwrap());
        }
    }
}
