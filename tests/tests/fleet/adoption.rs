//! What a host of the release before left behind, in its words: they never change.

use basalt_tests::engine::Kind;
use basalt_tests::fleet::Fleet;
use basalt_tests::ground::TINY;
use serde_json::json;

/// A ledger as release 0.1 wrote it, with one workload of the host's own.
const LEDGER: &str = include_str!("ledger-0.1");
/// The hash that release 0.1 gave the spec in it.
const HASH: &str = "1-ffc0be373cf9df5dea381aea9f400a0d36e04a1aae99811108360962823cd925";

pub(crate) fn a_container_of_the_release_before_is_adopted_by_its_ledger(kind: Kind) {
    let Some(mut fleet) = Fleet::prepare(kind) else { return };
    let body = json!({
        "Image": TINY, "Cmd": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"],
        "Labels": {
            "io.basalt.uid": "0f8fad5b-d9cb-469f-a165-70867728950e",
            "io.basalt.owner": "local",
            "io.basalt.name": "web",
            "io.basalt.hash": HASH,
        },
        "HostConfig": { "NetworkMode": "none" },
    });
    let engine = &fleet.ground.engine;
    let made = engine.send("POST /containers/create?name=web-0f8fad5b", &body);
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    assert_eq!(engine.ask("POST /containers/web-0f8fad5b/start").status, 204);
    let before = engine.inspect("web-0f8fad5b");
    for name in ["ledger.a", "ledger.b"] {
        fleet.host.put(&format!("var/lib/hostd/{name}"), LEDGER);
    }
    fleet.host.start();
    fleet.host.becomes(&[("web", "running")]);
    let workload = fleet.host.workloads().unwrap().remove("web").unwrap();
    assert_eq!((&workload["source"], &workload["restarts"]), (&json!("local"), &json!(0)));
    let plan = fleet.host.ctl(&["plan", "--json"]).json();
    let after = fleet.ground.engine.inspect("web-0f8fad5b");
    assert_eq!((&after["Id"], &after["State"]["Pid"]), (&before["Id"], &before["State"]["Pid"]));
    assert_eq!(workload["hash"], workload["wanted"], "nothing of it is to be replaced: {plan}");
    assert!(fleet.host.ctl(&["delete", "web"]).ok);
    fleet.host.becomes(&[]);
    assert_eq!(fleet.containers(), Vec::<String>::new());
}
