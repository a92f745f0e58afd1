//! Releases that fail in each of the ways that CI does not try, hosts without room, and the way
//! back and forth. After each a cold machine boots what should run.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use basalt_vm::{Machine, Patience};
use qemu_tests::host::{BROUGHT_OVER, Host};
use qemu_tests::image::Image;
use qemu_tests::releases::{GREETED, GREETING, Releases};
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "trials",
    machine: Start::Releases(first),
    steps: &[
        ("a_host_without_room_takes_no_update_and_boots_what_ran", full),
        ("a_release_whose_initramfs_fails_is_left", initramfs_fails),
        ("a_release_whose_initramfs_hangs_is_left", initramfs_hangs),
        ("a_release_whose_hostd_crashes_is_left", hostd_crashes),
        ("a_release_that_hangs_is_reset_by_the_watchdog_and_left", hangs),
        ("without_a_watchdog_the_kernels_own_timer_ends_what_hangs", hangs_without_a_watchdog),
        ("three_power_cycles_in_a_trial_say_nothing_of_the_release", power_cycles),
        ("an_update_there_and_back_needs_no_endpoint", there_and_back),
    ],
};

const UNITS: &str = "usr/lib/systemd/system";
/// Says how long a trial may take in the initramfs.
const SOON: &str = "usr/lib/systemd/system/basalt-trial-deadline.timer.d/90-soon.conf";
/// What the kernel says last before a reboot that was asked for.
const REBOOTS: &str = "reboot: Restarting system";
/// What the firmware says when it starts the loader.
const LOADER: &str = "BdsDxe: starting ";
/// From there until the kernel surely runs, and long before a boot can prove itself.
const KERNEL_RUNS: Duration = Duration::from_secs(10);
/// What the console says of a host that runs the first release again.
const FIRST_AGAIN: &str = "slot a blessed, hostd is ";

fn first(releases: &Releases) -> Result<Image> {
    let image = releases.install("1", &[], &[])?;
    releases.publish()?;
    Ok(image)
}

/// Switches the machine off and a new one on, from the firmware; what runs then.
fn cold(host: &mut Host, version: &str) -> Result<()> {
    let machine = host.of_releases()?;
    restarts(host, &machine)?;
    runs(host, version)
}

fn restarts(host: &mut Host, machine: &Machine) -> Result<()> {
    host.powers_off()?;
    let folder = host.folder.join(format!("cold-{}", host.vm.process_id()));
    host.vm = machine.start(&folder)?;
    Ok(())
}

fn runs(host: &mut Host, version: &str) -> Result<()> {
    host.passes_the_gate()?;
    host.expect_status("version", version)
}

fn release(host: &Host, version: &str, files: &[(&str, &str)]) -> Result<()> {
    let releases = host.releases()?;
    releases.build(version, files)?;
    releases.publish()
}

/// Tries the release that was published last, once, and it is left.
fn is_left(host: &mut Host, version: &str, signs: &[&str], verdict: &str) -> Result<()> {
    host.ok("hostctl os update --tries 1 2>&1")?;
    host.reboots_soon()?;
    host.console_says(&[REBOOTS])?;
    was_left(host, version, signs, verdict)
}

/// The console shows these signs, the host then runs the first release again, and says of the
/// other one what `verdict` says.
fn was_left(host: &mut Host, version: &str, signs: &[&str], verdict: &str) -> Result<()> {
    host.console_says(signs)?;
    host.console_says(&[FIRST_AGAIN])?;
    host.catches_up()?;
    runs(host, "1")?;
    let said = host.told_of(version)?;
    ensure!(said.contains(verdict), "{said}");
    cold(host, "1")
}

/// The ESP, the root and `/var`, one after the other.
fn full(host: &mut Host) -> Result<()> {
    runs(host, "1")?;
    let text = "hello from 2\n";
    let early = [(GREETING, text), GREETED];
    host.releases()?.build_with("2", &[("usr/share/greeting", text)], &early)?;
    host.releases()?.publish()?;
    host.ok("mount -o remount,rw /sysroot")?;
    for (place, part) in [("/efi", "the ESP has "), ("/sysroot", "the root has "), ("/var", "")] {
        host.ok(&format!("! dd if=/dev/zero of={place}/fill bs=1M 2>&1"))?;
        let said = host.fails("hostctl os update 2>&1")?;
        ensure!(said.contains("error: ") && said.contains(part), "{place}: {said}");
        ensure!(part.is_empty() || said.contains(" MiB free, and the release needs "), "{said}");
        let said = host.ok("hostctl os status")?;
        ensure!(said.contains("\na     1        blessed, runs, boots next"), "{place}: {said}");
        // It boots as full as it is.
        let machine = host.of_releases()?;
        restarts(host, &machine)?;
        if place == "/var" {
            host.until("hostctl status 2>&1 | grep -q 'No space left on device'")?;
            host.expect_status("version", "1")?;
        } else {
            runs(host, "1").with_context(|| format!("{place} is full"))?;
        }
        host.ok("mount -o remount,rw /sysroot")?;
        host.ok(&format!("rm {place}/fill && sync"))?;
        runs(host, "1").with_context(|| format!("{place} was full"))?;
    }
    host.ok("hostctl os update 2>&1")?;
    host.reboot()?;
    host.until("hostctl status | grep -q 'b, blessed'")?;
    host.ok("hostctl os rollback 2>&1")?;
    cold(host, "1")
}

