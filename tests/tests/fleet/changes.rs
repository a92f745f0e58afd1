//! What is changed while a workload runs, and a hold.

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, text};
use basalt_tests::until::until;
use rustix::process::{Pid, Signal, kill_process};

/// The process of the one container.
fn pid(fleet: &Fleet) -> i32 {
    let id = fleet.containers().remove(0);
    let pid = fleet.ground.engine.inspect(&id)["State"]["Pid"].as_i64().unwrap();
    pid.try_into().unwrap()
}

fn local(fleet: &Fleet, name: &str, rest: &str) {
    let file = fleet.container(name, rest);
    let said = fleet.host.ctl(&["apply", text(&file)]);
    assert!(said.ok, "{}", said.errors);
}

pub(crate) fn what_is_changed_in_place_keeps_its_process_and_has_its_effect(kind: Kind) {
    let Some(fleet) = Fleet::start(kind) else { return };
    fleet.apply("web", "");
    let before = pid(&fleet);
    fleet.apply("web", "restart = \"never\"\npriority = 7");
    until(DEADLINE, "the change is here", || {
        let spec = fleet.host.ctl(&["describe", "web", "--json"]).json()["spec"].clone();
        (spec["restart"] == "never" && spec["priority"] == 7).then_some(())
    });
    assert_eq!(pid(&fleet), before);
    kill_process(Pid::from_raw(before).unwrap(), Signal::KILL).unwrap();
    fleet.host.becomes(&[("web", "finished")]);
    assert!(fleet.endpoint.ctl(&["delete", "web"]).ok);
    fleet.host.becomes(&[]);

    // Of two that wait for room, the one that comes first by its priority of now.
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kib: u64 = memory.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    let most = format!("[resources]\nmemory_mib = {}", kib / 1024 * 6 / 10);
    local(&fleet, "a", &most);
    fleet.host.becomes(&[("a", "running")]);
    let before = pid(&fleet);
    local(&fleet, "b", &most);
    local(&fleet, "c", &most);
    fleet.host.becomes(&[("a", "running"), ("b", "pending"), ("c", "pending")]);
    local(&fleet, "c", &format!("priority = 10\n{most}"));
    assert_eq!(pid(&fleet), before);
    assert!(fleet.host.ctl(&["delete", "a"]).ok);
    fleet.host.becomes(&[("b", "pending"), ("c", "running")]);
}

pub(crate) fn a_hold_is_told_at_the_endpoint_and_outlives_a_reboot(kind: Kind) {
    let Some(mut fleet) = Fleet::start(kind) else { return };
    fleet.apply("web", "");
    assert!(fleet.host.ctl(&["stop", "web"]).ok);
    fleet.host.becomes(&[("web", "stopped")]);
    let is_held = |fleet: &Fleet| {
        until(DEADLINE, "the endpoint tells of the hold", || {
            let told = fleet.endpoint.ctl(&["describe", "web"]).text;
            told.contains("this host's operator holds it").then_some(())
        });
    };
    is_held(&fleet);
    fleet.host.kill();
    fleet.host.reboot("boot-2");
    fleet.host.start();
    fleet.is_present();
    fleet.host.becomes(&[("web", "stopped")]);
    is_held(&fleet);
    let id = fleet.containers().remove(0);
    assert_eq!(fleet.ground.engine.inspect(&id)["State"]["Running"], false);
    assert!(fleet.host.ctl(&["start", "web"]).ok);
    fleet.host.becomes(&[("web", "running")]);
}
