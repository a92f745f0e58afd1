//! A secret's value is where its workload reads it, and nowhere else: in no file of the host or of
//! the endpoint, no log, no command line, no environment, nothing that an engine tells. The same for
//! the password of a registry and for what a machine is told at its first boot.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, container, text};
use basalt_tests::image::Image;
use basalt_tests::libvirt::{Libvirt, may_run};
use basalt_tests::process::Process;
use basalt_tests::registry::Registry;
use basalt_tests::until::until;

use crate::canary::Canary;

/// Nothing else says this.
const CANARY: Canary = Canary("canary-4d0c7a0e-sings-only-in-its-cage");

fn as_a_file(fleet: &Fleet) -> bool {
    let secrets = "secrets = [{ name = \"db\" }]";
    let file = fleet.put("caged.toml", &container("caged", "", secrets));
    fleet.endpoint.ctl(&["apply", text(&file), "--wait"]).ok
}

/// What the container reads.
fn read(fleet: &Fleet) -> String {
    let uid = fleet.host.workloads().unwrap()["caged"]["uid"].as_str().unwrap()[..8].to_owned();
    let inspected = fleet.ground.engine.inspect(&format!("caged-{uid}"));
    assert!(!CANARY.is_in(inspected.to_string().as_bytes()), "the engine tells it: {inspected}");
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
    let heard = CANARY.in_processes(|| live(&mut fleet));
    assert!(heard.is_empty(), "in a process: {heard:?}");
    // Its container is gone, and everything that it had.
    fleet.host.becomes(&[]);
    assert_eq!(CANARY.files(&fleet.ground.path("")), BTreeSet::new());
    assert!(
        fleet.host.log().contains("DEBUG") || fleet.host.log().contains("TRACE"),
        "a log of all"
    );
}

/// From a value's setting to a reboot without the endpoint, and the end.
fn live(fleet: &mut Fleet) {
    let set = fleet.endpoint.operator().ctl(&["secret", "set", "db"], CANARY.0.as_bytes());
    assert!(set.ok, "{}", set.errors);
    assert!(as_a_file(fleet));
    assert_eq!(read(fleet), CANARY.0);
    let cage = fleet.host.path("run/hostd/private");
    let found = CANARY.files(&fleet.ground.path(""));
    let is_caged = |path: &String| Path::new(path).starts_with(&cage);
    assert!(!found.is_empty() && found.iter().all(is_caged), "{found:?}");
    for told in [
        fleet.endpoint.ctl(&["describe", "caged", "--json"]),
        fleet.endpoint.ctl(&["secret", "list", "--json"]),
        fleet.host.ctl(&["describe", "caged", "--json"]),
        fleet.host.ctl(&["logs", "caged"]),
    ] {
        assert!(told.ok && !CANARY.is_in(told.text.as_bytes()), "{}", told.text);
    }

    // A power cut: the tmpfs is empty, the container has ended, the endpoint is away.
    fleet.endpoint.kill();
    fleet.host.kill();
    for id in fleet.containers() {
        assert_eq!(fleet.ground.engine.ask(&format!("POST /containers/{id}/kill")).status, 204);
    }
    fleet.host.reboot("boot-2");
    assert_eq!(CANARY.files(&fleet.ground.path("")), BTreeSet::new(), "on a disk");
    fleet.host.start();
    fleet.host.becomes(&[("caged", "running")]);
    assert_eq!(read(fleet), CANARY.0);
    fleet.endpoint.start();
    assert!(fleet.endpoint.ctl(&["delete", "caged"]).ok);
    fleet.host.becomes(&[]);
}

/// Tells the host, which logs all, of a registry that lets it in by the canary, and starts both
/// sides.
fn with_registry(fleet: &mut Fleet) -> Registry {
    const PORT: u16 = 5443;
    let registry = Registry::start(&fleet.ground, PORT);
    for tag in ["1", "2"] {
        let _ = registry.fill("shop/web", tag, &Image::tiny("-"));
    }
    registry.admit("singer", CANARY.0);
    fleet.host.put("etc/basalt/password", CANARY.0);
    let password = fleet.host.path("etc/basalt/password");
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).expect("our own file");
    let table = format!(
        "log = \"trace\"\n[registries.{:?}]\nca = {:?}\nusername = \"singer\"\n\
         password_file = {password:?}\n",
        registry.host,
        registry.ca(),
    );
    fleet.host.configure("registry", &table);
    fleet.endpoint.with_args(&["--log", "trace"]);
    fleet.endpoint.start();
    fleet.enrol();
    registry
}

