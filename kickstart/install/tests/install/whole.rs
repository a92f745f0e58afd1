//! Whole installations, with sectors of either size, and once more over one that is there.

use std::fs::{self, File};
use std::path::Path;
use std::thread;
use std::time::Duration;

use basalt_sysroot::entry::BootEntry;

use super::ground::{Disk, Ground, has_disks, read, said, tool};

/// What a host boots by.
fn entry(disk: &Disk) -> BootEntry {
    let text = disk.esp("loader/entries/basalt-1-a.conf").expect("an entry");
    BootEntry::parse(&text).expect("a whole entry")
}

fn id(disk: &Disk, number: u32) -> String {
    let said = tool("sgdisk").args(["-i", &number.to_string()]).arg(format!("/dev/{}", disk.name));
    let said = said.run().expect("sgdisk").stdout_text();
    let line = said.lines().find_map(|line| line.strip_prefix("Partition unique GUID: "));
    line.expect("an id").to_owned()
}

#[test]
fn a_kickstart_makes_a_disk_that_every_tool_finds_sound() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    ground.install(&(disk.kickstart() + "bootloader --append=\"debug\"\n"));
    disk.check();
    let entry = entry(&disk);
    assert_eq!(entry.title, "Basalt 1 (base)");
    let own = "androidboot.slot_suffix=_a ostree quiet debug";
    assert!(entry.options.ends_with(own), "{}", entry.options);
    let kernel = disk.esp(entry.linux.trim_start_matches('/')).expect("a kernel");
    assert_eq!(kernel.len(), 3_000_001);
    assert_eq!(disk.esp("EFI/BOOT/BOOTX64.EFI").as_deref(), Some("shim"));
    assert_eq!(disk.esp("EFI/BOOT/grubx64.efi").as_deref(), Some("loader"));
    // The menu's reset has none of the host's own arguments.
    let reset = disk.esp("loader/entries/basalt-reset-a+0.conf").expect("a reset");
    assert!(reset.contains("quiet basalt.factory_reset") && !reset.contains("debug"), "{reset}");
    let link = fs::read_link(ground.taken(&disk, 2, "/ostree").join("root.a")).expect("a link");
    assert_eq!(link, Path::new(&format!("deploy/basalt/deploy/{}.0", ground.commit)));
    let log = read(&ground.taken(&disk, 3, "/log").join("basalt-install.log"));
    assert!(log.contains("step 1 of ") && log.contains("from now on the disk boots"), "{log}");
    let kargs = ground.taken(&disk, 3, "/lib").join("hostd-os/kargs.json");
    assert_eq!(read(&kargs), "[\"debug\"]");
}

#[test]
fn a_disk_with_large_sectors_is_sound_too() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 720, 4096);
    ground.install(&disk.kickstart());
    disk.check();
    assert!(disk.boots() && entry(&disk).serial == 1);
}

#[test]
fn an_installation_over_another_shares_no_id_with_it() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    ground.install(&disk.kickstart());
    let before = [1, 2, 3].map(|number| id(&disk, number));
    ground.install(&disk.kickstart());
    disk.check();
    let after = [1, 2, 3].map(|number| id(&disk, number));
    assert!(before.iter().zip(&after).all(|(one, other)| one != other), "{before:?} {after:?}");
}

#[test]
fn a_reinstall_that_keeps_var_keeps_all_that_is_in_it() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    ground.install(&disk.kickstart());
    let before = [1, 2, 3].map(|number| id(&disk, number));
    ground.put_into_var(&disk, "what a workload has");
    ground.install(&(disk.keeping_var() + "network --hostname=again.example\n"));
    disk.check();
    let after = [1, 2, 3].map(|number| id(&disk, number));
    assert_eq!(before[2], after[2], "the partition of /var is the same");
    assert!(before[0] != after[0] && before[1] != after[1]);
    assert_eq!(read(&ground.taken(&disk, 3, "/data")), "what a workload has");
    assert_eq!(read(&ground.etc(&disk).join("hostname")), "again.example\n");
    let log = read(&ground.taken(&disk, 3, "/log").join("basalt-install.log"));
    assert_eq!(log.matches("from now on the disk boots\n").count() / 2, 2, "both are there: {log}");
}

