//! A disk of a machine, and how it hangs on it.

use std::path::{Path, PathBuf};

/// What a disk hangs on, by which the guest finds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bus {
    /// Made for virtual machines: `/dev/vda`.
    Virtio,
    /// `/dev/nvme0n1`.
    Nvme,
    /// `/dev/sda`.
    Sata,
    /// A stick: `/dev/sda`, removable.
    Usb,
    /// A disc in its drive, which nobody writes: `/dev/sr0`.
    Disc,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Disk {
    pub(crate) path: PathBuf,
    pub(crate) bus: Bus,
    /// Bytes of a sector.
    pub(crate) sector: u32,
}

impl Disk {
    /// On virtio, with sectors of 512 bytes. A file whose name ends in `.qcow2` is one; any other
    /// is raw.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), bus: Bus::Virtio, sector: 512 }
    }

    /// On another bus.
    pub fn on(mut self, bus: Bus) -> Self {
        self.bus = bus;
        self
    }

    /// With sectors of so many bytes. SATA, sticks and discs have 512 in QEMU, and discs 2048.
    pub fn sectors_of(mut self, bytes: u32) -> Self {
        self.sector = bytes;
        self
    }

    /// QEMU's device for it; `number` tells the machine's disks apart.
    pub(crate) fn device(&self, number: usize) -> String {
        let sector = match self.sector {
            512 => String::new(),
            bytes => format!(",logical_block_size={bytes},physical_block_size={bytes}"),
        };
        let serial = format!("serial=basalt{number}");
        let device = match self.bus {
            Bus::Virtio => "virtio-blk-pci".to_owned(),
            Bus::Nvme => format!("nvme,{serial}"),
            Bus::Sata => format!("ide-hd,bus=ide.{number},{serial}"),
            Bus::Usb => format!("usb-storage,bus=usb.0,removable=on,{serial}"),
            Bus::Disc => format!("ide-cd,bus=ide.{number}"),
        };
        format!("{device},drive=disk{number}{sector}")
    }
}