fn initramfs_fails(host: &mut Host) -> Result<()> {
    // It finds its root and makes no system of it.
    let prepare = "usr/lib/ostree/ostree-prepare-root";
    host.releases()?.build_with("3", &[], &[(prepare, "#!/bin/sh\nexit 1\n")])?;
    host.releases()?.publish()?;
    is_left(host, "3", &[], "bad")
}

/// It never ends to make a system of its root.
fn initramfs_hangs(host: &mut Host) -> Result<()> {
    let prepare = ("usr/lib/ostree/ostree-prepare-root", "#!/bin/sh\nexec sleep infinity\n");
    let soon = (SOON, "[Timer]\nOnActiveSec=\nOnActiveSec=30\n");
    let takes = format!("install_items+=\" /{SOON} \"\n");
    let takes = ("usr/lib/dracut/dracut.conf.d/90-soon.conf", &*takes);
    host.releases()?.build_with("3.1", &[], &[prepare, soon, takes])?;
    host.releases()?.publish()?;
    is_left(host, "3.1", &["it waits in the initramfs for: ostree-prepare-root.service"], "bad")
}

fn hostd_crashes(host: &mut Host) -> Result<()> {
    let unit = format!("{UNITS}/hostd.service.d/90-crash.conf");
    let crash = "[Service]\nExecStartPre=/bin/sh -c 'kill -SEGV $$$$'\n";
    release(host, "4", &[(&unit, crash)])?;
    // By somebody who does not look on.
    host.soon("hostctl os update --tries 1 --reboot now")?;
    host.vm.wait_for_console(REBOOTS, BROUGHT_OVER)?;
    was_left(host, "4", &[], "bad")
}

/// Nothing runs any more but one loop. The kernel would leave others a twentieth of the time, which
/// is enough for a deadline.
fn hangs(host: &mut Host) -> Result<()> {
    hangs_with(host, "5", &[], "inconclusive")
}

/// A panic of the kernel ends it, whose words say so.
fn hangs_without_a_watchdog(host: &mut Host) -> Result<()> {
    let none = ("usr/lib/modprobe.d/90-none.conf", "blacklist iTCO_wdt\nblacklist i6300esb\n");
    hangs_with(host, "5.1", &[none], "Kernel panic - not syncing")
}

/// Tries a release that hangs, with these files.
fn hangs_with(host: &mut Host, version: &str, files: &[(&str, &str)], verdict: &str) -> Result<()> {
    let unit = format!("{UNITS}/basalt-gate.service.d/90-hang.conf");
    let hang = "[Service]\nCPUSchedulingPolicy=fifo\nCPUSchedulingPriority=99\n\
                ExecStartPre=+/bin/sh -c 'mountpoint -q /sys/kernel/debug || \
                mount -t debugfs debugfs /sys/kernel/debug; \
                for server in /sys/kernel/debug/sched/fair_server/cpu*; do \
                echo 0 >$$server/runtime; done; \
                echo -1 >/proc/sys/kernel/sched_rt_runtime_us; \
                echo it hangs >/dev/console; while :; do :; done'\n";
    release(host, version, &[files, &[(&unit, hang)]].concat())?;
    is_left(host, version, &["it hangs"], verdict)
}

fn power_cycles(host: &mut Host) -> Result<()> {
    release(host, "6", &[("usr/share/greeting", "hello from 6\n")])?;
    host.ok("hostctl os update --tries 3 2>&1")?;
    host.reboots_soon()?;
    host.console_says(&[REBOOTS])?;
    for _ in 0..3 {
        host.vm.wait_for_console(LOADER, Patience::BOOT)?;
        // A quiet kernel says nothing: the loader has counted by then, and nobody has decided.
        std::thread::sleep(KERNEL_RUNS);
        host.vm.qmp().reset()?;
    }
    host.console_says(&[FIRST_AGAIN])?;
    host.catches_up()?;
    runs(host, "1")?;
    let said = host.told_of("6")?;
    ensure!(said.contains("inconclusive"), "{said}");
    cold(host, "1")
}

/// Update, rollback, update, downgrade, update.
fn there_and_back(host: &mut Host) -> Result<()> {
    // It is made with a token, which only an endpoint that is there gives.
    let machine = host.of_releases()?;
    host.endpoint()?.stop();
    release(host, "7", &[("usr/share/greeting", "hello from 7\n")])?;
    for (command, version) in [
        ("update", "7"),
        ("rollback", "1"),
        ("update", "7"),
        ("update --version 2", "2"),
        ("update", "7"),
    ] {
        host.ok(&format!("hostctl os {command} 2>&1"))?;
        restarts(host, &machine)?;
        runs(host, version).with_context(|| format!("after `{command}`"))?;
        host.until("hostctl status | grep -q ', blessed'")?;
    }
    let said = host.ok("hostctl os history")?;
    ensure!(said.contains("rolled back"), "{said}");
    Ok(())
}
