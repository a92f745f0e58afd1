//! A first install: its host's configuration lies on the ESP before it ever boots, another Basalt
//! disk is in the machine, and its hostd is broken, with nothing to fall back to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use basalt_vm::{Disk, Machine};
use qemu_tests::disk;
use qemu_tests::host::{Host, machine};
use qemu_tests::image::Image;
use qemu_tests::story::{Start, Story};

const HOST_TOML: &str = "\
hostname = \"rack2-3\"
[ssh]
authorized_keys = [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGGG first\"]
";

/// udev hears of the partition for /var before it hears of the disk, as now and then happens on a
/// machine with more than one processor. The initramfs, which gets this too, finds disks as ever.
const LATE_DISKS: &str = "\
[Service]
ExecStart=
ExecStart=sh -c '[ ! -e /etc/initrd-release ] || exec udevadm trigger --type=all --action=add; \
until [ -e /sys/class/block/vdb3 ]; do sleep 0.1; done; \
udevadm trigger --type=all --action=add --subsystem-nomatch=block; \
for disk in /sys/class/block/vd[ab] /sys/class/block/vd[ab][12]; do echo add >$$disk/uevent; done'
";

pub(crate) const STORY: Story = Story {
    name: "first-install",
    machine: Start::Disk(beside_another_disk),
    steps: &[
        ("a_first_install_with_a_broken_hostd_stays_up_and_says_so", stays_up),
        ("var_is_mounted_although_udev_saw_it_before_its_disk", var_is_mounted),
        ("a_host_toml_on_a_fresh_disk_is_taken_on_its_first_boot", host_toml_is_taken),
        ("of_two_basalt_disks_the_one_that_the_loader_came_from_is_used", own_disk_is_used),
    ],
};

/// The other disk is the first that the guest finds.
fn beside_another_disk(image: &Image, folder: &Path) -> Result<Machine> {
    let own = own_disk(folder);
    disk::copy_with_new_ids(&image.disk, &own)?;
    disk::put_on_esp(&own, "basalt/host.toml", HOST_TOML)?;
    let broken = "[Service]\nExecStart=\nExecStart=/usr/bin/false\n";
    Ok(machine(&Image { disk: own, ..image.clone() })
        .in_front(Disk::new(&image.disk))
        .shell()
        .credential("systemd.unit-dropin.systemd-udev-trigger.service", LATE_DISKS)
        .credential("systemd.unit-dropin.hostd.service", broken)
        .credential("basalt.hostd", "[gate]\ndeadline_s = 20\n"))
}

fn own_disk(folder: &Path) -> PathBuf {
    folder.join("disk.raw")
}

fn stays_up(host: &mut Host) -> Result<()> {
    host.console_says(&["this boot is not good", "staying here: this boot is not on trial"])?;
    host.stays_up(Duration::from_secs(20))?;
    let gate = host.ok("systemctl is-failed basalt-gate.service")?;
    ensure!(gate == "failed", "{gate}");
    let status = host.fails("hostctl status")?;
    ensure!(status.contains("hint: `systemctl status hostd`"), "{status}");
    Ok(())
}

fn var_is_mounted(host: &mut Host) -> Result<()> {
    let asked = host.ok("systemctl show -P ExecStart systemd-udev-trigger")?;
    ensure!(asked.contains("until"), "{asked}");
    ensure!(host.ok("findmnt -no SOURCE /var")? == "/dev/vdb3");
    Ok(())
}

/// And somebody can log in, although hostd is broken.
fn host_toml_is_taken(host: &mut Host) -> Result<()> {
    ensure!(host.ok("journalctl --list-boots -o json | grep -o boot_id | wc -l")? == "1");
    ensure!(host.ok("hostname")? == "rack2-3");
    ensure!(host.ok("cat /root/.ssh/authorized_keys")?.ends_with(" first"));
    ensure!(host.ok("cat /var/lib/basalt/host.toml")? == HOST_TOML.trim());
    ensure!(host.ok("stat -c '%a %U' /var/lib/basalt/host.toml")? == "600 root");
    host.fails("test -e /efi/basalt/host.toml")?;
    host.ok("systemctl is-active ssh")?;
    Ok(())
}

fn own_disk_is_used(host: &mut Host) -> Result<()> {
    let [esp, root] = disk::partitions(&own_disk(&host.folder))?;
    let variable = "/sys/firmware/efi/efivars/LoaderDevicePartUUID-\
                    4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
    let loader = host.ok(&format!("tr -cd 'A-Fa-f0-9-' <{variable}"))?;
    ensure!(loader.eq_ignore_ascii_case(&esp.uuid), "the loader came from {loader}");
    for (mounted, expected) in [("/efi", Some(&esp)), ("/sysroot", Some(&root)), ("/var", None)] {
        let device = host
            .ok(&format!("ls {mounted} >/dev/null; findmnt -nvo SOURCE -t ext4,vfat {mounted}"))?;
        ensure!(device.starts_with("/dev/vdb"), "{mounted} is {device}");
        let id = host.ok(&format!("lsblk -dno PARTUUID {device}"))?;
        let is_ours = expected.is_none_or(|ours| id.eq_ignore_ascii_case(&ours.uuid));
        ensure!(is_ours, "{mounted} is {device} with the id {id}");
    }
    // Nothing was made on the other one.
    let disks = host.ok("ls -d /dev/vd*")?;
    ensure!(
        disks == "/dev/vda\n/dev/vda1\n/dev/vda2\n/dev/vdb\n/dev/vdb1\n/dev/vdb2\n/dev/vdb3",
        "{disks}"
    );
    Ok(())
}
