//! How long a boot takes, from the firmware to a `hostd` that is ready, in time and in processor
//! seconds of QEMU, over the same kernel booted to a systemd that starts nothing; and what `hostd`
//! takes once it is idle.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_vm::{Machine, Patience, Vm};

use super::{Ground, Measure};
use crate::demo::probe;

/// What the console shows at the end of what is measured.
const MARK: &str = "bench: reached";
/// Rounds of `hostd`, ten seconds apart, and more.
const IDLE: Duration = Duration::from_secs(60);
const COMMAND: Duration = Duration::from_secs(300);

/// One boot, from power-on or reset to the mark.
struct Boot {
    seconds: f64,
    cpu_seconds: f64,
}

pub(super) fn run(ground: &Ground<'_>) -> Result<Vec<Measure>> {
    let bare = bare(ground)?;
    let mut vm = start(ground, "boot", Machine::new(&ground.image.disk).shell(), "hostd.service")?;
    let first = reach(&mut vm, 0.0)?;
    vm.shell()?.run("hostctl gate", COMMAND)?;
    let second = second(&mut vm)?;
    let mut measures = vec![
        Measure::new("first boot: firmware → hostd ready", first.seconds, "s"),
        Measure::new("first boot: processor time", first.cpu_seconds, "s"),
        Measure::new("boot: firmware → hostd ready", second.seconds, "s"),
        Measure::new("boot: processor time", second.cpu_seconds, "s").at_most(40.0),
        Measure::new("same kernel, bare systemd", bare.seconds, "s"),
        Measure::new("same kernel, bare systemd: processor time", bare.cpu_seconds, "s"),
        Measure::new("boot over bare systemd", second.cpu_seconds / bare.cpu_seconds, "×")
            .at_most(1.3),
    ];
    measures.extend(stages(&mut vm)?);
    measures.push(idle(&mut vm)?);
    Ok(measures)
}

/// A target that wants nothing but what prints the mark.
fn bare(ground: &Ground<'_>) -> Result<Boot> {
    let target = "[Unit]\nDefaultDependencies=no\nRequires=bench-mark.service\n";
    let machine = Machine::new(&ground.image.disk)
        .credential("systemd.extra-unit.bench-bare.target", target)
        .kernel_argument("systemd.unit=bench-bare.target");
    let mut vm = start(ground, "bare", machine, "systemd-journald.socket")?;
    reach(&mut vm, 0.0)
}

/// Switches the machine on, with a unit that prints the mark once `after` is active; through the
/// kernel, because what a terminal still holds is lost when its getty starts.
fn start(ground: &Ground<'_>, name: &str, machine: Machine, after: &str) -> Result<Vm> {
    let mark = format!(
        "[Unit]\nDefaultDependencies=no\nAfter={after}\n[Service]\nType=oneshot\n\
         ExecStart=/bin/sh -c 'echo \"<0>{MARK}\" >/dev/kmsg'\n"
    );
    let wants = "[Unit]\nWants=bench-mark.service\n";
    let machine = machine
        .credential("systemd.extra-unit.bench-mark.service", &mark)
        .credential("systemd.unit-dropin.multi-user.target~60-bench", wants);
    Ok(machine.start(&ground.work.join(name))?)
}

/// Waits for the mark; `cpu_before` is what QEMU had used when the boot began.
fn reach(vm: &mut Vm, cpu_before: f64) -> Result<Boot> {
    let began = Instant::now();
    vm.wait_for_console(MARK, Patience::BOOT)?;
    let cpu_seconds = vm.cpu_seconds()? - cpu_before;
    Ok(Boot { seconds: began.elapsed().as_secs_f64(), cpu_seconds })
}

/// The same system once more, without what only a first boot does.
fn second(vm: &mut Vm) -> Result<Boot> {
    vm.qmp().forget_events();
    vm.shell()?.run("systemctl --no-block reboot", COMMAND)?;
    vm.qmp().wait_for_event("RESET", COMMAND)?;
    let cpu_before = vm.cpu_seconds()?;
    reach(vm, cpu_before)
}

fn stages(vm: &mut Vm) -> Result<Vec<Measure>> {
    vm.shell()?.wait_for_reboot(COMMAND)?;
    vm.shell()?.run("systemctl is-system-running --wait", COMMAND)?;
    let analyzed = vm.shell()?.run("systemd-analyze time --no-pager", COMMAND)?.text;
    let stages = probe::stages(&analyzed);
    if stages.is_empty() {
        bail!("the boot is not over: {analyzed}");
    }
    let measure = |(name, time): &(&str, &str)| {
        let seconds = seconds(time).with_context(|| format!("`{time}` is no time"))?;
        Ok(Measure::new(format!("  {name}"), seconds, "s"))
    };
    stages.iter().map(measure).collect()
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

/// A time as systemd-analyze writes it: `1min 24.2s`, `890ms`. Pure.
fn seconds(text: &str) -> Option<f64> {
    let part = |word: &str| {
        let digits = word.trim_end_matches(char::is_alphabetic);
        let factor = match &word[digits.len()..] {
            "h" => 3600.0,
            "min" => 60.0,
            "s" => 1.0,
            "ms" => 0.001,
            "us" => 0.000_001,
            _ => return None,
        };
        Some(digits.parse::<f64>().ok()? * factor)
    };
    text.split_whitespace().map(part).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_systemd_are_seconds() {
        assert_eq!(seconds("1min 24.5s"), Some(84.5));
        assert_eq!(seconds("890ms"), Some(0.89));
        assert_eq!(seconds("soon"), None);
    }
}
