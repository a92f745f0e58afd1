//! A secret's value is where its container reads it, and nowhere else: in no file of the host or of
//! the endpoint, no log, no command line, nothing that the engine tells.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, container, text};
use basalt_tests::process::Process;
use basalt_tests::until::until;
use base64::Engine as _;

/// Nothing else says this.
const CANARY: &str = "canary-4d0c7a0e-sings-only-in-its-cage";

/// The value as it is, and as it might be written down.
fn needles() -> Vec<Vec<u8>> {
    let standard = base64::engine::general_purpose::STANDARD.encode(CANARY);
    let inner = base64::engine::general_purpose::STANDARD_NO_PAD.encode(CANARY);
    vec![
        CANARY.as_bytes().to_vec(),
        standard.into_bytes(),
        inner.into_bytes(),
        hex::encode(CANARY).into_bytes(),
    ]
}

fn sings(bytes: &[u8]) -> bool {
    needles().iter().any(|needle| bytes.windows(needle.len()).any(|window| window == needle))
}

/// Every file below `folder` with the value in it.
fn singing(folder: &Path) -> BTreeSet<String> {
    let walk = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    let files = walk.filter(|entry| entry.file_type().is_file());
    let found = files.filter(|entry| fs::read(entry.path()).is_ok_and(|bytes| sings(&bytes)));
    found.map(|entry| entry.path().display().to_string()).collect()
}

/// Every command line of this machine that has the value in it.
fn command_lines() -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| sings(line))
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .collect()
}

fn as_a_file(fleet: &Fleet) -> bool {
    let secrets = "secrets = [{ name = \"db\" }]";
    let file = fleet.put("caged.toml", &container("caged", "", secrets));
    fleet.endpoint.ctl(&["apply", text(&file), "--wait"]).ok
}

/// What the container reads.
fn read(fleet: &Fleet) -> String {
    let uid = fleet.host.workloads().unwrap()["caged"]["uid"].as_str().unwrap()[..8].to_owned();
    let inspected = fleet.ground.engine.inspect(&format!("caged-{uid}"));
    assert!(!sings(inspected.to_string().as_bytes()), "the engine tells it: {inspected}");
    let process = Process(inspected["State"]["Pid"].as_u64().unwrap());
    until(DEADLINE, "the container has its secret", || {
        fs::read_to_string(process.root("/run/secrets/db")).ok()
    })
}

#[test]
fn a_canary_is_heard_nowhere_but_in_its_cage() {
    let Some(mut fleet) = Fleet::start(Kind::Podman) else { return };
    fleet.host.configure("log", "log = \"trace\"\n");
    fleet.host.kill();
    fleet.host.start();
    let is_over = AtomicBool::new(false);
    let heard = std::thread::scope(|scope| {
        let listener = scope.spawn(|| {
            let mut heard = Vec::new();
            while !is_over.load(Ordering::SeqCst) {
                heard.extend(command_lines());
            }
            heard
        });
        live(&mut fleet);
        is_over.store(true, Ordering::SeqCst);
        listener.join().unwrap()
    });
    assert!(heard.is_empty(), "on a command line: {heard:?}");
    // Its container is gone, and everything that it had.
    fleet.host.becomes(&[]);
    assert_eq!(singing(&fleet.ground.path("")), BTreeSet::new());
    assert!(
        fleet.host.log().contains("DEBUG") || fleet.host.log().contains("TRACE"),
        "a log of all"
    );
}

/// From a value's setting to a reboot without the endpoint, and the end.
fn live(fleet: &mut Fleet) {
    let set = fleet.endpoint.operator().ctl(&["secret", "set", "db"], CANARY.as_bytes());
    assert!(set.ok, "{}", set.errors);
    assert!(as_a_file(fleet));
    assert_eq!(read(fleet), CANARY);
    let cage = fleet.host.path("run/hostd/private");
    let found = singing(&fleet.ground.path(""));
    let is_caged = |path: &String| Path::new(path).starts_with(&cage);
    assert!(!found.is_empty() && found.iter().all(is_caged), "{found:?}");
    for told in [
        fleet.endpoint.ctl(&["describe", "caged", "--json"]),
        fleet.endpoint.ctl(&["secret", "list", "--json"]),
        fleet.host.ctl(&["describe", "caged", "--json"]),
        fleet.host.ctl(&["logs", "caged"]),
    ] {
        assert!(told.ok && !sings(told.text.as_bytes()), "{}", told.text);
    }

    // A power cut: the tmpfs is empty, the container has ended, the endpoint is away.
    fleet.endpoint.kill();
    fleet.host.kill();
    for id in fleet.containers() {
        assert_eq!(fleet.ground.engine.ask(&format!("POST /containers/{id}/kill")).status, 204);
    }
    fleet.host.reboot("boot-2");
    assert_eq!(singing(&fleet.ground.path("")), BTreeSet::new(), "on a disk");
    fleet.host.start();
    fleet.host.becomes(&[("caged", "running")]);
    assert_eq!(read(fleet), CANARY);
    fleet.endpoint.start();
    assert!(fleet.endpoint.ctl(&["delete", "caged"]).ok);
    fleet.host.becomes(&[]);
}
