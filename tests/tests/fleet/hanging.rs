//! An engine that hangs harms its own containers alone.

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, text};
use basalt_tests::libvirt::Libvirt;
use basalt_tests::until::until;

#[test]
fn a_podman_that_hangs_keeps_no_machine_from_being_applied_and_stopped() {
    if !basalt_tests::libvirt::may_run() {
        return;
    }
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    let libvirt = Libvirt::start();
    fleet.with_libvirt(&libvirt);
    fleet.host.configure("round", "round_interval_s = 1\n");
    let guest = fleet.machine("guest", "");
    fleet.endpoint.start();
    fleet.enrol();
    fleet.apply("web", "");
    let containers = fleet.containers();

    fleet.ground.engine.freeze();
    let late = fleet.container("late", "");
    assert!(fleet.endpoint.ctl(&["apply", text(&late)]).ok);
    let said = fleet.endpoint.ctl(&["apply", text(&guest), "--wait"]);
    assert!(said.ok, "{}{}", said.text, said.errors);
    fleet.host.becomes(&[("guest", "running"), ("late", "unknown"), ("web", "unknown")]);
    let why = "does not answer within";
    for name in ["late", "web"] {
        let told = fleet.host.ctl(&["describe", name]).text;
        assert!(told.contains(why), "{told}");
        until(DEADLINE, "the endpoint tells why", || {
            fleet.endpoint.ctl(&["describe", name]).text.contains(why).then_some(())
        });
    }
    assert!(libvirt.virsh(&["list", "--name"]).contains("guest-"));
    assert!(fleet.host.ctl(&["stop", "guest"]).ok);
    fleet.host.becomes(&[("guest", "stopped"), ("late", "unknown"), ("web", "unknown")]);
    assert!(fleet.host.ctl(&["start", "guest"]).ok);
    fleet.host.becomes(&[("guest", "running"), ("late", "unknown"), ("web", "unknown")]);
    assert!(fleet.endpoint.ctl(&["delete", "guest"]).ok);
    fleet.host.becomes(&[("late", "unknown"), ("web", "unknown")]);
    assert_eq!(libvirt.virsh(&["list", "--all", "--name"]).trim(), "");
    fleet.is_present();

    fleet.ground.engine.thaw();
    fleet.host.becomes(&[("late", "running"), ("web", "running")]);
    let after = fleet.containers();
    assert!(after.len() == 2 && after.contains(&containers[0]), "{containers:?} became {after:?}");
}
