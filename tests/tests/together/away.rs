//! An endpoint that is away for long.

use std::fs;
use std::time::Duration;

use basalt_tests::engine::Kind;
use basalt_tests::fleet::Fleet;

/// The shortest that a spec may say.
const AFTER_S: f64 = 10.0;
/// To stop it and to see it stopped: a container has ten seconds to obey, and obeys at once.
const LATE_S: f64 = 8.0;

/// When the host sent its last question that was answered, since the machine booted.
fn heard(fleet: &Fleet) -> Duration {
    let text = fs::read_to_string(fleet.host.path("run/hostd/heard")).unwrap();
    let (_, at) = text.trim().split_once(' ').unwrap();
    Duration::from_millis(at.parse().unwrap())
}

/// By the clock that `hostd` counts by.
fn uptime() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    now.try_into().unwrap()
}

#[test]
fn what_shall_stop_without_the_endpoint_does_and_the_rest_runs_on() {
    let Some(mut fleet) = Fleet::start(Kind::Podman) else { return };
    let stops = format!("disconnect = {{ policy = \"stop_after\", after_s = {AFTER_S:.0} }}");
    fleet.apply("keeps", "");
    let keeps = fleet.containers();
    fleet.apply("stops", &stops);
    fleet.endpoint.kill();
    fleet.host.stands("away");
    fleet.host.becomes(&[("keeps", "running"), ("stops", "stopped")]);
    // It counts from its last question that was answered.
    let silence = (uptime() - heard(&fleet)).as_secs_f64();
    let period = AFTER_S..AFTER_S + LATE_S;
    assert!(period.contains(&silence), "stopped after {silence} s");
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
