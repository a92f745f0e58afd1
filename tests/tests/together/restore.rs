//! An endpoint that was restored from an older backup: nothing stops, and an operator decides.

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{Fleet, text};

/// A fleet whose endpoint was put back to before `c` was applied and `b` deleted, and its
/// containers, `a` and `c`.
fn restored() -> Option<(Fleet, String, Vec<String>)> {
    let mut fleet = Fleet::start(Kind::Podman)?;
    fleet.apply("a", "");
    fleet.apply("b", "");
    let backup = fleet.ground.path("backup");
    let said = fleet.endpoint.command(&["backup", text(&backup)]);
    assert!(said.ok, "{}", said.errors);
    fleet.apply("c", "");
    assert!(fleet.endpoint.ctl(&["delete", "b"]).ok);
    fleet.host.becomes(&[("a", "running"), ("c", "running")]);
    let containers = fleet.containers();
    assert_eq!(containers.len(), 2);

    fleet.endpoint.kill();
    let said = fleet.endpoint.command(&["restore", text(&backup), "--overwrite"]);
    assert!(said.ok, "{}", said.errors);
    fleet.endpoint.start();
    let why = fleet.host.stands("frozen");
    assert!(why.contains("older backup"), "{why}");
    fleet.is_at_the_endpoint("ahead");
    assert_eq!(fleet.containers(), containers);
    fleet.host.becomes(&[("a", "running"), ("c", "running")]);
    let name = fleet.endpoint.host().unwrap()["name"].as_str().unwrap().to_owned();
    Some((fleet, name, containers))
}

#[test]
fn nothing_stops_after_a_restore_and_the_hosts_set_can_be_kept() {
    let Some((mut fleet, name, containers)) = restored() else { return };
    // What is applied meanwhile waits, also over a restart of either.
    let waiting = fleet.container("d", "");
    assert!(fleet.endpoint.ctl(&["apply", text(&waiting)]).ok);
    fleet.host.kill();
    fleet.host.start();
    fleet.host.stands("frozen");
    fleet.host.becomes(&[("a", "running"), ("c", "running")]);
    assert_eq!(fleet.containers(), containers);

    let said = fleet.endpoint.ctl(&["hosts", "resync", &name, "--keep-host", "--yes"]);
    assert!(said.ok, "{}", said.errors);
    fleet.host.stands("connected");
    // `c` is the endpoint's again, and goes on as it was; `b`, which the host had not, is not back.
    let said = fleet.endpoint.ctl(&["describe", "c", "--json"]);
    assert!(said.ok, "the endpoint did not take it over: {}", said.errors);
    fleet.apply("e", "");
    let now = fleet.containers();
    assert!(containers.iter().all(|id| now.contains(id)), "{containers:?} became {now:?}");
    assert!(fleet.endpoint.ctl(&["delete", "c"]).ok);
    basalt_tests::until::until(basalt_tests::fleet::DEADLINE, "c goes", || {
        (!fleet.host.workloads()?.contains_key("c")).then_some(())
    });
}

#[test]
fn after_a_restore_the_endpoints_set_can_be_taken() {
    let Some((fleet, name, _)) = restored() else { return };
    let process = |name: &str| {
        let uid = fleet.host.workloads().unwrap()[name]["uid"].as_str().unwrap()[..8].to_owned();
        fleet.ground.engine.inspect(&format!("{name}-{uid}"))["State"]["Pid"].clone()
    };
    let before = process("a");
    let said = fleet.endpoint.ctl(&["hosts", "resync", &name, "--from-endpoint"]);
    assert!(said.ok, "{}", said.errors);
    fleet.host.stands("connected");
    fleet.host.becomes(&[("a", "running"), ("b", "running")]);
    assert_eq!(process("a"), before, "what both know goes on");
    assert_eq!(fleet.containers().len(), 2);
}
