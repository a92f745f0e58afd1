//! A host and its releases: an update that is cut off, one by delta, a kernel that panics, and a
//! rollout that fails.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use basalt_power_cut::{Awaited, Boots, Recording, Torture, boot};
use qemu_tests::host::{BROUGHT_OVER, Host};
use qemu_tests::image::Image;
use qemu_tests::recording::Recorded;
use qemu_tests::releases::{GREETED, GREETING as EARLY_GREETING, Releases};
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
        ("a_release_whose_kernel_panics_left_its_last_words", kernel_panics),
        ("a_release_whose_gate_fails_stops_its_rollout_and_is_not_taken_again", gate_fails),
        ("whatever_a_power_cut_leaves_of_an_update_boots", power_cuts),
    ],
};

const GREETING: &str = "usr/share/greeting";
/// What both releases bring, and the second one has changed; of these, the host changes the other.
const IN_ETC: &str = "etc/of-the-image";
const CONTESTED: &str = "etc/contested";
/// The folder of what is recorded.
const RECORDING: &str = "recording";
/// Machines that boot at a time after a power cut: the story's own has ended.
const AT_A_TIME: usize = 2;
/// The chances that power cuts take.
const SEED: u64 = 4;

fn first(releases: &Releases) -> Result<Image> {
    // What fails in a rollout fails at once here.
    let tries = ("usr/lib/basalt/hostd.toml.d/50-tries.toml", "[updates]\ntries = 1\n");
    let etc = |text| [(IN_ETC, text), (CONTESTED, text)];
    let [own, contested] = etc("from 1\n");
    let files = [(GREETING, "hello from 1\n"), tries, own, contested];
    let image = releases.install("1", &files, &[])?;
    releases.publish()?;
    let [own, contested] = etc("from 2\n");
    releases.build("2", &[(GREETING, "hello from 2\n"), tries, own, contested])?;
    releases.publish()?;
    Ok(image)
}

/// While the release is being laid out, with much of it in memory alone.
fn cut_off(host: &mut Host) -> Result<()> {
    host.passes_the_gate()?;
    host.ok("hostctl os update >/run/update 2>&1 & true")?;
    host.until("grep -q ^deploying /run/update")?;
    host.vm.qmp().quit()?;
    host.vm.wait_for_end(Duration::from_secs(60))?;
    // From here on what is written is recorded.
    Recorded::start_again(host, &host.folder.join(RECORDING))?;
    host.passes_the_gate()?;
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
    host.ok(&format!("echo mine >/etc/mine && echo mine >/{CONTESTED}"))?;
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
    brings_checks(host)?;
    host.reboot()?;
    host.until("hostctl status | grep -q 'b, blessed'")?;
    host.expect_status("version", "2")?;
    was_checked(host)?;
    ensure!(host.ok(&format!("cat /{GREETING}"))? == "hello from 2");
    let said = host.ok("hostctl os status")?;
    ensure!(said.contains("\na     1        blessed"), "{said}");
    ensure!(said.contains("\nb     2        blessed, runs, boots next"), "{said}");
    let said = host.ok("hostctl os update 2>&1")?;
    ensure!(said.ends_with(" is offered, and runs"), "{said}");
    Ok(())
}

/// One that needs more than the gate's sandbox allows, and one that fails and stops nothing.
fn brings_checks(host: &mut Host) -> Result<()> {
    let write = |folder: &str, script: &str| {
        let file = format!("/etc/basalt/{folder}/10-own");
        format!(
            "mkdir -p /etc/basalt/{folder} && printf '#!/bin/sh\\n{script}\\n' >{file} && \
             chmod +x {file}"
        )
    };
    host.ok(&write("required.d", "touch /run/was-checked"))?;
    host.ok(&write("wanted.d", "echo no backup; exit 2"))?;
    Ok(())
}

fn was_checked(host: &mut Host) -> Result<()> {
    host.ok("test -e /run/was-checked")?;
    let said = "/etc/basalt/wanted.d/10-own: this check failed, exit code 2: no backup";
    host.until(&format!("hostctl status | grep -qF '{said}'"))?;
    host.ok("rm -r /etc/basalt/wanted.d && systemctl restart basalt-checks.service")?;
    host.until("hostctl status | grep -q 'wrong *nothing'")
}

fn etc_comes_along(host: &mut Host) -> Result<()> {
    ensure!(host.ok("cat /etc/mine /etc/late")? == "mine\nlate");
    // What the image changed arrives, and what both did is the host's, and is told.
    ensure!(host.ok(&format!("cat /{IN_ETC} /{CONTESTED}"))? == "from 2\nmine");
    let said = host.ok("hostctl os status")?;
    ensure!(said.contains(&format!("/{CONTESTED}")) && !said.contains(IN_ETC), "{said}");
    Ok(())
}

/// An update with an initramfs of its own; both slots hold something by now.
fn kernel_panics(host: &mut Host) -> Result<()> {
    // Early, but once there is something that keeps its words. Only a host that was told where to
    // enrol: those of the power cuts are to come up.
    let panic = "[Unit]\nAfter=systemd-modules-load.service\n\
                 [Service]\nImportCredential=basalt.join\nExecStartPre=/bin/sh -c \
                 'test ! -e $$CREDENTIALS_DIRECTORY/basalt.join || echo c >/proc/sysrq-trigger'\n";
    let unit = "usr/lib/systemd/system/nftables.service.d/90-panic.conf";
    let early = [(EARLY_GREETING, "hello from 3\n"), GREETED];
    let third = host.releases()?.build_with("3", &[(unit, panic)], &early)?;
    host.releases()?.publish()?;
    let recorded = Recorded::of(&host.folder.join(RECORDING), &host.folder.join("disk.qcow2"));
    recorded.update(host, "hostctl os update --tries 1 2>&1", &third)?;
    host.reboots_soon()?;
    has_failed(host, "Kernel panic - not syncing")?;
    let said = host.told_of("3")?;
    ensure!(said.contains("bad") && said.contains("Kernel panic"), "{said}");
    Ok(())
}

