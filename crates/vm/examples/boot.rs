//! Boots a disk, looks around in it, reboots it and switches it off:
//! `cargo run --release -p basalt-vm --example boot -- DISK FOLDER [secure]`.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use basalt_vm::{Firmware, Machine, Patience, Vm};

const BOOT: Duration = Duration::from_secs(600);
const LOOK: &str = "systemctl --failed; findmnt /var; hostname; cat /proc/cmdline";

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [disk, folder, rest @ ..] = words.as_slice() else {
        return Err("which disk, and which folder for the machine?".into());
    };
    let secure = rest.first().is_some_and(|word| word == "secure");
    let firmware = if secure { Firmware::SecureBoot } else { Firmware::Plain };
    let machine = Machine::new(Path::new(disk)).firmware(firmware).shell().forward(22);
    let began = Instant::now();
    let mut vm = machine
        .kernel_argument("basalt.example")
        .start(Path::new(folder))
        .map_err(|error| shown(&error))?;
    let result = visit(&mut vm, began);
    result.map_err(|error| shown(&error))
}

fn visit(vm: &mut Vm, began: Instant) -> Result<(), basalt_vm::VmError> {
    let say = |vm: &Vm, what: &str| {
        let (wall, cpu) =
            (began.elapsed().as_secs_f64(), vm.processor().seconds().unwrap_or_default());
        println!("== {what} after {wall:.1} s, {cpu:.1} processor seconds");
    };
    println!("port 22 is at 127.0.0.1:{}", vm.forwarded(22)?);
    vm.shell()?.wait_until_up(BOOT)?;
    say(vm, "shell");
    vm.wait_for_console("login:", Patience::BOOT)?;
    say(vm, "login prompt");
    look(vm)?;
    say(vm, "look");
    vm.qmp().forget_events();
    vm.shell()?.reboot(BOOT)?;
    say(vm, "reboot");
    vm.qmp().wait_for_event("RESET", Duration::from_secs(1))?;
    look(vm)?;
    vm.qmp().reset()?;
    vm.shell()?.wait_for_reboot(BOOT)?;
    say(vm, "reset");
    vm.shell()?.run("systemctl is-system-running --wait", BOOT)?;
    vm.qmp().power_down()?;
    vm.wait_for_end(Duration::from_secs(120))?;
    println!("== off after {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn look(vm: &mut Vm) -> Result<(), basalt_vm::VmError> {
    let answer = vm.shell()?.run(LOOK, Duration::from_secs(120))?;
    println!("{}\n(exit code {})", answer.text, answer.code);
    Ok(())
}

/// With its causes.
fn shown(error: &basalt_vm::VmError) -> Box<dyn Error> {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text.into()
}
