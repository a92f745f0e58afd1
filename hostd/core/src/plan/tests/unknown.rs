//! What is left alone: another host's, what no ledger knows, everything where nothing is known.

use super::*;

#[test]
fn with_a_lost_ledger_nothing_is_touched() {
    let mut world = World::of("", "web* job.");
    world.ledger_is_lost = true;
    assert_eq!(world.plan().work, []);
    let states: Vec<&str> =
        world.plan().statuses.iter().map(|status| status.state.as_str()).collect();
    assert_eq!(states, ["stopped", "running"]);
}

#[test]
fn what_runs_is_not_stopped_for_a_key_that_is_lost() {
    for (there, state) in [("vm-a*", "running"), ("vm-a.", "refused"), ("", "refused")] {
        let mut world = World::of("web vm-a", there);
        world.key_is_lost = true;
        let plan = world.plan();
        assert_eq!(plan.to_string(), "web: prepare, create, start\n", "{there}");
        assert_eq!(plan.statuses[0].state.as_str(), state, "{there}");
        let reason = plan.statuses[0].reason.as_deref().unwrap();
        assert!(reason.contains("it is sealed by a key that is gone"), "{reason}");
    }
}

#[test]
fn before_the_first_set_nothing_of_the_endpoints_is_touched() {
    let mut world = World::of("", "web* job.");
    (world.set_is_known, world.leaving) = (false, BTreeMap::new());
    assert_eq!(world.plan().work, []);
    let statuses = world.plan().statuses;
    let states: Vec<&str> = statuses.iter().map(|status| status.state.as_str()).collect();
    assert_eq!(states, ["stopped", "running"]);
    let reason = statuses[1].reason.as_deref().unwrap();
    assert!(reason.starts_with("the endpoint has not said yet"), "{reason}");
    world.set_is_known = true;
    assert_eq!(world.plan().work.len(), 2);
}

#[test]
fn what_no_ledger_knows_is_left_alone_until_somebody_decides() {
    let mut world = World::of("", "web*");
    world.instances[0].owner = Owner::Local;
    assert_eq!(world.plan().to_string(), "web: stop, remove with its data\n");
    world.leaving.clear();
    let plan = world.plan();
    assert_eq!(plan.to_string(), "");
    assert_eq!(plan.statuses[0].source, Source::Orphaned);
    let reason = plan.statuses[0].reason.clone().unwrap();
    assert!(reason.starts_with("no ledger knows it: it is left alone"), "{reason}");
}

#[test]
fn what_ran_under_another_identity_is_left_alone_whoever_asked_for_it() {
    for owner in [Owner::Local, Owner::Host(US)] {
        let mut world = World::of("", "web*");
        world.instances[0].owner = owner;
        world.forgotten = vec![World::of("web", "").wanted()[0].assigned.clone()];
        world.leaving.clear();
        let plan = world.plan();
        assert_eq!((plan.to_string().as_str(), plan.statuses[0].source), ("", Source::Orphaned));
    }
}

#[test]
fn an_orphan_that_is_purged_goes_whoever_owned_it() {
    let mut world = World::of("", "web~*");
    assert_eq!(world.plan().to_string(), "");
    let uid = world.instances[0].uid;
    world.leaving.insert(uid, crate::leaving::of_unknown(Kind::Container));
    assert_eq!(world.plan().to_string(), "web: stop, remove with its data\n");
}

#[test]
fn another_hosts_instance_is_never_touched() {
    check("", "web~*", "");
    check("new", "web~.", "new: prepare, create, start");
}
