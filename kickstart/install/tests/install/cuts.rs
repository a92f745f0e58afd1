//! An installation that is killed at any step.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::ground::{Disk, Ground, has_disks};

/// Steps of an installation to one disk.
const STEPS: usize = 12;

/// Kills one as it begins this step.
fn cut(ground: &Ground, disk: &Disk, step: usize) {
    let null = || Stdio::from(File::open("/dev/null").expect("/dev/null"));
    let program = ground.program(&disk.kickstart());
    let mut running = program.spawn(null(), Stdio::null(), Stdio::piped()).expect("it runs");
    let stderr = running.child().stderr.take().expect("its stderr");
    let wanted = format!("step {step} of {STEPS}:");
    let mut lines = BufReader::new(stderr).lines().map(|line| line.expect("a line"));
    assert!(lines.any(|line| line.starts_with(&wanted)), "there is no step {step}");
    // Kills its whole group.
    drop(running);
}

#[test]
fn an_installation_that_is_killed_at_any_step_boots_nowhere_and_the_next_one_is_whole() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    ground.install(&disk.kickstart());
    for step in 2..=STEPS {
        assert!(disk.boots(), "what is whole boots");
        cut(&ground, &disk, step);
        // With the last one the loader may be there already, and then all else is.
        assert!(step == STEPS || !disk.boots(), "it boots although step {step} was cut off");
        ground.install(&disk.kickstart());
        disk.check();
    }
}

#[test]
fn a_reinstall_that_is_killed_at_any_step_keeps_var_and_the_next_one_is_whole() {
    if !has_disks() {
        return;
    }
    let ground = Ground::new();
    let disk = ground.disk("disk.img", 520, 512);
    ground.install(&disk.kickstart());
    let name = &disk.name;
    let kept = format!(
        "cmdline\nclearpart --list={name}p1,{name}p2\n\
         part /boot/efi --fstype=efi --size=64 --ondisk={name}\n\
         part / --size=320 --ondisk={name}\npart /var --onpart={name}p3 --noformat\n"
    );
    // One step less: /var is not made.
    for step in 2..STEPS {
        let program = ground.program(&kept);
        let mut running =
            program.spawn(Stdio::null(), Stdio::null(), Stdio::piped()).expect("it runs");
        let stderr = running.child().stderr.take().expect("its stderr");
        let wanted = format!("step {step} of {}:", STEPS - 1);
        let mut lines = BufReader::new(stderr).lines().map(|line| line.expect("a line"));
        assert!(lines.any(|line| line.starts_with(&wanted)), "there is no step {step}");
        drop(running);
        assert!(step == STEPS - 1 || !disk.boots(), "it boots although step {step} was cut off");
    }
    ground.install(&kept);
    disk.check();
    assert!(disk.boots());
}
