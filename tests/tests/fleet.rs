//! The real endpoint, the real `hostd` and a real engine: what an operator applies runs, and goes
//! on running whoever is killed.

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, text};
use basalt_tests::ground::TINY;
use basalt_tests::until::until;

fn what_is_applied_runs_speaks_and_goes(kind: Kind) {
    let Some(fleet) = Fleet::start(kind) else { return };
    fleet.apply("web", "");
    fleet.host.becomes(&[("web", "running")]);
    assert_eq!(fleet.endpoint.ctl(&["logs", "web"]).text.trim(), "here");
    assert_eq!(fleet.host.ctl(&["logs", "web"]).text.trim(), "here");
    assert!(fleet.endpoint.ctl(&["delete", "web"]).ok);
    fleet.host.becomes(&[]);
    assert_eq!(fleet.containers(), Vec::<String>::new());
}

fn nothing_stops_and_nothing_doubles_when_either_is_killed(kind: Kind) {
    let Some(mut fleet) = Fleet::start(kind) else { return };
    for name in ["a", "b"] {
        fleet.apply(name, "");
    }
    let before = fleet.containers();
    assert_eq!(before.len(), 2);
    fleet.host.kill();
    fleet.host.start();
    fleet.host.becomes(&[("a", "running"), ("b", "running")]);
    fleet.endpoint.kill();
    fleet.host.kill();
    // The host comes back without its endpoint and knows what it runs.
    fleet.host.start();
    fleet.host.becomes(&[("a", "running"), ("b", "running")]);
    fleet.endpoint.start();
    assert!(fleet.endpoint.ctl(&["delete", "a"]).ok);
    fleet.host.becomes(&[("b", "running")]);
    let after = fleet.containers();
    assert!(after.len() == 1 && before.contains(&after[0]), "{before:?} became {after:?}");
}

fn a_container_that_is_killed_comes_back(kind: Kind) {
    let Some(fleet) = Fleet::start(kind) else { return };
    fleet.apply("web", "");
    let id = fleet.containers().remove(0);
    let answer = fleet.ground.engine.ask(&format!("POST /containers/{id}/kill"));
    assert_eq!(answer.status, 204);
    until(DEADLINE, "it was started again", || {
        let list = fleet.host.ctl(&["workloads", "--json"]).json();
        let one = &list["workloads"][0];
        (one["restarts"] == 1 && one["state"] == "running").then_some(())
    });
}

fn a_hold_of_the_hosts_operator_outlives_hostd(kind: Kind) {
    let Some(mut fleet) = Fleet::start(kind) else { return };
    fleet.apply("web", "");
    assert!(fleet.host.ctl(&["stop", "web"]).ok);
    fleet.host.becomes(&[("web", "stopped")]);
    fleet.host.kill();
    fleet.host.start();
    fleet.host.becomes(&[("web", "stopped")]);
    assert!(fleet.host.ctl(&["start", "web"]).ok);
    fleet.host.becomes(&[("web", "running")]);
}

fn what_the_policy_denies_is_told_and_harms_no_other(kind: Kind) {
    let Some(fleet) = Fleet::start(kind) else { return };
    let greedy = format!(
        "name = \"greedy\"\nkind = \"container\"\n[container]\nimage = {TINY:?}\nprivileged = true\n"
    );
    let greedy = fleet.put("greedy.toml", &greedy);
    assert!(fleet.endpoint.ctl(&["apply", text(&greedy)]).ok);
    fleet.apply("web", "");
    fleet.host.becomes(&[("greedy", "refused"), ("web", "running")]);
    let told = fleet.endpoint.ctl(&["describe", "greedy"]).text;
    assert!(told.contains("this host does not allow privileged containers"), "{told}");
}

/// Runs each test on both engines, each on a thread of its own.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod podman {
            $(#[test]
            fn $name() {
                super::$name(basalt_tests::engine::Kind::Podman);
            })*
        }
        mod dockerd {
            $(#[test]
            fn $name() {
                super::$name(basalt_tests::engine::Kind::Docker);
            })*
        }
    };
}
on_both!(
    what_is_applied_runs_speaks_and_goes,
    nothing_stops_and_nothing_doubles_when_either_is_killed,
    a_container_that_is_killed_comes_back,
    a_hold_of_the_hosts_operator_outlives_hostd,
    what_the_policy_denies_is_told_and_harms_no_other,
);
