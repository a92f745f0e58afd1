//! How long a boot takes, from the firmware to a `hostd` that is ready, in time and in processor
//! seconds of QEMU, over the same kernel booted to a systemd that starts nothing; and what `hostd`
//! takes once it is idle.

mod stages;
mod timeline;

use std::time::Duration;

use anyhow::{Context, Result};
use basalt_vm::{Machine, Patience, Vm};

use super::{Ground, Measure};
use timeline::{Recorder, Timeline};

/// What the console shows at the end of what is measured.
const MARK: &str = "bench: reached";
/// Rounds of `hostd`, ten seconds apart, and more.
const IDLE: Duration = Duration::from_secs(60);
const COMMAND: Duration = Duration::from_secs(300);

/// Prints the mark through the kernel, because what a terminal still holds is lost when its getty
/// starts.
const PRINT: &str = "echo \"<0>bench: reached\" >/dev/kmsg";

pub(super) fn run(ground: &Ground<'_>) -> Result<Vec<Measure>> {
    let (bare_seconds, bare_cpu) = bare(ground)?.end();
    let machine = Machine::new(&ground.image()?.disk).shell();
    let mut vm = start(ground, "boot", machine, "hostd.service", PRINT)?;
    let first = reach(&mut vm, 0.0)?;
    vm.shell()?.run("hostctl gate", COMMAND)?;
    let second = again(&mut vm)?;
    let (seconds, cpu) = second.end();
    let mut measures = vec![
        Measure::new("first boot: firmware → hostd ready", first.end().0, "s"),
        Measure::new("first boot: processor time", first.end().1, "s"),
        Measure::new("boot: firmware → hostd ready", seconds, "s"),
        Measure::new("boot: processor time", cpu, "s").at_most(40.0),
    ];
    measures.extend(by_stage(&mut vm, &second)?);
    measures.extend([
        Measure::new("same kernel, bare systemd: firmware → its target", bare_seconds, "s"),
        Measure::new("boot over bare systemd, by the clock", seconds / bare_seconds, "×"),
        Measure::new("same kernel, bare systemd: processor time", bare_cpu, "s"),
        Measure::new("boot over bare systemd", cpu / bare_cpu, "×").at_most(1.3),
        idle(&mut vm)?,
    ]);
    Ok(measures)
}

/// The second boot into a target that wants nothing but what prints the mark, and then reboots.
fn bare(ground: &Ground<'_>) -> Result<Timeline> {
    let target = "[Unit]\nDefaultDependencies=no\nRequires=bench-mark.service\n";
    let machine = Machine::new(&ground.image()?.disk)
        .credential("systemd.extra-unit.bench-bare.target", target)
        .kernel_argument("systemd.unit=bench-bare.target");
    let command = format!("{PRINT}; sleep 3; systemctl --no-block reboot");
    let mut vm = start(ground, "bare", machine, "systemd-journald.socket", &command)?;
    vm.qmp().forget_events();
    reach(&mut vm, 0.0)?;
    after_reset(&mut vm)
}

/// Switches the machine on, with a unit that runs `command` once `after` is active.
fn start(
    ground: &Ground<'_>,
    name: &str,
    machine: Machine,
    after: &str,
    command: &str,
) -> Result<Vm> {
    let mark = format!(
        "[Unit]\nDefaultDependencies=no\nAfter={after}\n[Service]\nType=oneshot\n\
         ExecStart=/bin/sh -c '{command}'\n"
    );
    let wants = "[Unit]\nWants=bench-mark.service\n";
    let machine = machine
        .credential("systemd.extra-unit.bench-mark.service", &mark)
        .credential("systemd.unit-dropin.multi-user.target~60-bench", wants);
    Ok(machine.start(&ground.work.join(name))?)
}

/// Waits for the mark; `cpu_before` is what QEMU had used when the boot began.
fn reach(vm: &mut Vm, cpu_before: f64) -> Result<Timeline> {
    let recorder = Recorder::start(vm.processor(), cpu_before);
    vm.wait_for_console(MARK, Patience::BOOT)?;
    recorder.finish()
}

/// The same system once more, without what only a first boot does.
fn again(vm: &mut Vm) -> Result<Timeline> {
    vm.qmp().forget_events();
    vm.shell()?.run("systemctl --no-block reboot", COMMAND)?;
    after_reset(vm)
}

/// Waits for the guest's reset and then for the mark.
fn after_reset(vm: &mut Vm) -> Result<Timeline> {
    vm.qmp().wait_for_event("RESET", COMMAND)?;
    let cpu_before = vm.processor().seconds()?;
    reach(vm, cpu_before)
}

fn by_stage(vm: &mut Vm, timeline: &Timeline) -> Result<Vec<Measure>> {
    vm.shell()?.wait_for_reboot(COMMAND)?;
    vm.shell()?.run("systemctl is-system-running --wait", COMMAND)?;
    let analyzed = vm.shell()?.run("systemd-analyze time --no-pager", COMMAND)?.text;
    let told = stages::Told { console: &vm.console(), mark: MARK, analyzed: &analyzed };
    stages::measures(timeline, &told)
}

fn idle(vm: &mut Vm) -> Result<Measure> {
    let command = format!(
        "sleep {}; sed -n 's/^Pss: *\\([0-9]*\\) kB$/\\1/p' /proc/$(pidof hostd)/smaps_rollup",
        IDLE.as_secs()
    );
    let text = vm.shell()?.run(&command, COMMAND)?.text;
    let kib: f64 = text.trim().parse().with_context(|| format!("`{text}` is no size"))?;
    Ok(Measure::new("hostd idle, PSS", kib / 1024.0, "MiB").at_most(8.0))
}
