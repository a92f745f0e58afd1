//! What a machine is made of.

use std::path::{Path, PathBuf};

use crate::{Disk, Firmware, Foreground, Vm, VmError, foreground, start};

/// A machine that is not switched on yet.
#[derive(Debug, Clone)]
#[must_use]
pub struct Machine {
    /// In the order in which the guest finds them.
    pub(crate) disks: Vec<Disk>,
    /// Which of them the firmware starts from.
    pub(crate) boots_from: usize,
    pub(crate) memory_mib: u32,
    pub(crate) cpus: u32,
    pub(crate) firmware: Firmware,
    /// See [`firmware_variables`](Self::firmware_variables).
    pub(crate) variables: Option<PathBuf>,
    pub(crate) writes: Writes,
    /// Where the writes to the disk that it boots from are recorded.
    pub(crate) record: Option<PathBuf>,
    pub(crate) network: Network,
    /// Further cards, see [`slot_with_cards`](Self::slot_with_cards).
    pub(crate) cards_in_slot: u8,
    /// The URL that the network's DHCP server tells whoever boots from it.
    pub(crate) network_boot: Option<String>,
    pub(crate) direct: Option<Direct>,
    pub(crate) reset: Reset,
    pub(crate) shell: bool,
    pub(crate) screen: bool,
    /// Name and text.
    pub(crate) credentials: Vec<(String, String)>,
    pub(crate) kernel_arguments: Vec<String>,
}

/// A kernel that the firmware is given in place of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Direct {
    pub(crate) kernel: PathBuf,
    pub(crate) initrd: PathBuf,
    pub(crate) arguments: String,
}

/// What happens to what the guest writes to its disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    /// They vanish with the machine; the disks' files stay as they are.
    Discarded,
    /// They go to the disks' files.
    Kept,
}

/// How the guest reaches others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Network {
    None,
    /// Behind QEMU's own router, with these TCP ports of the guest reachable from here.
    User(Vec<u16>),
}

/// What a reset of the guest does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reset {
    StartsAgain,
    Ends,
}

impl Machine {
    /// A machine that boots from this disk: 2 GiB, two processors, plain UEFI, a network without
    /// a way in, and writes that vanish with it. A file whose name ends in `.qcow2` is one; any
    /// other is raw.
    pub fn new(disk: &Path) -> Self {
        Self {
            disks: vec![Disk::new(disk)],
            boots_from: 0,
            direct: None,
            memory_mib: 2048,
            cpus: 2,
            firmware: Firmware::Plain,
            variables: None,
            writes: Writes::Discarded,
            record: None,
            network: Network::User(Vec::new()),
            cards_in_slot: 0,
            network_boot: None,
            reset: Reset::StartsAgain,
            shell: false,
            screen: false,
            credentials: Vec::new(),
            kernel_arguments: Vec::new(),
        }
    }

    /// The same without a disk, started with this kernel, initrd and kernel arguments.
    pub fn of_kernel(kernel: &Path, initrd: &Path, arguments: &str) -> Self {
        let (kernel, initrd) = (kernel.to_owned(), initrd.to_owned());
        let direct = Some(Direct { kernel, initrd, arguments: arguments.to_owned() });
        Self { direct, ..Self::without_disk() }
    }

    /// The same without a disk yet, for [`with`](Self::with).
    pub fn without_disk() -> Self {
        Self { disks: Vec::new(), ..Self::new(Path::new("")) }
    }

    /// Its memory.
    pub fn memory_mib(mut self, memory_mib: u32) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// Its number of processors.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// Its firmware.
    pub fn firmware(mut self, firmware: Firmware) -> Self {
        self.firmware = firmware;
        self
    }

    /// Its firmware has the variables of a machine that ran before, see
    /// [`Vm::variables_file`](crate::Vm::variables_file), of which it gets a copy; and it starts what
    /// its own list of boots says, not the disk that this machine would have it start.
    pub fn firmware_variables(mut self, file: &Path) -> Self {
        self.variables = Some(file.to_owned());
        self
    }