fn gate_fails(host: &mut Host) -> Result<()> {
    let check = "#!/bin/sh\necho the array is degraded\nexit 3\n";
    host.releases()?.build("4", &[("usr/lib/basalt/required.d/50-array", check)])?;
    host.releases()?.publish()?;
    host.ctl(&["os", "channel", "set", "stable", "4"])?;
    host.ctl(&["os", "rollout", "start", "--no-drain"])?;
    host.vm.wait_for_console("reboot: Restarting system", BROUGHT_OVER)?;
    let why = "required.d/50-array: this check failed, exit code 3: the array is degraded";
    has_failed(host, why)?;
    host.eventually("the rollout stops", |host| {
        let said = host.ctl(&["os", "rollout", "status"])?;
        let why = said.lines().find(|line| line.contains("  failed  ")).unwrap_or_default();
        let is_told = said.contains("stopped") && why.contains("is bad: gate: ");
        Ok(if is_told { Ok(()) } else { Err(said) })
    })?;
    let said = host.told_of("4")?;
    ensure!(said.contains("bad") && said.contains("gate: "), "{said}");
    let said = host.ok("hostctl os history --json")?;
    let told: serde_json::Value = serde_json::from_str(&said)?;
    let last = told["events"].as_array().and_then(|events| events.last()).context("no event")?;
    let reason = last["reason"].as_str().context("no reason")?;
    let parts = ["/usr/lib/basalt/required.d/50-array: exit code 3", "the array is degraded"];
    ensure!(parts.iter().all(|part| reason.contains(part)), "{last}");
    ensure!(!reason.contains("is good"), "{last}");
    // The end of what that boot wrote: units that stop.
    let journal = last["journal"].as_array().map(Vec::len).unwrap_or_default();
    ensure!((5..=20).contains(&journal), "{last}");
    let said = host.fails("hostctl status")?;
    ensure!(said.contains("version 4 was tried and did not prove itself: gate: "), "{said}");
    let said = host.fails("hostctl os update 2>&1")?;
    ensure!(said.contains("4 was tried here at ") && said.contains(" and is bad: "), "{said}");
    Ok(())
}

/// The console shows `sign`, and then the host runs what it ran before.
fn has_failed(host: &mut Host, sign: &str) -> Result<()> {
    host.console_says(&[sign, "slot b blessed, hostd is "])?;
    host.catches_up()?;
    host.passes_the_gate()?;
    host.expect_status("version", "2")
}

/// Its power cuts: one at each flush, 200 others, and 3 of them booted. The machine is not needed
/// any more.
fn power_cuts(host: &mut Host) -> Result<()> {
    host.vm.qmp().quit()?;
    let recording = Recording::read(&host.folder.join(RECORDING))?.context("it was recorded")?;
    let torture = Torture::of(&recording)?;
    for awaited in Awaited::ALL {
        ensure!(torture.awaited().any(|it| it == awaited), "no sync after which {awaited}");
        ensure!(is_missed(&torture, awaited)?, "nothing misses the sync after which {awaited}");
    }
    let flushes = torture.flush_count();
    let report = torture.states(SEED, 0..flushes + 200)?;
    ensure!(report.flushes.alone == flushes, "{:?}", report.flushes);
    let (old, new, each_ms) = (report.old, report.new, report.state_ms);
    eprintln!("power cuts: {old} boot what ran, {new} the new one; {each_ms:.0} ms each");
    ensure!(report.findings.is_empty() && report.old > 0 && report.new > 0, "{report:?}");
    // What has all up to a flush and nothing else is what least can be wrong with.
    let others = report.boots.iter().filter(|it| it.0 >= flushes);
    let some = |boots| others.clone().filter(move |it| it.1 == boots).map(|it| it.0);
    let chosen = some(Boots::New).take(2).chain(some(Boots::Old).take(1));
    let boots = |state| boots_after(&host.folder, &torture, &recording, state);
    chosen.collect::<Vec<u64>>().chunks(AT_A_TIME).try_for_each(|states| all_do(states, boots))
}

/// A machine ends with the thread that started it.
fn all_do(states: &[u64], boots: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
    let boots = &boots;
    thread::scope(|scope| {
        let started: Vec<_> =
            states.iter().map(|&state| scope.spawn(move || boots(state))).collect();
        for boot in started {
            boot.join().map_err(|_| anyhow!("a thread that boots a machine panicked"))??;
        }
        Ok(())
    })
}

/// Boots what the power cut of this number left.
fn boots_after(folder: &Path, torture: &Torture, recording: &Recording, state: u64) -> Result<()> {
    let folder = folder.join(format!("power-cut-{state}"));
    fs::create_dir(&folder)?;
    let disk = folder.join("disk.raw");
    let expected = torture.write(SEED, state, &disk)?;
    boot(&disk, &folder, recording, expected).with_context(|| format!("state {state}"))?;
    Ok(fs::remove_file(&disk)?)
}

/// Whether a state shows what this sync is for. One of five does, or more.
fn is_missed(torture: &Torture, awaited: Awaited) -> Result<bool> {
    for first in (0..64).step_by(8) {
        if !torture.states_without(awaited, SEED, first..first + 8)?.findings.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}
