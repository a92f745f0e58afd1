//! Lets go what can be taken out of a machine.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::ioctl::{IntegerSetter, NoArg, Opcode, ioctl, opcode};

use crate::look::DiskFacts;

/// `CDROMEJECT` and `CDROM_LOCKDOOR` of linux/cdrom.h.
const EJECT: Opcode = opcode::none(b'S', 0x09);
const LOCK_DOOR: Opcode = opcode::none(b'S', 0x29);

/// Opens the drive of a disc, or lets a disk go that may be pulled out: Linux does that where a disk
/// has `device/delete`; its cache is flushed, it is spun down, and its name is gone until it is
/// plugged in again. Returns whether it may be taken out now; others stay as they are.
///
/// # Errors
/// The kernel refuses, as where somebody still reads from a disc.
pub fn let_go(facts: &DiskFacts) -> io::Result<bool> {
    if facts.is_disc() {
        return open_drive(&Path::new("/dev").join(&facts.name)).map(|()| true);
    }
    let delete = facts.folder.join("device/delete");
    if !facts.is_loose() || !delete.exists() {
        return Ok(false);
    }
    fs::write(&delete, "1").map(|()| true)
}

#[expect(unsafe_code, reason = "rustix leaves it to the caller what a request does")]
fn open_drive(device: &Path) -> io::Result<()> {
    // It is the drive that is opened, whatever is in it.
    let flags = OFlags::NONBLOCK.bits() as i32;
    let drive = OpenOptions::new().read(true).custom_flags(flags).open(device)?;
    // udev locks the door of a drive that has a disc in it. A drive without a lock has it open.
    // SAFETY: the request takes a number and touches no memory.
    let _ = unsafe { ioctl(&drive, IntegerSetter::<LOCK_DOOR>::new_usize(0)) };
    // SAFETY: the request takes nothing and touches no memory.
    Ok(unsafe { ioctl(&drive, NoArg::<EJECT>::new()) }?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Bus;

    fn disk(name: &str, folder: &Path, bus: Bus) -> DiskFacts {
        DiskFacts {
            name: name.to_owned(),
            partition_of: None,
            size: 0,
            model: None,
            serial: None,
            bus,
            removable: false,
            read_only: false,
            parts: Vec::new(),
            uses: Vec::new(),
            folder: folder.to_owned(),
        }
    }

    #[test]
    fn a_stick_is_let_go_and_a_disk_of_the_machine_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let delete = folder.path().join("device/delete");
        let of = |bus| let_go(&disk("sdb", folder.path(), bus)).unwrap();
        assert!(!of(Bus::Usb));
        fs::create_dir(folder.path().join("device")).unwrap();
        fs::write(&delete, "").unwrap();
        assert!(!of(Bus::Inside("SATA")));
        assert_eq!(fs::read_to_string(&delete).unwrap(), "");
        assert!(of(Bus::Usb));
        assert_eq!(fs::read_to_string(&delete).unwrap(), "1");
    }

    #[test]
    fn a_disc_is_ejected_by_its_drive_and_never_taken_from_the_kernel() {
        assert_eq!((EJECT, LOCK_DOOR), (0x5309, 0x5329));
        let folder = tempfile::tempdir().unwrap();
        let delete = folder.path().join("device/delete");
        fs::create_dir(folder.path().join("device")).unwrap();
        fs::write(&delete, "").unwrap();
        // There is no such drive.
        let_go(&disk("sr4711", folder.path(), Bus::Usb)).unwrap_err();
        assert_eq!(fs::read_to_string(&delete).unwrap(), "");
    }
}
