//! Drift: what somebody does to a container by hand, past `hostd`, is mended.

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet};
use basalt_tests::until::until;
use serde_json::Value;

/// The one container, as the engine has it, once it runs; one more is a mistake.
fn running(fleet: &Fleet, is_it: impl Fn(&Value) -> bool) -> Value {
    until(DEADLINE, "exactly one container runs again", || {
        let containers = fleet.containers();
        assert!(containers.len() <= 1, "it was doubled: {containers:?}");
        let answer =
            fleet.ground.engine.ask(&format!("GET /containers/{}/json", containers.first()?));
        let one = (answer.status == 200).then(|| answer.json())?;
        let state = &one["State"];
        let runs =
            state["Running"] == true && state["Paused"] != true && state["Status"] == "running";
        (runs && is_it(&one)).then_some(one)
    })
}

pub(crate) fn what_somebody_removes_stops_or_pauses_by_hand_runs_again(kind: Kind) {
    let Some(fleet) = Fleet::start(kind) else { return };
    fleet.apply("web", "");
    let by_hand = |request: &str| {
        let answer = fleet.ground.engine.ask(request);
        assert!(answer.status < 300, "{request}: {}", answer.status);
    };
    let first = running(&fleet, |_| true);
    let id = |one: &Value| one["Id"].as_str().unwrap().to_owned();
    by_hand(&format!("POST /containers/{}/pause", id(&first)));
    let resumed = running(&fleet, |_| true);
    assert_eq!((&resumed["Id"], &resumed["State"]["Pid"]), (&first["Id"], &first["State"]["Pid"]));
    fleet.host.becomes(&[("web", "running")]);

    by_hand(&format!("POST /containers/{}/stop?t=5", id(&first)));
    let started = running(&fleet, |one| one["State"]["Pid"] != first["State"]["Pid"]);
    assert_eq!(started["Id"], first["Id"], "it is started again, and not made anew");
    fleet.host.becomes(&[("web", "running")]);

    by_hand(&format!("DELETE /containers/{}?force=true", id(&first)));
    running(&fleet, |one| one["Id"] != first["Id"]);
    fleet.host.becomes(&[("web", "running")]);

    // Paused once more, it is stopped and removed as any other.
    by_hand(&format!("POST /containers/{}/pause", fleet.containers()[0]));
    assert!(fleet.endpoint.ctl(&["delete", "web"]).ok);
    fleet.host.becomes(&[]);
    assert_eq!(fleet.containers(), Vec::<String>::new());
}
