//! A file system of the host that hangs.

use basalt_tests::away::Away;
use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, container, text};
use basalt_tests::until::until;

/// More than `hostd` has threads for what blocks.
const STUCK: u32 = 20;

fn stuck() -> impl Iterator<Item = String> {
    (1..=STUCK).map(|number| format!("stuck{number}"))
}

fn apply(fleet: &Fleet, name: &str, more: &str) {
    let file = fleet.put(&format!("{name}.toml"), &container(name, "", more));
    let said = fleet.host.ctl(&["apply", text(&file)]);
    assert!(said.ok, "{}", said.errors);
}

fn state(fleet: &Fleet, name: &str) -> Option<String> {
    Some(fleet.host.workloads()?.get(name)?["state"].as_str()?.to_owned())
}

fn reason(fleet: &Fleet, name: &str) -> Option<String> {
    Some(fleet.host.workloads()?.get(name)?["reason"].as_str()?.to_owned())
}

#[test]
fn a_file_system_that_hangs_holds_up_its_own_workloads_alone() {
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    let folder = fleet.ground.path("away");
    let away = Away::at(&folder);
    fleet.host.configure("paths", &format!("[policy]\nhost_paths = [{folder:?}]\n"));
    fleet.host.start();
    let volumes = format!("volumes = [{{ host = \"{}/data\", path = \"/data\" }}]", text(&folder));
    for name in stuck() {
        apply(&fleet, &name, &volumes);
    }
    // They are looked at by now, or wait for who is.
    for name in ["one", "two"] {
        apply(&fleet, name, "");
        until(DEADLINE, &format!("{name} runs"), || {
            (state(&fleet, name)? == "running").then_some(())
        });
    }
    let late = "/data` could not be looked at within 10 s: is a file system away?";
    for name in stuck() {
        until(DEADLINE, &format!("{name} says why it does not run"), || {
            reason(&fleet, &name)?.ends_with(late).then_some(())
        });
    }
    assert_eq!(fleet.host.status()["state"], "ready", "{}", fleet.host.status());
    // Its server is given up, and its folder is another one.
    drop(away);
    std::fs::create_dir(folder.join("data")).unwrap();
    for name in stuck().take(3) {
        until(DEADLINE, &format!("{name} runs"), || {
            (state(&fleet, &name)? == "running").then_some(())
        });
    }
}
