//! An installation that is killed at any step.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use super::ground::{Ground, has_disks, read};

/// Steps of an installation to one disk.
const STEPS: usize = 12;

/// Kills one as it begins this step.
fn cut(ground: &Ground, kickstart: &str, (step, of): (usize, usize)) {
    let program = ground.program(kickstart);
    let running = program.spawn(Stdio::null(), Stdio::null(), Stdio::piped());
    let mut running = running.expect("it runs");
    let stderr = running.child().stderr.take().expect("its stderr");
    let wanted = format!("step {step} of {of}:");
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
        cut(&ground, &disk.kickstart(), (step, STEPS));
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
    ground.put_into_var(&disk, "what a workload has");
    // One step less: /var is not made.
    for step in 2..STEPS {
        cut(&ground, &disk.keeping_var(), (step, STEPS - 1));
        assert!(step == STEPS - 1 || !disk.boots(), "it boots although step {step} was cut off");
    }
    ground.install(&disk.keeping_var());
    disk.check();
    assert!(disk.boots());
    assert_eq!(read(&ground.taken(&disk, 3, "/data")), "what a workload has");
}
