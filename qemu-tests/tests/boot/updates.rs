//! A host and its releases: an update by delta, and the way back.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use basalt_cmd::Cmd;
use basalt_vm::Machine;
use qemu_tests::host::{Host, machine};
use qemu_tests::image::Image;
use qemu_tests::releases::Releases;
use qemu_tests::story::{Start, Story};

pub(crate) const STORY: Story = Story {
    name: "updates",
    machine: Start::Releases(first),
    steps: &[
        ("an_update_that_was_cut_off_by_the_power_leaves_what_ran", cut_off),
        ("a_pinned_host_takes_no_update_and_all_is_told_in_json", pinned),
        ("a_host_is_told_what_is_offered_and_takes_it_by_a_delta", takes_an_update),
        ("the_next_boot_is_its_trial_and_it_is_blessed_in_the_other_slot", boots_it),
        ("what_is_changed_in_etc_before_the_reboot_comes_along", etc_comes_along),
        ("a_rollback_boots_what_ran_before", goes_back),
        ("a_release_whose_gate_fails_is_bad_here_and_not_taken_again", gate_fails),
        ("a_release_whose_kernel_panics_left_its_last_words", kernel_panics),
    ],
};

const GREETING: &str = "usr/share/greeting";

fn first(releases: &Releases, folder: &Path) -> Result<(Image, Machine)> {
    let image = releases.build("1", &[(GREETING, "hello from 1\n")])?;
    releases.publish()?;
    releases.build("2", &[(GREETING, "hello from 2\n")])?;
    releases.publish()?;
    // A disk that outlives its machine.
    let disk = folder.join("disk.qcow2");
    let create = Cmd::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
    create.arg(fs::canonicalize(&image.disk)?).arg(&disk).run()?;
    let image = Image { disk, ..image };
    let machine = on(&image, releases);
    Ok((image, machine))
}

fn on(image: &Image, releases: &Releases) -> Machine {
    let config = format!("[updates]\nurl = \"{}\"\n", releases.url());
    machine(image).keep_writes().shell().credential("basalt.hostd", &config)
}

/// While the release is being laid out, with much of it in memory alone.
fn cut_off(host: &mut Host) -> Result<()> {
    host.ok("hostctl gate --deadline 200")?;
    host.ok("hostctl os update >/run/update 2>&1 & true")?;
    host.until("grep -q ^deploying /run/update")?;
    host.vm.qmp().quit()?;
    host.vm.wait_for_end(Duration::from_secs(60))?;
    let folder = host.folder.join("after-the-cut");
    fs::create_dir(&folder)?;
    host.vm = on(&host.image, host.releases()?).start(&folder)?;
    host.ok("hostctl gate --deadline 200")?;
    host.expect_status("version", "1")?;
    host.expect_status("slot", "a")?;
    let said = host.ok("hostctl os status")?;
    ensure!(said.contains("\na     1        blessed, runs, boots next"), "{said}");
    Ok(())
}

fn pinned(host: &mut Host) -> Result<()> {
    host.ok("hostctl os pin 'we count'")?;
    let said = host.fails("hostctl os update 2>&1")?;
    ensure!(said.contains("the host is pinned: we count"), "{said}");
    ensure!(said.contains("hint: `hostctl os unpin` allows updates again"), "{said}");
    for (command, part) in [
        ("status", "\"pinned\": \"we count\""),
        ("unpin", "\"tell\": \"done\""),
        ("check", "\"tell\": \"offered\""),
        ("kargs", "\"host\": []"),
        ("history", "\"events\": []"),
    ] {
        let said = host.ok(&format!("hostctl os {command} --json"))?;
        ensure!(said.contains(part), "{command}: {said}");
    }
    let said = host.fails("hostctl os clear 1 2>&1")?;
    ensure!(said.contains("nothing is known of a release `1`"), "{said}");
    Ok(())
}

fn takes_an_update(host: &mut Host) -> Result<()> {
    let said = host.ok("hostctl os check")?;
    ensure!(said.starts_with("version 2, commit ") && said.ends_with(" is offered"), "{said}");
    host.ok("echo mine >/etc/mine")?;
    let said = host.ok("hostctl os update 2>&1")?;
    ensure!(said.contains("deploying "), "{said}");
    ensure!(said.ends_with(" boots at the next reboot"), "{said}");
    // All of the image has hundreds of megabytes.
    let delta = said.lines().find(|line| line.starts_with("2: 0.") || line.starts_with("2: 1."));
    ensure!(delta.is_some(), "{said}");
    let said = host.ok("hostctl os status")?;
    ensure!(said.contains("\nb     2        on trial, 3 tries left, boots next"), "{said}");
    host.ok("systemctl is-active hostd-os.socket")?;
    host.fails("pgrep -x hostd-os")?;
    Ok(())
}

