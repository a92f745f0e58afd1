//! A host whose `/var` is full: what runs goes on, what is new is refused with the reason, the
//! ledger stays whole, and all goes on by itself once there is room.

use std::fs;
use std::path::PathBuf;

use basalt_api::ledger::Ledger;
use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, text};
use basalt_tests::ground::{fill, small_disk};
use basalt_tests::until::until;
use rustix::process::{Pid, Signal, kill_process};

/// Room for the state of a host with a few workloads.
const MIB: u32 = 4;
const FULL: &str = "No space left on device";

/// A fleet whose host has a `/var` of its own, and the file that fills it.
fn prepare() -> Option<(Fleet, PathBuf)> {
    let mut fleet = Fleet::prepare(Kind::Podman)?;
    let var = fleet.host.path("var");
    small_disk(&var, MIB).expect("a disk of its own");
    fs::create_dir(var.join("lib")).expect("a folder");
    fleet.host.configure("round", "round_interval_s = 1\n");
    fleet.endpoint.start();
    fleet.enrol();
    Some((fleet, var.join("ballast")))
}

/// The newest of the ledger's copies. Each is whole, and nothing lies beside them.
fn ledger(fleet: &Fleet) -> Ledger {
    let folder = fleet.host.path("var/lib/hostd");
    let copies = ["ledger.a", "ledger.b"].map(|name| {
        let bytes = fs::read(folder.join(name)).expect("a copy");
        Ledger::decode(&bytes).unwrap_or_else(|bad| panic!("{name} is not whole: {bad}"))
    });
    copies.into_iter().max_by_key(|copy| copy.sequence).expect("two copies")
}

/// Names of what half a write leaves behind.
fn halves(fleet: &Fleet) -> Vec<PathBuf> {
    let entries = fs::read_dir(fleet.host.path("var/lib/hostd")).expect("a folder").flatten();
    let is_half = |path: &PathBuf| path.to_string_lossy().contains("/.new-");
    entries.map(|entry| entry.path()).filter(is_half).collect()
}

/// Waits until the host says this of itself.
fn says(fleet: &Fleet, what: &str) {
    until(DEADLINE, &format!("the host says {what:?}"), || {
        fleet.host.ctl(&["status"]).text.contains(what).then_some(())
    });
}

/// Every wish of the host's own operator is refused, with the reason.
fn refuses(fleet: &Fleet) {
    let own = fleet.container("own", "");
    for wish in [&["apply", text(&own)][..], &["stop", "web"], &["delete", "mine"]] {
        let said = fleet.host.ctl(wish);
        let expected = format!("the ledger cannot be written: {FULL}");
        assert!(!said.ok && said.errors.contains(&expected), "{wish:?}: {}", said.errors);
    }
}

#[test]
fn a_host_whose_var_is_full_runs_on_says_so_and_goes_on_when_there_is_room() {
    let Some((mut fleet, ballast)) = prepare() else { return };
    let mine = fleet.container("mine", "");
    assert!(fleet.host.ctl(&["apply", text(&mine)]).ok);
    fleet.apply("web", "");
    let both = [("mine", "running"), ("web", "running")];
    fleet.host.becomes(&both);
    let (containers, before) = (fleet.containers(), ledger(&fleet));

    fill(&ballast).unwrap();
    refuses(&fleet);
    says(&fleet, &format!("ledger: it cannot be written: {FULL}"));
    let late = fleet.container("late", "");
    assert!(fleet.endpoint.ctl(&["apply", text(&late)]).ok);
    says(&fleet, "is not taken: the ledger cannot be written");
    fleet.host.becomes(&both);
    // What ends starts again: that needs no ledger. Not ended by podman: it answers once it has seen
    // the end, which a restart at once hides.
    let pid = fleet.ground.engine.inspect(&containers[0])["State"]["Pid"].as_i64().unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    until(DEADLINE, "it was started again", || {
        fleet.host.workloads()?.values().any(|one| one["restarts"] == 1).then_some(())
    });
    fleet.host.becomes(&both);
    assert_eq!((ledger(&fleet), halves(&fleet)), (before.clone(), Vec::new()));

    // A start with a full disk has all that it had.
    fleet.host.kill();
    fleet.host.start();
    fleet.host.becomes(&both);
    says(&fleet, &format!("ledger: it cannot be written: {FULL}"));
    refuses(&fleet);
    assert_eq!((ledger(&fleet), halves(&fleet)), (before, Vec::new()));
    assert_eq!(fleet.containers(), containers);

    fs::remove_file(&ballast).unwrap();
    fleet.host.becomes(&[("late", "running"), both[0], both[1]]);
    until(DEADLINE, "the host is well", || (fleet.host.status()["state"] == "ready").then_some(()));
    fleet.is_present();
    let own = fleet.container("own", "");
    assert!(fleet.host.ctl(&["apply", text(&own)]).ok);
    fleet.host.becomes(&[("late", "running"), both[0], ("own", "running"), both[1]]);
    assert_eq!(ledger(&fleet).local.len(), 2);
    assert!(containers.iter().all(|id| fleet.containers().contains(id)));
}
