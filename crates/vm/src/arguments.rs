//! QEMU's command line for a machine. Pure.

use std::path::Path;

use crate::machine::{Direct, Machine, Network, Reset, Writes};
use crate::{Bus, Disk};

/// What a machine finds where it runs.
pub(crate) struct Surroundings<'a> {
    /// The accelerator's arguments.
    pub(crate) accel: &'static [&'static str],
    /// The firmware's code.
    pub(crate) code: &'a Path,
    /// The machine's own copy of the firmware's variables.
    pub(crate) variables: &'a Path,
    /// Files with one SMBIOS string each.
    pub(crate) strings: &'a [String],
    /// Ports of this host and of the guest.
    pub(crate) forwards: &'a [(u16, u16)],
    /// Where the console is.
    pub(crate) console: Console,
}

/// Where a machine's console is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Console {
    /// Files and sockets in the working folder.
    Folder,
    /// The terminal, shared with QEMU's monitor.
    Terminal,
}

/// The arguments, without the program's name.
pub(crate) fn arguments(machine: &Machine, around: &Surroundings<'_>) -> Vec<String> {
    let mut line: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| line.extend(words.iter().map(|word| (*word).to_owned()));
    add(machine.firmware.arguments());
    add(around.accel);
    add(&["-smp", &machine.cpus.to_string(), "-m", &machine.memory_mib.to_string()]);
    add(&["-nodefaults", "-display", "none"]);
    // Its watchdog resets it, as a machine's does; QEMU before 8 leaves that out.
    add(&["-global", "ICH9-LPC.noreboot=off"]);
    add(&["-drive", &format!("{},if=pflash,format=raw,readonly=on", file(around.code))]);
    add(&["-drive", &format!("{},if=pflash,format=raw", file(around.variables))]);
    if machine.disks.iter().any(|disk| disk.bus == Bus::Usb) {
        add(&["-device", "qemu-xhci,id=usb"]);
    }
    for (number, disk) in machine.disks.iter().enumerate() {
        let is_named = machine.direct.is_none() && machine.variables.is_none();
        let is_first = number == machine.boots_from && is_named;
        let first = if is_first { ",bootindex=0" } else { "" };
        let record = machine.record.as_deref().filter(|_| number == machine.boots_from);
        match record {
            Some(log) => add(&["-blockdev", &recorded(number, &disk.path, log)]),
            None => add(&["-drive", &drive(number, disk, machine.writes)]),
        }
        let recorded = if record.is_some() { RECORDED } else { "" };
        add(&["-device", &format!("{}{first}{recorded}", disk.device(number))]);
    }
    if let Some(Direct { kernel, initrd, arguments }) = &machine.direct {
        let path = |path: &Path| path.display().to_string();
        add(&["-kernel", &path(kernel), "-initrd", &path(initrd), "-append", arguments]);
    }
    if machine.screen {
        add(&["-device", "VGA"]);
    }
    if matches!(machine.network, Network::User(_)) {
        let url = machine.network_boot.as_deref();
        add(&["-netdev", &network(around.forwards, url)]);
        // Without its ROM, which is iPXE, the firmware does not try to boot from the network.
        let boot = if url.is_some() { "bootindex=1" } else { "romfile=" };
        add(&["-device", &format!("virtio-net-pci,netdev=net,{boot}")]);
    }
    if machine.cards_in_slot > 0 {
        // By ACPI a slot is called as its only device, which is 0.
        add(&["-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"]);
        add(&["-device", "pcie-root-port,id=slot1,chassis=1,slot=1"]);
    }
    for port in 0..machine.cards_in_slot {
        add(&["-netdev", &format!("user,id=port{port},restrict=on")]);
        add(&["-device", &card(port)]);
    }
    match around.console {
        Console::Terminal => add(&["-serial", "mon:stdio"]),
        Console::Folder => {
            add(&["-qmp", "unix:qmp,server=on,wait=off"]);
            // What is shown is in the file; who types connects for that.
            let keys = "socket,id=console,path=keys,server=on,wait=off,logfile=console";
            add(&["-chardev", keys, "-serial", "chardev:console"]);
        }
    }
    if machine.shell {
        add(&["-serial", "unix:shell,server=on,wait=off"]);
    }
    for string in around.strings {
        add(&["-smbios", &format!("type=11,path={}", comma(string))]);
    }
    if machine.reset == Reset::Ends {
        add(&["-no-reboot"]);
    }
    line
}

/// Of a disk that is recorded. QEMU 7.2's filter adds to a request that was merged from many until
/// the system takes it no more, mixes up its log where zeros are written, and does not tell of what
/// was discarded.
const RECORDED: &str = ",request-merging=off,write-zeroes=off,discard=off";

/// QEMU's filter in front of the disk, which is written, too.
fn recorded(number: usize, disk: &Path, log: &Path) -> String {
    let name = |path: &Path| comma(&path.display().to_string());
    format!(
        "driver=blklogwrites,node-name=disk{number},file.driver={},file.file.driver=file,\
         file.file.filename={},log.driver=file,log.filename={}",
        format(disk),
        name(disk),
        name(log)
    )
}