fn boots_it(host: &mut Host) -> Result<()> {
    // After the release was laid out, and before the reboot.
    host.ok("echo late >/etc/late")?;
    host.reboot()?;
    host.until("hostctl status | grep -q 'b, blessed'")?;
    host.expect_status("version", "2")?;
    ensure!(host.ok(&format!("cat /{GREETING}"))? == "hello from 2");
    let said = host.ok("hostctl os status")?;
    ensure!(said.contains("\na     1        blessed"), "{said}");
    ensure!(said.contains("\nb     2        blessed, runs, boots next"), "{said}");
    let said = host.ok("hostctl os update 2>&1")?;
    ensure!(said.ends_with(" is offered, and runs"), "{said}");
    Ok(())
}

fn etc_comes_along(host: &mut Host) -> Result<()> {
    ensure!(host.ok("cat /etc/mine /etc/late")? == "mine\nlate");
    Ok(())
}

fn goes_back(host: &mut Host) -> Result<()> {
    let said = host.ok("hostctl os rollback 2>&1")?;
    ensure!(said.contains("version 1, commit "), "{said}");
    host.reboot()?;
    host.until("hostctl status | grep -q 'a, blessed'")?;
    ensure!(host.ok(&format!("cat /{GREETING}"))? == "hello from 1");
    let said = host.ok("hostctl os history")?;
    let what: Vec<&str> = said.lines().skip(1).filter_map(|line| line.split("  ").nth(1)).collect();
    ensure!(what == ["installed", "good", "rolled back"], "{said}");
    Ok(())
}

fn gate_fails(host: &mut Host) -> Result<()> {
    let config = "[gate]\nrequired_units = [\"never.service\"]\ndeadline_s = 20\n";
    host.releases()?.build("3", &[("usr/lib/basalt/hostd.toml.d/90-bad.toml", config)])?;
    fails_its_trial(host, "3", "this boot is not good after 20 s")?;
    let said = host.ok("hostctl os status")?;
    let verdict = said.lines().find(|line| line.starts_with("3 ")).unwrap_or_default();
    ensure!(verdict.contains("bad") && verdict.contains("gate: "), "{said}");
    let said = host.ok("hostctl os history --json")?;
    ensure!(said.contains("never.service: it is inactive, and must be active"), "{said}");
    let said = host.fails("hostctl status")?;
    ensure!(said.contains("version 3 was tried and did not prove itself: gate: "), "{said}");
    let said = host.fails("hostctl os update 2>&1")?;
    ensure!(said.contains("3 was tried here at ") && said.contains(" and is bad: "), "{said}");
    Ok(())
}

fn kernel_panics(host: &mut Host) -> Result<()> {
    let panic = "[Service]\nExecStartPre=/bin/sh -c 'echo c >/proc/sysrq-trigger'\n";
    let unit = "usr/lib/systemd/system/basalt-gate.service.d/90-panic.conf";
    host.releases()?.build("4", &[(unit, panic)])?;
    fails_its_trial(host, "4", "Kernel panic - not syncing")?;
    let said = host.ok("hostctl os status")?;
    let verdict = said.lines().find(|line| line.starts_with("4 ")).unwrap_or_default();
    ensure!(verdict.contains("bad") && verdict.contains("Kernel panic"), "{said}");
    Ok(())
}

/// Publishes what was built last and tries it once; then the host runs what it ran before. The
/// console shows `sign` when it fails, and no boot before showed that.
fn fails_its_trial(host: &mut Host, version: &str, sign: &str) -> Result<()> {
    host.releases()?.publish()?;
    let said = host.ok("hostctl os update --tries 1 2>&1")?;
    ensure!(said.contains(&format!("version {version}, commit ")), "{said}");
    host.ok("systemctl --no-block reboot")?;
    host.console_says(&[sign, "slot a blessed, hostd is "])?;
    host.catches_up()?;
    host.ok("hostctl gate --deadline 200")?;
    host.expect_status("version", "1")
}
