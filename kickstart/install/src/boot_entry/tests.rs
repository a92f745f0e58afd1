//! What `efibootmgr --verbose` says on QEMU and on servers, and what becomes of it.

use std::path::PathBuf;

use super::*;
use crate::plan::tests::plan_of_one_disk;

/// OVMF in QEMU, by efibootmgr 18: a disk that was installed before, a DVD, the network.
const OVMF: &str = r"BootCurrent: 0002
Timeout: 0 seconds
BootOrder: 0002,0001,0003,0004,0000
Boot0000* UiApp	FvVol(7cb8bdc9-f8eb-4f34-aaea-3ee4af6516a1)/FvFile(462caa21-7614-4503-836e-8ab6f4662331)
      dp: 04 07 14 00 c9 bd b8 7c eb f8 34 4f aa ea 3e e4 af 65 16 a1 / 04 06 14 00 21 aa 2c 46 14 76 03 45 83 6e 8a b6 f4 66 23 31 / 7f ff 04 00
Boot0001* Basalt	HD(1,GPT,00000000-0000-0000-0000-0000000000aa,0x800,0x200000)/\EFI\BOOT\BOOTX64.EFI
      dp: 04 01 2a 00 01 00 00 00 00 08 00 00 00 00 00 00 00 00 20 00 00 00 00 00 / 7f ff 04 00
Boot0002* UEFI QEMU DVD-ROM QM00003 	PciRoot(0x0)/Pci(0x1f,0x2)/Sata(1,65535,0){auto_created_boot_option}
      dp: 02 01 0c 00 d0 41 03 0a 00 00 00 00 / 01 01 06 00 02 1f / 03 12 0a 00 01 00 ff ff 00 00 / 7f ff 04 00
    data: 4e ac 08 81 11 9f 59 4d 85 0e e2 1a 52 2c 59 b2
Boot0003* UEFI Misc Device	PciRoot(0x0)/Pci(0x3,0x0){auto_created_boot_option}
      dp: 02 01 0c 00 d0 41 03 0a 00 00 00 00 / 01 01 06 00 00 03 / 7f ff 04 00
    data: 4e ac 08 81 11 9f 59 4d 85 0e e2 1a 52 2c 59 b2
Boot0004* UEFI PXEv4 (MAC:525400123456)	PciRoot(0x0)/Pci(0x2,0x0)/MAC(525400123456,1)/IPv4(0.0.0.0,0,DHCP,0.0.0.0,0.0.0.0,0.0.0.0){auto_created_boot_option}
      dp: 02 01 0c 00 d0 41 03 0a 00 00 00 00 / 01 01 06 00 00 02 / 7f ff 04 00
    data: 4e ac 08 81 11 9f 59 4d 85 0e e2 1a 52 2c 59 b2
";

/// A server, by efibootmgr 17: one that boots over the network first, with entries of hosts of ours on
/// a disk that is there and on two that are not, and with another system's.
const SERVER: &str = r"BootCurrent: 0003
BootNext: 0003
Timeout: 5 seconds
BootOrder: 0003,0006,0007,0000,0001,000A
Boot0000* Integrated RAID Controller 1: debian	HD(1,GPT,3c0a2c1e-7d6c-4d5a-9e6b-0f6f4b8a1c22,0x800,0x100000)/File(\EFI\debian\shimx64.efi)
Boot0001  Virtual Floppy Drive	PciRoot(0x0)/Pci(0x14,0x0)/USB(13,0)/USB(0,0)/USB(2,0)/Unit(1)..BO
Boot0003* PXE Device 1: Integrated NIC 1 Port 1 Partition 1	VenHw(3a191845-5f86-4e78-8fce-c4cff59f9daa)
Boot0006* Basalt	HD(1,GPT,00000000-0000-0000-0000-0000000000bb,0x800,0x200000)/File(\EFI\BOOT\BOOTX64.EFI)
Boot0007* Basalt	PciRoot(0x3)/Pci(0x0,0x0)/Pci(0x0,0x0)/NVMe(0x1,00-25-38-5B-91-B0-00-00)/HD(1,GPT,00000000-0000-0000-0000-0000000000CC,0x800,0x200000)/File(\EFI\BOOT\BOOTX64.EFI)
Boot000A  Basalt	HD(1,GPT,00000000-0000-0000-0000-0000000000dd,0x800,0x200000)/File(\EFI\BOOT\BOOTX64.EFI)..BO
Boot000B* Basalt rescue	HD(1,GPT,00000000-0000-0000-0000-0000000000dd,0x800,0x200000)/File(\EFI\BOOT\BOOTX64.EFI)
Boot000C* Basalt	HD(1,MBR,0x2fb5c3e1,0x800,0x200000)/File(\EFI\BOOT\BOOTX64.EFI)
Boot000D* Basalt	VenHw(99e275e7-75a0-4b37-a2e6-c5385e6c00cb)
MirroredPercentageAbove4G: 0.00
MirrorMemoryBelow4GB: false
";