#[test]
fn the_password_of_a_registry_is_in_its_file_alone() {
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    let registry = with_registry(&mut fleet);
    let spec = |name: &str, tag: &str| {
        let image = format!("{}/shop/web:{tag}", registry.host);
        container(name, "", "").replace(basalt_tests::ground::TINY, &image)
    };
    let heard = CANARY.in_processes(|| {
        let file = fleet.put("web.toml", &spec("web", "1"));
        let said = fleet.endpoint.ctl(&["apply", text(&file), "--wait"]);
        assert!(said.ok, "{}{}", said.text, said.errors);
        // Not let in any more: the reason does not say by what.
        let passwords = fleet.ground.path("registry-5443/passwords");
        let known = fs::read_to_string(&passwords).expect("a file");
        let others = known.lines().filter(|line| !line.starts_with("singer:"));
        fs::write(&passwords, others.collect::<Vec<_>>().join("\n")).expect("a file");
        let file = fleet.put("later.toml", &spec("later", "2"));
        assert!(fleet.endpoint.ctl(&["apply", text(&file)]).ok);
        until(DEADLINE, "it is told why", || {
            let told = fleet.endpoint.ctl(&["describe", "later"]).text;
            told.contains("does not accept our credentials").then_some(())
        });
    });
    assert!(heard.is_empty(), "in a process: {heard:?}");
    let password = fleet.host.path("etc/basalt/password").display().to_string();
    for folder in [fleet.ground.path(""), "/run".into(), "/var/lib/containers".into()] {
        let mut found = CANARY.files(&folder);
        found.remove(&password);
        assert_eq!(found, BTreeSet::new());
    }
    assert!(fleet.host.log().contains("DEBUG"), "a log of all");
}

/// A machine's user-data: as a part of its spec, and as a secret.
#[test]
fn user_data_is_read_by_its_guest_and_by_no_stranger() {
    if !may_run() {
        return;
    }
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    let libvirt = Libvirt::start();
    fleet.with_libvirt(&libvirt);
    fleet.host.configure("log", "log = \"trace\"\n");
    fleet.endpoint.with_args(&["--log", "trace"]);
    fleet.endpoint.start();
    fleet.enrol();
    let heard = CANARY.in_processes(|| {
        let spoken = "#cloud-config\n# ".to_owned() + CANARY.0;
        let set = fleet.endpoint.operator().ctl(&["secret", "set", "seed"], spoken.as_bytes());
        assert!(set.ok, "{}", set.errors);
        is_in_its_seed_alone(&fleet, &libvirt, "user_data_secret = \"seed\"");
        is_in_its_seed_alone(&fleet, &libvirt, &format!("user_data = {spoken:?}"));
        is_sealed_in_the_hosts_own_set(&fleet, &libvirt, &spoken);
    });
    assert!(heard.is_empty(), "in a process: {heard:?}");
    assert!(fleet.host.log().contains("DEBUG"), "a log of all");
}

/// Applies a machine at the endpoint with this in its table, waits until it runs, and returns every
/// file that has the canary. What the operator wrote is gone by then.
fn heard_with(fleet: &Fleet, libvirt: &Libvirt, vm: &str) -> BTreeSet<String> {
    let spec = fleet.machine("guest", vm);
    let said = fleet.endpoint.ctl(&["apply", text(&spec), "--wait"]);
    assert!(said.ok, "{}{}", said.text, said.errors);
    fs::remove_file(spec).expect("our own file");
    let folders = [fleet.ground.path(""), libvirt.path(""), "/run".into()];
    for folder in &folders {
        assert_eq!(CANARY.open_files(folder), Vec::<String>::new(), "everybody may read it");
    }
    folders.iter().flat_map(|folder| CANARY.files(folder)).collect()
}

fn goes(fleet: &Fleet) {
    assert!(fleet.endpoint.ctl(&["delete", "guest"]).ok);
    fleet.host.becomes(&[]);
}

/// On tmpfs, for QEMU, and in no other file of either side: as a secret, and as a part of its spec.
fn is_in_its_seed_alone(fleet: &Fleet, libvirt: &Libvirt, vm: &str) {
    let found = heard_with(fleet, libvirt, vm);
    is_the_seed(fleet, &found);
    let workloads = fleet.host.workloads().expect("hostd answers");
    let uid = workloads["guest"]["uid"].as_str().expect("a uid");
    let xml = libvirt.virsh(&["dumpxml", uid]);
    assert!(xml.contains("seeds") && !CANARY.is_in(xml.as_bytes()), "{xml}");
    goes(fleet);
    assert_eq!(CANARY.files(&fleet.ground.path("")), BTreeSet::new());
}

fn is_the_seed(fleet: &Fleet, found: &BTreeSet<String>) {
    let seeds = fleet.host.path("run/hostd-virt/seeds");
    let is_seed = |path: &String| Path::new(path).parent() == Some(&seeds);
    assert!(found.len() == 1 && found.iter().all(is_seed), "{found:?}");
}

/// As a part of the spec of a workload that somebody on the host itself applies.
fn is_sealed_in_the_hosts_own_set(fleet: &Fleet, libvirt: &Libvirt, spoken: &str) {
    let spec = fleet.machine("own", &format!("user_data = {spoken:?}"));
    let said = fleet.host.ctl(&["apply", text(&spec)]);
    assert!(said.ok, "{}{}", said.text, said.errors);
    fs::remove_file(spec).expect("our own file");
    fleet.host.becomes(&[("own", "running")]);
    let folders = [fleet.ground.path(""), libvirt.path("")];
    is_the_seed(fleet, &folders.iter().flat_map(|folder| CANARY.files(folder)).collect());
    let said = fleet.host.ctl(&["delete", "own"]);
    assert!(said.ok, "{}", said.errors);
    fleet.host.becomes(&[]);
}