#[test]
fn a_dry_run_shows_all_of_it_and_writes_nothing() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    let before = super::refusals::Copy::of(&disk);
    let kickstart = disk.kickstart() + "%pre\ntouch /tmp/never-by-a-dry-run\n%end\n";
    let shown = ground.program(&kickstart).arg("--dry-run").run().expect("it runs").stdout_text();
    for expected in ["new partition table", "/var ", "from now on the disk boots", &ground.commit] {
        assert!(shown.contains(expected), "no `{expected}` in {shown}");
    }
    let json = ground.program(&kickstart).args(["--dry-run", "--json"]).run().expect("it runs");
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let parts = &json["plan"]["disks"][0]["parts"];
    assert_eq!(parts[0]["role"], "esp");
    assert_eq!(parts[1]["extent"]["start"], 65 << 20);
    before.check(&disk);
    assert!(!Path::new("/tmp/never-by-a-dry-run").exists());
}

#[test]
fn var_on_a_second_disk_is_mounted_by_its_id_and_keeps_what_lies_below_it_apart() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let (first, second) = (ground.disk("1.img", 450, 512), ground.disk("2.img", 300, 4096));
    let (one, two) = (&first.name, &second.name);
    let kickstart = format!(
        "cmdline\nzerombr\nclearpart --all --initlabel --drives={one},{two}\n\
         part /boot/efi --fstype=efi --size=64 --ondisk={one}\n\
         part / --size=320 --ondisk={one}\n\
         part swap --size=32 --ondisk={one}\n\
         part /var/lib/containers --size=100 --ondisk={two} --fsoptions=noatime\n\
         part /var --size=64 --grow --ondisk={two}\n\
         sshkey --username=root \"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 ops\"\n"
    );
    ground.install(&kickstart);
    first.check_table();
    second.check_table();
    for part in [first.part(2), second.part(1), second.part(2)] {
        tool("e2fsck").args(["-f", "-n"]).arg(part).run().expect("a sound file system");
    }
    let etc = ground.etc(&first);
    let lower = |disk: &Disk, number| id(disk, number).to_lowercase();
    let expected = format!(
        "PARTUUID={} none swap defaults 0 0\nPARTUUID={} /var/lib/containers ext4 noatime 0 2\n\
         PARTUUID={} /var ext4 defaults 0 2\n",
        lower(&first, 3),
        lower(&second, 1),
        lower(&second, 2)
    );
    assert_eq!(read(&etc.join("fstab")), expected);
    let masked = fs::read_link(etc.join("systemd/system/systemd-repart.service")).expect("a link");
    assert_eq!(masked, Path::new("/dev/null"));
    let keys = ground.taken(&second, 2, "/roothome").join(".ssh/authorized_keys");
    assert!(read(&keys).ends_with(" ops\n"));
    assert!(first.boots() && !second.boots());
}

#[test]
fn who_only_looks_at_a_partition_that_goes_is_waited_for() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    ground.install(&disk.kickstart());
    let looks = File::open(disk.part(1)).expect("a partition");
    let refused = ground.refused(&disk.kickstart());
    assert!(refused.contains("a partition that is to go is still open"), "{refused}");
    assert!(!disk.boots(), "an installation that is not whole boots");
    let installs = ground.program(&disk.kickstart());
    let installs = thread::spawn(move || installs.output().expect("it runs"));
    // Longer than it takes to come there.
    thread::sleep(Duration::from_secs(4));
    assert!(!installs.is_finished(), "it did not wait");
    drop(looks);
    let output = installs.join().expect("a thread");
    assert!(output.status.success(), "{}", said(&output));
    disk.check();
}
