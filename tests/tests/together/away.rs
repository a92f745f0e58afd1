//! An endpoint that is away for long.

use std::time::Instant;

use basalt_tests::engine::Kind;
use basalt_tests::fleet::Fleet;

/// The shortest that a spec may say.
const AFTER_S: u64 = 10;

#[test]
fn what_shall_stop_without_the_endpoint_does_and_the_rest_runs_on() {
    let Some(mut fleet) = Fleet::start(Kind::Podman) else { return };
    let stops = format!("disconnect = {{ policy = \"stop_after\", after_s = {AFTER_S} }}");
    fleet.apply("keeps", "");
    let keeps = fleet.containers();
    fleet.apply("stops", &stops);
    let killed = Instant::now();
    fleet.endpoint.kill();
    fleet.host.becomes(&[("keeps", "running"), ("stops", "stopped")]);
    let took = killed.elapsed().as_secs();
    // It counts from its last question that was answered, at most a poll before; and in whole
    // seconds, give or take one.
    assert!(took + 1 >= AFTER_S || took + 35 >= AFTER_S, "stopped after {took} s");
    let why = fleet.host.workloads().unwrap()["stops"]["reason"].to_string();
    assert!(why.contains("was not heard for 10 s"), "{why}");

    // A hostd that starts again in the same boot goes on counting.
    fleet.host.kill();
    fleet.host.start();
    fleet.host.becomes(&[("keeps", "running"), ("stops", "stopped")]);
    // After a reboot the one is started from the ledger, the other waits to hear the endpoint.
    fleet.host.kill();
    for id in fleet.containers() {
        let _ = fleet.ground.engine.ask(&format!("POST /containers/{id}/kill"));
    }
    fleet.host.boot("boot-2");
    fleet.host.start();
    fleet.host.becomes(&[("keeps", "running"), ("stops", "stopped")]);
    let why = fleet.host.workloads().unwrap()["stops"]["reason"].to_string();
    assert!(why.contains("not heard since the host booted"), "{why}");
    assert!(fleet.containers().contains(&keeps[0]));

    fleet.endpoint.start();
    fleet.host.becomes(&[("keeps", "running"), ("stops", "running")]);
}
