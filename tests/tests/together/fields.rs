//! Fields of a workload whose effect shows only over time, seen at the engine.

use std::time::{Duration, Instant};

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, text};
use basalt_tests::ground::TINY;
use basalt_tests::until::until;

/// A container that runs a script.
fn apply(fleet: &Fleet, name: &str, rest: &str, container: &str, script: &str) {
    let spec = format!(
        "name = {name:?}\nkind = \"container\"\n{rest}\n[container]\nimage = {TINY:?}\n\
         network = \"none\"\ncommand = [\"sh\", \"-c\", {script:?}]\n{container}\n"
    );
    let file = fleet.put(&format!("{name}.toml"), &spec);
    let said = fleet.host.ctl(&["apply", text(&file)]);
    assert!(said.ok, "{}", said.errors);
}

/// The name of its container.
fn container(fleet: &Fleet, name: &str) -> Option<String> {
    let uid = fleet.host.workloads()?.get(name)?["uid"].as_str()?[..8].to_owned();
    Some(format!("{name}-{uid}"))
}

/// How often it has run, by what the engine has of its output.
fn runs(fleet: &Fleet, name: &str) -> usize {
    let Some(container) = container(fleet, name) else { return 0 };
    let log = fleet.ground.engine.ask(&format!("GET /containers/{container}/logs?stdout=1"));
    String::from_utf8_lossy(&log.body).matches("ran").count()
}

#[test]
fn what_follows_an_end_is_what_the_spec_says() {
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    fleet.host.start();
    let apply = |name: &str, restart: &str, code: u8| {
        let script = format!("echo ran; exit {code}");
        apply(&fleet, name, &format!("restart = {restart:?}"), "", &script);
    };
    apply("done", "on_failure", 0);
    apply("never", "never", 3);
    for name in ["done", "never"] {
        until(DEADLINE, &format!("{name} has finished"), || {
            (fleet.host.workloads()?.get(name)?["state"] == "finished").then_some(())
        });
    }
    // A first end is followed at once: what would run those again has had its time once others,
    // which began after their end, have run again.
    apply("always", "always", 0);
    apply("failed", "on_failure", 3);
    for name in ["always", "failed"] {
        until(DEADLINE, &format!("{name} runs again"), || (runs(&fleet, name) > 1).then_some(()));
    }
    let workloads = fleet.host.workloads().unwrap();
    for (name, code) in [("done", 0), ("never", 3)] {
        assert_eq!(runs(&fleet, name), 1, "{name}: {:?}", workloads[name]);
        assert_eq!(workloads[name]["exit_code"], code);
        assert_eq!(workloads[name]["restarts"], 0);
    }
    // Once more, because its operator wants it.
    assert!(fleet.host.ctl(&["start", "done"]).ok);
    until(DEADLINE, "it runs once more", || (runs(&fleet, "done") == 2).then_some(()));
}

#[test]
fn who_does_not_end_when_asked_is_killed_after_its_grace() {
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    fleet.host.start();
    let deaf = "trap '' TERM; while :; do sleep 0.1; done";
    apply(&fleet, "deaf", "", "stop_grace_s = 2", deaf);
    fleet.host.becomes(&[("deaf", "running")]);
    let began = Instant::now();
    assert!(fleet.host.ctl(&["stop", "deaf"]).ok);
    fleet.host.becomes(&[("deaf", "stopped")]);
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(9), "{took:?}");
    let inspected = fleet.ground.engine.inspect(&container(&fleet, "deaf").unwrap());
    assert_eq!(inspected["State"]["ExitCode"], 137, "{inspected}");
}