fn format(disk: &Path) -> &'static str {
    let qcow2 = disk.extension().is_some_and(|end| end == "qcow2");
    if qcow2 { "qcow2" } else { "raw" }
}

fn drive(number: usize, disk: &Disk, writes: Writes) -> String {
    let format = format(&disk.path);
    let kept = match (disk.bus, writes) {
        (Bus::Disc, _) => ",media=cdrom,readonly=on",
        (_, Writes::Discarded) => ",snapshot=on",
        // Zeros stay holes: the copies of an array are made in full.
        (_, Writes::Kept) => ",discard=unmap,detect-zeroes=unmap",
    };
    format!("{},if=none,id=disk{number},format={format}{kept}", file(&disk.path))
}

fn network(forwards: &[(u16, u16)], boot: Option<&str>) -> String {
    let forward = |(host, guest): &(u16, u16)| format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
    let forwards: String = forwards.iter().map(forward).collect();
    let boot = boot.map(|url| format!(",bootfile={}", comma(url))).unwrap_or_default();
    format!("user,id=net{forwards}{boot}")
}

/// What bonds ports asks how fast they are.
fn card(port: u8) -> String {
    let place = format!("bus=slot1,addr=0.{port},multifunction=on");
    format!("virtio-net-pci,netdev=port{port},{place},speed=10000,duplex=full,romfile=")
}

fn file(path: &Path) -> String {
    format!("file={}", comma(&path.display().to_string()))
}

