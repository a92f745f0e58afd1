//! Memory and ports: given back before they are taken, and waited for by name.

use super::*;

#[test]
fn a_port_is_not_taken_before_it_is_given_back() {
    let mut world = World::of("port-b", "port-a*");
    let plan = world.plan();
    assert_eq!(plan.to_string(), "port-a: stop, remove with its data\n");
    assert_eq!(plan.statuses[1].reason.as_deref(), Some("it waits for what is being stopped"));
    // What cannot be stopped holds up nobody.
    let old = plan.work[0].uid;
    let failed = crate::track::Progress::Failed(
        plan.work[0].steps[0],
        "stuck".to_owned(),
        basalt_api::report::Trouble::Lasting,
    );
    world.tracks.progress(old, failed, world.now);
    assert_eq!(world.plan().to_string(), "port-b: prepare, create, start\n");
}

#[test]
fn who_has_the_higher_priority_gets_the_last_room() {
    let mut world = World::of("low high-9", "runs*");
    world.memory_mib = 100;
    world.each_takes_mib = 60;
    world.remember();
    let plan = world.plan();
    assert_eq!(plan.to_string(), "runs: stop, remove with its data\n");
    let high = plan.statuses.iter().find(|status| status.name.as_str() == "high-9").unwrap();
    let expected =
        "it waits for what is being stopped: it needs 60 MiB of memory; 40 of 100 MiB are free";
    assert_eq!(high.reason.as_deref(), Some(expected));
    world.instances.clear();
    let plan = world.plan();
    assert_eq!(plan.to_string(), "high-9: prepare, create, start\n");
    let low = plan.statuses.iter().find(|status| status.name.as_str() == "low").unwrap();
    let reason = low.reason.as_deref().unwrap();
    assert_eq!(reason, "it needs 60 MiB of memory; 40 of 100 MiB are free");
}

#[test]
fn memory_is_free_once_what_had_it_has_ended() {
    let mut world = World::of("m-60 m-30! m-40", "m-30* m-50*");
    world.memory_mib = 100;
    // 80 are taken by what goes. Who is first in turn waits for it, and nobody takes it meanwhile.
    assert_eq!(world.plan().to_string(), "m-30: stop\nm-50: stop, remove with its data\n");
    world.run_until_quiet();
    let runs = |name: &str| {
        let mut all = world.instances.iter();
        all.any(|one| one.name.as_str() == name && one.state == InstanceState::Running { since: 9 })
    };
    assert!(runs("m-40") && runs("m-60"));
}

#[test]
fn a_replacement_that_takes_more_waits_for_room() {
    let mut world = World::of("m-40-70+ m-50", "m-40-70* m-50*");
    world.memory_mib = 100;
    let plan = world.plan();
    assert_eq!(plan.to_string(), "");
    let expected = "it goes on as it was; its replacement: it needs 30 MiB of memory; 10 of 100 MiB \
                    are free";
    assert_eq!(plan.statuses[0].reason.as_deref(), Some(expected));
    world.memory_mib = 120;
    assert_eq!(world.plan().to_string(), "m-40-70: prepare, stop, remove, create, start\n");
}

#[test]
fn what_is_deleted_while_it_is_made_keeps_its_memory() {
    let mut world = World::of("m-60", "");
    world.memory_mib = 100;
    let made = World::of("", "m-70*");
    (world.leaving, world.tracks) = (made.leaving, made.tracks);
    let uid = *world.leaving.keys().next().unwrap();
    world.tracks.progress(uid, crate::track::Progress::Began(Step::Create), world.now);
    assert_eq!(world.plan().to_string(), "");
    world.tracks.progress(uid, crate::track::Progress::Over, world.now);
    assert_eq!(world.plan().to_string(), "m-60: prepare, create, start\n");
}
