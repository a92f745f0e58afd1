//! A virtual machine that the endpoint assigns, on a libvirtd of the test's own.

use std::fs;

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, text};
use basalt_tests::libvirt::{Libvirt, may_run};
use basalt_tests::until::until;

/// Names of what lies in a folder of `hostd-virt`.
fn names(fleet: &Fleet, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(fleet.host.path("var/lib/hostd-virt").join(folder));
    let names = entries.expect("a folder").flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok()).collect()
}

#[test]
fn a_machine_that_is_assigned_runs_is_told_and_goes_with_its_disk() {
    if !may_run() {
        return;
    }
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    let libvirt = Libvirt::start();
    fleet.with_libvirt(&libvirt);
    fleet.endpoint.start();
    fleet.enrol();
    fleet.apply("web", "");

    let spec = fleet.machine("guest", "");
    let said = fleet.endpoint.ctl(&["apply", text(&spec), "--wait"]);
    assert!(said.ok, "{}{}", said.text, said.errors);
    let workloads = fleet.host.workloads().unwrap();
    let uid = workloads["guest"]["uid"].as_str().unwrap();
    assert_eq!(workloads["guest"]["source"], "assigned");
    assert_eq!(libvirt.virsh(&["domstate", uid]).trim(), "running");
    assert_eq!(names(&fleet, "machines"), [uid]);
    let disk = fleet.host.path(&format!("var/lib/hostd-virt/machines/{uid}/disk.qcow2"));
    assert!(disk.is_file());
    let told = fleet.endpoint.ctl(&["workloads", "--json"]).json();
    let told = told["workloads"].as_array().unwrap().iter().find(|one| one["uid"] == uid);
    assert_eq!(told.unwrap()["status"]["state"], "running", "{told:?}");

    // Held on its host, and let go, the endpoint hears of it; its disk stays.
    assert!(fleet.host.ctl(&["stop", "guest"]).ok);
    until(DEADLINE, "the endpoint hears of the hold", || {
        fleet.endpoint.ctl(&["describe", "guest"]).text.contains("stopped").then_some(())
    });
    assert_eq!(libvirt.virsh(&["domstate", uid]).trim(), "shut off");
    assert!(disk.is_file() && fleet.host.ctl(&["start", "guest"]).ok);
    fleet.host.becomes(&[("guest", "running"), ("web", "running")]);

    assert!(fleet.endpoint.ctl(&["delete", "guest"]).ok);
    fleet.host.becomes(&[("web", "running")]);
    assert_eq!(libvirt.virsh(&["list", "--all", "--name"]).trim(), "");
    assert_eq!(names(&fleet, "machines"), Vec::<String>::new());
    assert!(!disk.exists());
}