fn ids(ids: &[u128]) -> BTreeSet<Uuid> {
    ids.iter().copied().map(Uuid::from_u128).collect()
}

#[test]
fn our_entries_go_whose_partition_is_new_or_gone_and_no_others() {
    let check = |list: &str, esp: u128, there: &[u128], expected: &[&str]| {
        assert_eq!(stale(list, Uuid::from_u128(esp), &ids(there)), expected);
    };
    check(OVMF, 0x1, &[0x1], &["0001"]);
    check(OVMF, 0xaa, &[0xaa], &["0001"]);
    check(OVMF, 0x1, &[0x1, 0xaa], &[]);
    check(SERVER, 0x1, &[0x1, 0xbb], &["0007", "000A"]);
    check(SERVER, 0x1, &[0x1, 0xbb, 0xcc, 0xdd], &[]);
    check("No BootOrder is set; firmware will attempt recovery\n", 0x1, &[], &[]);
}

#[test]
fn an_entry_is_first_where_it_is_ours_and_of_this_partition() {
    let esp = Uuid::from_u128(0xbb);
    assert!(!is_first(SERVER, esp));
    let ours = SERVER.replace("BootOrder: 0003,0006", "BootOrder: 0006,0003");
    assert!(is_first(&ours, esp) && !is_first(&ours, Uuid::from_u128(0xdd)));
    assert!(!is_first("BootOrder: 0006\n", esp) && !is_first("", esp));
}

/// Keeps its list in memory.
struct InMemory {
    list: String,
    there: BTreeSet<Uuid>,
    has_list: bool,
    /// What it does with a new entry.
    takes: bool,
    done: Vec<String>,
}

impl Firmware for InMemory {
    fn has_list(&self) -> bool {
        self.has_list
    }

    fn list(&self) -> Result<String> {
        Ok(self.list.clone())
    }

    fn partitions(&self) -> Result<BTreeSet<Uuid>> {
        Ok(self.there.clone())
    }

    fn remove(&mut self, number: &str) -> Result<()> {
        self.done.push(format!("removed {number}"));
        bail!("it is write-protected")
    }

    fn put_first(&mut self, disk: &Path, number: u32) -> Result<String> {
        self.done.push(format!("put first {} {number}", disk.display()));
        let id = self.there.first().context("no partition")?;
        let entry = format!("Boot0009* {LABEL}\tHD({number},GPT,{id},0x800,0x1)/File({LOADER})\n");
        let order = if self.takes { "BootOrder: 0009,0000\n" } else { "BootOrder: 0000,0009\n" };
        Ok(order.to_owned() + &entry)
    }
}

/// What was done for a plan, and what was said.
fn made(change: impl Fn(&mut Plan, &mut InMemory)) -> (Vec<String>, String) {
    let mut plan = plan_of_one_disk();
    let esp = plan.disks[0].part(&Role::Esp).unwrap().id;
    let (list, there) = (OVMF.to_owned(), [esp].into());
    let mut firmware = InMemory { list, there, has_list: true, takes: true, done: Vec::new() };
    change(&mut plan, &mut firmware);
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("log");
    let mut log = Log::default();
    log.begin_file(&path).unwrap();
    make(&plan, &mut firmware, &mut log);
    (firmware.done, std::fs::read_to_string(path).unwrap())
}

#[test]
fn the_installed_disk_becomes_the_first_and_no_failure_ends_anything() {
    let both = ["removed 0001", "put first /dev/sda 1"];
    let (done, said) = made(|_, _| ());
    assert_eq!(done, both);
    assert!(
        said.contains("warning: the old boot entry 0001 stays: it is write-protected"),
        "{said}"
    );
    assert!(
        said.ends_with("the boot entry `Basalt` is the first in the firmware's list\n"),
        "{said}"
    );
    let (done, said) = made(|_, firmware| firmware.takes = false);
    assert_eq!(done, both);
    assert!(said.contains("list: it takes another one for the first\nhint: "), "{said}");
}

#[test]
fn the_firmware_keeps_its_list_where_it_has_none_or_the_kickstart_says_so() {
    let (done, said) = made(|_, firmware| firmware.has_list = false);
    assert!(done.is_empty());
    assert_eq!(said, "no boot entry is made: this machine was not started by UEFI\n");
    let (done, said) = made(|plan, _| plan.boot_order = BootOrder::Kept);
    assert!(done.is_empty() && said.is_empty(), "{said}");
}
