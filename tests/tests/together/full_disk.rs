//! An endpoint whose disk is full: it says so, forgets nothing, and goes on when there is room.

use std::fs;

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, Said, text};
use basalt_tests::ground::{fill, small_disk};
use basalt_tests::until::until;
use serde_json::Value;

/// Room for the endpoint and a few workloads.
const MIB: u32 = 8;
/// More writes than what the database has set aside has room for.
const WRITES: u32 = 400;

/// Names of all workloads that the endpoint knows.
fn known(fleet: &Fleet) -> Vec<String> {
    let list = fleet.endpoint.ctl(&["workloads", "--json"]).json();
    let name = |one: &Value| one["spec"]["name"].as_str().unwrap().to_owned();
    list["workloads"].as_array().unwrap().iter().map(name).collect()
}

/// Applies a workload that no host has room for.
fn apply(fleet: &Fleet, name: &str) -> Said {
    let file = fleet.container(name, "resources = { memory_mib = 60000000 }");
    fleet.endpoint.ctl(&["apply", text(&file)])
}

#[test]
fn an_endpoint_whose_disk_is_full_says_so_forgets_nothing_and_goes_on_when_there_is_room() {
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    let folder = fleet.endpoint.folder();
    fs::create_dir(&folder).unwrap();
    small_disk(&folder, MIB).unwrap();
    fleet.endpoint.start();
    fleet.enrol();
    fleet.apply("web", "");
    let containers = fleet.containers();

    let ballast = folder.join("ballast");
    fill(&ballast).unwrap();
    let mut acknowledged = vec!["web".to_owned()];
    let refused = (0..WRITES).find_map(|number| {
        let name = format!("w{number:03}");
        let said = apply(&fleet, &name);
        if !said.ok {
            return Some(said);
        }
        acknowledged.push(name);
        None
    });
    let refused = refused.expect("a disk that is full refuses in the end").errors;
    assert!(refused.contains("the disk of the endpoint's folder is full"), "{refused}");
    assert!(refused.contains("\nhint: make room there"), "{refused}");
    acknowledged.sort();
    assert_eq!(known(&fleet), acknowledged, "it goes on answering");

    // Neither is anything lost by a kill, nor does anything stop on the host.
    fleet.endpoint.kill();
    fs::remove_file(&ballast).unwrap();
    fleet.endpoint.start();
    assert_eq!(known(&fleet), acknowledged);
    fleet.is_present();
    assert_eq!(fleet.containers(), containers);

    // The same without a new start.
    fill(&ballast).unwrap();
    until(DEADLINE, "the full disk refuses", || {
        (!fleet.endpoint.ctl(&["hosts", "uncordon", "host"]).ok).then_some(())
    });
    fs::remove_file(&ballast).unwrap();
    assert!(apply(&fleet, "later").ok, "{}", fleet.endpoint.log());
    fleet.apply("also", "");
    assert_eq!(fleet.host.status()["endpoint"]["state"], "connected");
}
