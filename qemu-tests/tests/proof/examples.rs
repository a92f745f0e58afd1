//! The examples of kickstarts, each on a machine that has what it is for. That of a mirrored `/var`,
//! that of a host which enrols and the one that keeps `/var` are parts of [`crate::install`].

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use basalt_vm::{Bus, Disk};
use qemu_tests::host::Host;
use qemu_tests::install::{
    CREDENTIAL, boots, disk, empty_disk, example, installs, machine_of, machine_with_disc,
};
use qemu_tests::story::{Start, Story};

const GIB: u64 = 1 << 30;

pub(crate) const STORY: Story = Story {
    name: "install-examples",
    machine: Start::Install(|ground| {
        let [small, large] = others(ground.folder);
        let machine = machine_with_disc(ground.image)?
            .with(empty_disk(&small, 8 * GIB)?)
            .with(empty_disk(&large, 128 * GIB)?)
            .with(empty_disk(&disk(ground.folder), 64 * GIB)?);
        Ok(machine.credential(CREDENTIAL, &example("one-disk")?))
    }),
    steps: &[
        ("one_disk_is_the_smallest_that_is_large_enough", installs_one),
        ("its_host_boots_and_lets_its_operator_in", lets_in),
        ("a_host_with_bonds_vlans_and_bridges_is_installed", installs_network),
        ("its_network_is_what_the_kickstart_says", has_its_network),
    ],
};

/// Disks that are too small and too large.
fn others(folder: &Path) -> [PathBuf; 2] {
    [folder.join("small.raw"), folder.join("large.raw")]
}

fn installs_one(host: &mut Host) -> Result<()> {
    installs(host)?;
    for other in others(&host.folder) {
        ensure!(fs::metadata(&other)?.blocks() == 0, "`{}` was written to", other.display());
    }
    Ok(())
}

fn lets_in(host: &mut Host) -> Result<()> {
    boots(host, &machine_of(&[Disk::new(&disk(&host.folder))]))?;
    ensure!(host.ok("cat /root/.ssh/authorized_keys")?.ends_with(" ops@example"));
    host.until("systemctl is-active ssh")
}

fn on_nvme(folder: &Path) -> PathBuf {
    folder.join("nvme.raw")
}

fn installs_network(host: &mut Host) -> Result<()> {
    let nvme = empty_disk(&on_nvme(&host.folder), 32 * GIB)?.on(Bus::Nvme);
    let machine = machine_with_disc(&host.image)?.with(nvme).slot_with_cards(2);
    let machine = machine.credential(CREDENTIAL, &example("network")?);
    host.vm = machine.start(&host.folder.join("network"))?;
    installs(host)
}

fn has_its_network(host: &mut Host) -> Result<()> {
    let nvme = Disk::new(&on_nvme(&host.folder)).on(Bus::Nvme);
    boots(host, &machine_of(&[nvme]).no_network().slot_with_cards(2))?;
    ensure!(host.ok("hostname")? == "rack4-17.example");
    host.until("ip -4 -o addr show dev bond0.10 | grep -q ' 192.0.2.17/24 '")?;
    host.until("ip -4 route show default | grep -q 'default via 192.0.2.1 dev bond0.10 '")?;
    for (command, expected) in [
        ("cat /proc/net/bonding/bond0", "IEEE 802.3ad"),
        ("cat /proc/net/bonding/bond0", "Slave Interface: ens1f0"),
        ("cat /proc/net/bonding/bond0", "Slave Interface: ens1f1"),
        ("cat /sys/class/net/bond0/mtu", "9000"),
        ("ls /sys/class/net/br-guests/brif", "guests"),
        ("cat /proc/net/vlan/guests", "VID: 20"),
        ("readlink /etc/localtime", "Europe/Berlin"),
        ("nft list ruleset", "dport"),
        ("cat /etc/systemd/timesyncd.conf.d/*", "192.0.2.123"),
    ] {
        let said = host.ok(command)?;
        ensure!(said.contains(expected), "`{command}` says nothing of `{expected}`: {said}");
    }
    Ok(())
}
