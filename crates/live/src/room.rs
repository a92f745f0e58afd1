//! How a live system's memory is shared out: the rootfs, what is written over it, `/var`.

use crate::share::Share;

/// What the system needs beside its rootfs, of which it also writes: kernel, programs, `/run`.
const SYSTEM: u64 = 384 << 20;
/// What tmpfs takes beside the bytes of a file.
const BESIDE: u64 = 1 << 20;
/// Written over the root where nobody says how much: hardly more than `/etc`.
const OVERLAY: Share = Share::Percent(25);
/// For `/var`, where it lies in memory.
const VAR: Share = Share::Percent(50);

/// Sizes of file systems in memory, in bytes. They are limits: what is not written takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// For the rootfs as it is fetched.
    pub image: u64,
    /// For what is written over the root.
    pub overlay: u64,
    /// For `/var`, where no partition has it.
    pub var: u64,
}

/// The machine has too little memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the machine has {} MiB of memory, and this live system needs {} MiB",
    memory >> 20,
    needed.div_ceil(1 << 20)
)]
pub struct NoRoom {
    /// What it has, in bytes.
    pub memory: u64,
    /// What it should have, in bytes.
    pub needed: u64,
}

impl Room {
    /// Shares out `memory` bytes around a rootfs of `size`; `overlay` is what was asked for.
    ///
    /// # Errors
    /// The rest would not be enough to boot.
    pub fn plan(memory: u64, size: u64, overlay: Option<Share>) -> Result<Self, NoRoom> {
        let image = size.saturating_add(BESIDE);
        let needed = image.saturating_add(SYSTEM);
        if memory < needed {
            return Err(NoRoom { memory, needed });
        }
        let rest = memory - image;
        Ok(Self { image, overlay: overlay.unwrap_or(OVERLAY).of(rest), var: VAR.of(rest) })
    }
}

/// The machine's memory in bytes, as `/proc/meminfo` tells of it.
#[must_use]
pub fn memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn what_is_left_beside_the_rootfs_is_shared_out() {
        let room = Room::plan(1001 * MIB, 300 * MIB, None).unwrap();
        assert_eq!(room.image, 301 * MIB);
        assert_eq!((room.overlay, room.var), (700 * MIB / 100 * 25, 700 * MIB / 100 * 50));
        let asked = Room::plan(1001 * MIB, 300 * MIB, Some(Share::Bytes(64 * MIB))).unwrap();
        assert_eq!(asked, Room { overlay: 64 * MIB, ..room });
    }

    #[test]
    fn a_machine_with_too_little_memory_is_told_how_much_it_needs() {
        let none = Room::plan(512 * MIB, 300 * MIB, None).unwrap_err().to_string();
        assert_eq!(none, "the machine has 512 MiB of memory, and this live system needs 685 MiB");
        assert!(Room::plan(0, u64::MAX, None).is_err());
    }

    #[test]
    fn memory_is_what_the_kernel_says() {
        assert_eq!(memory("MemTotal:  983040 kB\nMemFree: 1 kB\n"), Some(960 * MIB));
        assert_eq!(memory("MemFree: 1 kB"), None);
        assert_eq!(memory("MemTotal: x kB"), None);
    }
}
