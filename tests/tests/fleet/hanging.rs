//! An engine that hangs harms its own containers alone.

use std::fs;

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, text};
use basalt_tests::image::hash;
use basalt_tests::libvirt::Libvirt;
use basalt_tests::until::until;

/// A disk that boots nothing: its machine runs, and hears no button.
static DISK: [u8; 65_536] = [0; 65_536];

#[test]
fn a_podman_that_hangs_keeps_no_machine_from_being_applied_and_stopped() {
    if !basalt_tests::libvirt::may_run() {
        return;
    }
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    let libvirt = Libvirt::start();
    basalt_tests::libvirt::let_qemu_in(&fleet.ground);
    let disk = fleet.ground.path("disk.raw");
    fs::write(&disk, DISK.as_slice()).unwrap();
    let folder = fleet.ground.path("");
    let folder = text(&folder).trim_end_matches('/');
    let machines = format!(
        "round_interval_s = 1\n[machines]\nuri = {:?}\naccel = \"tcg\"\n\
         [policy]\nhost_paths = [{folder:?}]\n",
        libvirt.uri()
    );
    fleet.host.configure("machines", &machines);
    let guest = format!(
        "name = \"guest\"\nkind = \"vm\"\n[resources]\nmemory_mib = 32\ncpus = 1\n\
         [vm]\nfirmware = \"bios\"\nnetwork = \"none\"\nstop_grace_s = 1\n\
         [vm.disk]\nfile = {:?}\nformat = \"raw\"\nsha256 = {:?}\n",
        text(&disk),
        hash(&DISK),
    );
    let guest = fleet.put("guest.toml", &guest);
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
