//! A host that is enrolled anew over the state of before.

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, text};
use basalt_tests::until::until;

pub(crate) fn what_ran_under_the_replaced_id_is_left_alone_until_it_is_purged(kind: Kind) {
    let Some(mut fleet) = Fleet::start(kind) else { return };
    fleet.apply("web", "");
    let own = fleet.container("own", "");
    assert!(fleet.host.ctl(&["apply", text(&own)]).ok);
    fleet.host.becomes(&[("own", "running"), ("web", "running")]);
    let before = fleet.containers();
    let pids = |fleet: &Fleet| {
        let containers = fleet.containers();
        let pids =
            containers.iter().map(|id| fleet.ground.engine.inspect(id)["State"]["Pid"].clone());
        pids.collect::<Vec<_>>()
    };
    let running = pids(&fleet);
    let old = fleet.endpoint.host().unwrap();
    let name = old["name"].as_str().unwrap();
    fleet.host.kill();
    // Its disk is in another machine now, which takes its place.
    assert!(fleet.endpoint.ctl(&["delete", "web"]).ok);
    fleet.host.put("etc/machine-id", "a107her");
    let token = fleet.endpoint.ctl(&["token", "create", "--replace", name]);
    assert!(token.ok, "{}", token.errors);
    fleet.host.put("etc/basalt/join", token.text.lines().next().unwrap());
    fleet.host.start();
    fleet.host.stands("connected");
    let new = until(DEADLINE, "the endpoint has it under a new id", || {
        let hosts = fleet.endpoint.ctl(&["hosts", "--json"]).json();
        let hosts = hosts["hosts"].as_array()?.clone();
        hosts.into_iter().find(|host| host["id"] != old["id"] && host["state"] == "present")
    });
    assert_eq!(new["name"], old["name"]);
    let orphans = until(DEADLINE, "both are orphans", || {
        let all = fleet.host.workloads()?;
        (all.len() == 2 && all.values().all(|one| one["source"] == "orphaned")).then_some(all)
    });
    for one in orphans.values() {
        let why = one["reason"].as_str().unwrap_or_default();
        assert!(why.contains("it belongs to another host's id: it is left alone"), "{why}");
    }
    // Something else of the new set is done meanwhile; the orphans are not touched by it.
    fleet.apply("new", "");
    let left = |fleet: &Fleet| fleet.containers().iter().filter(|id| before.contains(id)).count();
    assert_eq!(left(&fleet), 2);
    assert!(fleet.endpoint.ctl(&["delete", "new"]).ok);
    until(DEADLINE, "it is gone", || (fleet.containers().len() == 2).then_some(()));
    assert_eq!((fleet.containers(), pids(&fleet)), (before, running));
    let purged = fleet.host.ctl(&["purge", "web", "own", "--yes"]);
    assert!(purged.ok, "{}", purged.errors);
    fleet.host.becomes(&[]);
    assert_eq!(fleet.containers(), Vec::<String>::new());
}