/// A comma ends a value in QEMU's options; two are one in it.
fn comma(text: &str) -> String {
    text.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Accel, Firmware};

    fn check(machine: &Machine, console: Console, expected: &str) {
        let around = Surroundings {
            accel: Accel::Tcg.arguments(),
            code: Path::new("/ovmf/code"),
            variables: Path::new("variables"),
            strings: &["smbios-0".to_owned()],
            forwards: &[(40001, 22)],
            console,
        };
        let line = arguments(machine, &around).join(" ").replace(" -", "\n-");
        assert_eq!(line, expected.trim_end());
    }

    /// Nothing beside the machine but its console.
    fn bare(console: Console) -> Surroundings<'static> {
        Surroundings {
            accel: &[],
            code: Path::new("code"),
            variables: Path::new("variables"),
            strings: &[],
            forwards: &[],
            console,
        }
    }

    #[test]
    fn the_default_machine_changes_no_file() {
        check(
            &Machine::new(Path::new("/a,b/disk.raw")),
            Console::Folder,
            "\
-machine q35,smm=off,smbios-entry-point-type=64
-accel tcg,thread=multi,tb-size=256
-cpu max,-erms,-fsrm
-smp 2
-m 2048
-nodefaults
-display none
-global ICH9-LPC.noreboot=off
-drive file=/ovmf/code,if=pflash,format=raw,readonly=on
-drive file=variables,if=pflash,format=raw
-drive file=/a,,b/disk.raw,if=none,id=disk0,format=raw,snapshot=on
-device virtio-blk-pci,drive=disk0,bootindex=0
-netdev user,id=net,hostfwd=tcp:127.0.0.1:40001-:22
-device virtio-net-pci,netdev=net,romfile=
-qmp unix:qmp,server=on,wait=off
-chardev socket,id=console,path=keys,server=on,wait=off,logfile=console
-serial chardev:console
-smbios type=11,path=smbios-0
",
        );
    }

    #[test]
    fn firmware_with_a_list_of_its_own_is_not_told_what_to_start() {
        let machine = Machine::new(Path::new("/one.qcow2")).firmware_variables(Path::new("/kept"));
        let line = arguments(&machine, &bare(Console::Folder)).join(" ");
        assert!(!line.contains("bootindex") && !line.contains("/kept"), "{line}");
    }

    #[test]
    fn every_choice_shows_in_the_line() {
        check(
            &Machine::new(Path::new("/one.qcow2"))
                .disk(Path::new("/two.raw"))
                .in_front(Disk::new(Path::new("/zero.raw")))
                .memory_mib(1024)
                .cpus(1)
                .firmware(Firmware::SecureBoot)
                .keep_writes()
                .no_network()
                .shell()
                .screen()
                .ends_at_reboot(),
            Console::Folder,
            "\
-machine q35,smm=on,smbios-entry-point-type=64
-global driver=cfi.pflash01,property=secure,value=on
-accel tcg,thread=multi,tb-size=256
-cpu max,-erms,-fsrm
-smp 1
-m 1024
-nodefaults
-display none
-global ICH9-LPC.noreboot=off
-drive file=/ovmf/code,if=pflash,format=raw,readonly=on
-drive file=variables,if=pflash,format=raw
-drive file=/zero.raw,if=none,id=disk0,format=raw,discard=unmap,detect-zeroes=unmap
-device virtio-blk-pci,drive=disk0
-drive file=/one.qcow2,if=none,id=disk1,format=qcow2,discard=unmap,detect-zeroes=unmap
-device virtio-blk-pci,drive=disk1,bootindex=0
-drive file=/two.raw,if=none,id=disk2,format=raw,discard=unmap,detect-zeroes=unmap
-device virtio-blk-pci,drive=disk2
-device VGA
-qmp unix:qmp,server=on,wait=off
-chardev socket,id=console,path=keys,server=on,wait=off,logfile=console
-serial chardev:console
-serial unix:shell,server=on,wait=off
-smbios type=11,path=smbios-0
-no-reboot
",
        );
    }

    #[test]
    fn a_kernel_that_is_given_takes_the_place_of_a_disk() {
        let machine = Machine::of_kernel(Path::new("/k"), Path::new("/i"), "quiet x=1");
        let line = arguments(&machine, &bare(Console::Folder)).join(" ");
        assert!(line.contains(" -kernel /k -initrd /i -append quiet x=1 "), "{line}");
        assert!(!line.contains("virtio-blk"), "{line}");
        // QEMU itself gives the kernel the first place.
        let line = arguments(&machine.disk(Path::new("/d")), &bare(Console::Folder)).join(" ");
        assert!(line.contains("virtio-blk-pci,drive=disk0 "), "{line}");
    }

    #[test]
    fn the_disk_that_it_boots_from_is_recorded_and_no_other() {
        let machine = Machine::new(Path::new("/one,a.qcow2"))
            .disk(Path::new("/two.raw"))
            .record_writes(Path::new("/log"));
        let line = arguments(&machine, &bare(Console::Folder)).join(" ");
        let expected = "-blockdev driver=blklogwrites,node-name=disk0,file.driver=qcow2,\
            file.file.driver=file,file.file.filename=/one,,a.qcow2,log.driver=file,\
            log.filename=/log -device virtio-blk-pci,drive=disk0,bootindex=0,request-merging=off,\
            write-zeroes=off,discard=off -drive file=/two.raw,if=none,id=disk1,format=raw,\
            discard=unmap,detect-zeroes=unmap ";
        assert!(line.contains(expected), "{line}");
    }

    #[test]
    fn a_disk_hangs_on_what_it_is_said_to() {
        let disk = |bus| Disk::new(Path::new("/d")).on(bus);
        let machine = Machine::without_disk()
            .with(disk(Bus::Disc))
            .with(disk(Bus::Nvme).sectors_of(4096))
            .with(disk(Bus::Sata))
            .with(disk(Bus::Usb))
            .keep_writes();
        let line = arguments(&machine, &bare(Console::Folder)).join(" ").replace(" -", "\n-");
        let expected = "\
-device qemu-xhci,id=usb
-drive file=/d,if=none,id=disk0,format=raw,media=cdrom,readonly=on
-device ide-cd,bus=ide.0,drive=disk0,bootindex=0
-drive file=/d,if=none,id=disk1,format=raw,discard=unmap,detect-zeroes=unmap
-device nvme,serial=basalt1,drive=disk1,logical_block_size=4096,physical_block_size=4096
-drive file=/d,if=none,id=disk2,format=raw,discard=unmap,detect-zeroes=unmap
-device ide-hd,bus=ide.2,serial=basalt2,drive=disk2
-drive file=/d,if=none,id=disk3,format=raw,discard=unmap,detect-zeroes=unmap
-device usb-storage,bus=usb.0,removable=on,serial=basalt3,drive=disk3
";
        assert!(line.contains(expected), "{line}");
    }

    #[test]
    fn a_machine_boots_from_the_network_only_where_it_is_told() {
        let machine = Machine::new(Path::new("/d")).network_boot("http://10.0.2.2:1/a,b.ipxe");
        let line = arguments(&machine, &bare(Console::Folder)).join(" ");
        let expected = "-netdev user,id=net,bootfile=http://10.0.2.2:1/a,,b.ipxe \
                        -device virtio-net-pci,netdev=net,bootindex=1 ";
        assert!(line.contains(expected), "{line}");
    }

    #[test]
    fn ports_of_a_card_are_functions_of_one_slot() {
        let machine = Machine::new(Path::new("/d")).no_network().slot_with_cards(2);
        let line = arguments(&machine, &bare(Console::Folder)).join(" ").replace(" -", "\n-");
        let expected = "\
-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off
-device pcie-root-port,id=slot1,chassis=1,slot=1
-netdev user,id=port0,restrict=on
-device virtio-net-pci,netdev=port0,bus=slot1,addr=0.0,multifunction=on,speed=10000,duplex=full,romfile=
-netdev user,id=port1,restrict=on
-device virtio-net-pci,netdev=port1,bus=slot1,addr=0.1,multifunction=on,speed=10000,duplex=full,romfile=
-qmp";
        assert!(line.contains(expected), "{line}");
    }

    #[test]
    fn on_a_terminal_there_are_no_sockets() {
        let machine = Machine::new(Path::new("/disk.raw"));
        let line = arguments(&machine, &bare(Console::Terminal)).join(" ");
        assert!(line.ends_with("-serial mon:stdio"), "{line}");
        assert!(!line.contains("unix:"), "{line}");
    }
}