    /// What the guest writes goes to the disks' files.
    pub fn keep_writes(mut self) -> Self {
        self.writes = Writes::Kept;
        self
    }

    /// What the guest writes goes to the disks' files, and what it writes to the one that it boots
    /// from also goes to `log`, made anew, as a Linux log of writes: each write and each flush, in
    /// the order in which they were done.
    pub fn record_writes(mut self, log: &Path) -> Self {
        self.record = Some(log.to_owned());
        self.keep_writes()
    }

    /// A further disk.
    pub fn disk(self, disk: &Path) -> Self {
        self.with(Disk::new(disk))
    }

    /// A further disk, on any bus. The first disk of a machine is the one that it boots from.
    pub fn with(mut self, disk: Disk) -> Self {
        self.disks.push(disk);
        self
    }

    /// A further disk that the guest finds before all others; the firmware starts from the same
    /// one as without it.
    pub fn in_front(mut self, disk: Disk) -> Self {
        self.disks.insert(0, disk);
        self.boots_from += 1;
        self
    }

    /// A systemd credential of the guest.
    pub fn credential(mut self, name: &str, text: &str) -> Self {
        self.credentials.push((name.to_owned(), text.to_owned()));
        self
    }

    /// A further kernel argument, which systemd-boot adds to the entry's own unless Secure Boot
    /// is on.
    pub fn kernel_argument(mut self, argument: &str) -> Self {
        self.kernel_arguments.push(argument.to_owned());
        self
    }

    /// Makes a TCP port of the guest reachable from 127.0.0.1; [`Vm::forwarded`] tells on which
    /// port. Gives the machine its network back.
    pub fn forward(mut self, guest_port: u16) -> Self {
        match &mut self.network {
            Network::User(ports) => ports.push(guest_port),
            Network::None => self.network = Network::User(vec![guest_port]),
        }
        self
    }

    /// Where no disk boots, the firmware starts iPXE from its network card, and that what this URL
    /// names.
    pub fn network_boot(mut self, url: &str) -> Self {
        self.network_boot = Some(url.to_owned());
        self
    }

    /// A card with so many ports in slot 1, which are `ens1f0`, `ens1f1` and so on in the guest.
    /// Each has a link, and behind it a network without a way out.
    pub fn slot_with_cards(mut self, ports: u8) -> Self {
        self.cards_in_slot = ports;
        self
    }

    /// No network at all.
    pub fn no_network(mut self) -> Self {
        self.network = Network::None;
        self
    }

    /// A root shell for [`Vm::shell`].
    pub fn shell(mut self) -> Self {
        self.shell = true;
        self
    }

    /// A graphics card, as a real machine has one; without it a boot is seconds shorter. Nobody
    /// sees its screen, but the guest has consoles on it.
    pub fn screen(mut self) -> Self {
        self.screen = true;
        self
    }

    /// The machine ends where the guest reboots.
    pub fn ends_at_reboot(mut self) -> Self {
        self.reset = Reset::Ends;
        self
    }

    /// Switches it on. `folder` is made if need be, and gets the file `console`, what QEMU says
    /// (`qemu`), its sockets (`qmp`, `shell`) and the firmware's variables.
    ///
    /// The machine ends when the returned value is dropped, or when the thread ends that called
    /// this.
    ///
    /// # Errors
    /// A disk, QEMU or its firmware is missing, or QEMU does not start.
    pub fn start(&self, folder: &Path) -> Result<Vm, VmError> {
        start::start(self, folder)
    }

    /// Makes it ready to run in place of this process, with its console on this terminal. It
    /// leaves no files. [`shell`](Self::shell) and [`forward`](Self::forward) do nothing there.
    ///
    /// # Errors
    /// A disk, QEMU or its firmware is missing.
    pub fn foreground(&self) -> Result<Foreground, VmError> {
        foreground::prepare(self)
    }
}
