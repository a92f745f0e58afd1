//! Two hosts with a copy of one state.

use basalt_cmd::Cmd;
use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, Host};
use basalt_tests::until::until;

/// Another host with a copy of the first one's state, as a cloned disk has it, and an engine of its
/// own. The first one's `hostd` does not run meanwhile.
fn copy(fleet: &Fleet) -> (Host, basalt_tests::engine::Engine) {
    let other = Host::new(&fleet.ground, "other");
    let engine = fleet.ground.another_engine("other-engine");
    let state = |host: &Host| host.path("var/lib/hostd");
    let cp = Cmd::new("cp").arg("-a").arg(state(&fleet.host)).arg(state(&other));
    cp.run().unwrap();
    other.configure("engine", &format!("[containers]\nsocket = {:?}\n", engine.socket()));
    (other, engine)
}

#[test]
fn both_hosts_of_one_identity_keep_what_they_run_and_operators_see_it() {
    let Some(mut fleet) = Fleet::start(Kind::Podman) else { return };
    fleet.apply("web", "");
    let containers = fleet.containers();
    fleet.host.kill();
    let (mut other, engine) = copy(&fleet);
    other.boot("another boot");
    fleet.host.start();
    fleet.host.stands("connected");
    other.start();
    // It cannot tell that it is a copy: the machine's id was copied, too. The endpoint can.
    until(DEADLINE, "one of both is refused", || {
        let refused = [&fleet.host, &other].into_iter().any(|host| {
            let endpoint = &host.status()["endpoint"];
            let why = endpoint["reason"].as_str().unwrap_or_default();
            endpoint["state"] == "frozen"
                && why.contains("another machine has this host's identity")
        });
        refused.then_some(())
    });
    let events = fleet.endpoint.ctl(&["events"]);
    let is_told = events.text.contains("another machine has this host's identity");
    assert!(is_told, "{}\n{}\n{}", events.text, fleet.endpoint.log(), other.log());
    let seen = fleet.endpoint.host().unwrap()["problems"].to_string();
    assert!(seen.contains("identity") || seen.contains("copy"), "{seen}");
    // Both run it, each on its own engine, and go on.
    fleet.host.becomes(&[("web", "running")]);
    other.becomes(&[("web", "running")]);
    assert_eq!(fleet.containers(), containers);
    drop(engine);
}

/// `/etc/machine-id` was copied, too: the firmware's UUID tells one machine from the other.
#[test]
fn a_copy_on_a_machine_with_another_dmi_uuid_starts_nothing() {
    let uuid = "sys/class/dmi/id/product_uuid";
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    fleet.host.put(uuid, "4c4c4544-0051-3510-8052-b4c04f4a3132\n");
    fleet.endpoint.start();
    fleet.enrol();
    fleet.apply("web", "");
    let containers = fleet.containers();
    fleet.host.kill();
    let (mut other, engine) = copy(&fleet);
    other.put(uuid, "4c4c4544-0051-3510-8052-b4c04f4a3133\n");
    fleet.host.start();
    other.start();
    let why = other.stands("copy");
    let problems = other.status()["problems"].to_string();
    assert!(problems.contains("state_copied"), "{why}: {problems}");
    fleet.host.stands("connected");
    let workloads = other.workloads().unwrap();
    assert!(workloads.is_empty(), "{workloads:?}");
    assert_eq!(engine.ask("GET /containers/json?all=true").json(), serde_json::json!([]));
    fleet.host.becomes(&[("web", "running")]);
    assert_eq!(fleet.containers(), containers);
    // On its own machine the state is its own again.
    fleet.host.kill();
    other.kill();
    other.put(uuid, "4c4c4544-0051-3510-8052-b4c04f4a3132\n");
    other.start();
    other.stands("connected");
}

#[test]
fn a_copy_on_another_machine_starts_nothing_and_says_whose_it_is() {
    let Some(mut fleet) = Fleet::start(Kind::Podman) else { return };
    fleet.apply("web", "");
    let containers = fleet.containers();
    fleet.host.kill();
    let (mut other, engine) = copy(&fleet);
    other.put("etc/machine-id", "a107her");
    fleet.host.start();
    other.start();
    other.stands("copy");
    let problems = other.status()["problems"].to_string();
    assert!(problems.contains("state_copied"), "{problems}");
    let said = other.ctl(&["status"]);
    let name = fleet.endpoint.host().unwrap()["name"].as_str().unwrap().to_owned();
    assert!(!said.ok && said.text.contains(&name), "{}", said.text);
    fleet.host.stands("connected");
    // Long after it would have started something, it has not.
    let workloads = other.workloads().unwrap();
    assert!(workloads.is_empty(), "{workloads:?}");
    let list = engine.ask("GET /containers/json?all=true").json();
    assert_eq!(list, serde_json::json!([]));
    fleet.host.becomes(&[("web", "running")]);
    assert_eq!(fleet.containers(), containers);
    let events = fleet.endpoint.ctl(&["events"]).text;
    assert!(!events.contains("another machine"), "the copy asked the endpoint: {events}");
}
