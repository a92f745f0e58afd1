//! A live host: its root comes over the network into 1 GiB of memory, and it touches no disk.

use std::fs::File;

use anyhow::{Context, Result, ensure};
use basalt_cmd::Cmd;
use basalt_vm::Disk;
use qemu_tests::fresh::no_unit_fails;
use qemu_tests::host::Host;
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "live",
    machine: Start::Live(|live, image| {
        live.damage()?;
        // The disk of a host is in the machine, whole and not this one's.
        Ok(live.machine()?.disk(&image.disk).shell())
    }),
    steps: &[
        ("a_root_that_the_initrd_does_not_name_is_not_booted", refused),
        ("a_live_host_is_ready_with_1_gib_once_its_root_is_served", ready),
        ("a_live_host_has_nothing_of_a_disk_and_makes_nothing_there", touches_no_disk),
        ("a_live_system_carries_its_commit_for_an_installer", has_its_commit),
        ("a_network_that_was_told_to_end_comes_back", network_comes_back),
        ("var_is_on_the_partition_that_is_named_for_it_and_stays", keeps_var),
        ("a_root_comes_over_https_from_whom_the_initrd_believes", comes_by_https),
    ],
};

fn refused(host: &mut Host) -> Result<()> {
    let live = host.live.as_ref().context("a live system")?;
    host.vm.wait_for_console("has the SHA-256", basalt_vm::Patience::BOOT)?;
    live.mend()?;
    host.console_says(&["hint: kernel, initrd and rootfs of one build belong together"])?;
    host.console_says(&["the boot failed", "basalt-live-root.service", "starting over"])?;
    ensure!(!host.vm.console().contains("/var is in memory"), "it went on");
    Ok(())
}

fn ready(host: &mut Host) -> Result<()> {
    host.console_says(&["the rootfs is whole", "/var is in memory"])?;
    host.passes_the_gate()?;
    host.expect_status("state", "ready")?;
    let version = host.image.version.clone();
    host.expect_status("version", &version)?;
    no_unit_fails(host)?;
    let free: u64 = host.ok("awk '/^MemAvailable/ {print $2}' /proc/meminfo")?.parse()?;
    ensure!(free > 200 << 10, "{free} KiB of memory are left");
    Ok(())
}

fn touches_no_disk(host: &mut Host) -> Result<()> {
    ensure!(host.ok("findmnt -no FSTYPE /var")? == "tmpfs");
    ensure!(host.ok("findmnt -no FSTYPE /")? == "overlay");
    let mounted = host.ok("findmnt -rno SOURCE,TARGET")?;
    ensure!(!mounted.contains("/dev/vd"), "{mounted}");
    ensure!(host.ok("ls -d /dev/vd*")? == "/dev/vda\n/dev/vda1\n/dev/vda2");
    // Nor was it by the one that was damaged.
    ensure!(host.vm.qmp().writes(0)? == 0, "it was written to");
    // Nothing may run in /usr but what came.
    host.fails("touch /usr/file")?;
    host.ok("touch /etc/file /var/file")?;
    Ok(())
}

fn has_its_commit(host: &mut Host) -> Result<()> {
    let commit = host.image.commit.clone();
    let booted = host.ok("readlink /sysroot/ostree/root.a")?;
    ensure!(booted.contains(&commit), "{booted}");
    host.ok(&format!("ostree --repo=/sysroot/ostree/repo ls -R {commit} >/dev/null"))?;
    Ok(())
}

/// Another machine, with an empty disk that has such a partition.
fn keeps_var(host: &mut Host) -> Result<()> {
    host.vm.kill();
    let disk = host.folder.join("var.raw");
    File::create(&disk)?.set_len(4 << 30)?;
    let cmd = Cmd::new("sgdisk").args(["--new=1:0:0", "--change-name=1:basalt-var"]).arg(&disk);
    cmd.run()?;
    let live = host.live.as_ref().context("a live system")?;
    let machine = live.machine()?.with(Disk::new(&disk)).keep_writes().shell();
    host.vm = machine.start(&host.folder.join("var"))?;
    host.console_says(&["the rootfs is whole", "/var is on "])?;
    host.passes_the_gate()?;
    ensure!(host.ok("findmnt -no SOURCE,FSTYPE /var")? == "/dev/vda1 ext4");
    let size: u64 = host.ok("findmnt -bno SIZE /var")?.parse()?;
    ensure!(size > 3 << 30, "{size} bytes");
    host.ok("echo kept >/var/kept")?;
    host.reboot()?;
    host.passes_the_gate()?;
    ensure!(host.ok("cat /var/kept")? == "kept");
    no_unit_fails(host)
}

/// Two more machines; the first believes whom the image does.
fn comes_by_https(host: &mut Host) -> Result<()> {
    host.vm.kill();
    let live = host.live.as_ref().context("a live system")?;
    let web = live.serve_by_tls()?;
    let stranger = live.secure_machine(&web, &live.initrd())?;
    let believer = live.secure_machine(&web, &live.initrd_that_trusts(&web.ca())?)?;
    host.vm = stranger.start(&host.folder.join("stranger"))?;
    host.console_says(&["UnknownIssuer", "asking again in"])?;
    ensure!(!host.vm.console().contains("the rootfs is whole"), "it believed a stranger");
    host.vm.kill();
    host.vm = believer.shell().start(&host.folder.join("believer"))?;
    host.console_says(&["MB from https://", "the rootfs is whole"])?;
    host.passes_the_gate()?;
    no_unit_fails(host)
}

fn network_comes_back(host: &mut Host) -> Result<()> {
    let pid = "systemctl show -P MainPID systemd-networkd";
    let before = host.ok(pid)?;
    host.ok(&format!("kill -TERM {before}"))?;
    host.until(&format!("systemctl is-active systemd-networkd && [ $({pid}) != {before} ]"))
}
