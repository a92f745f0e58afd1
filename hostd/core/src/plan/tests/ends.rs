//! What follows an end or a pause.

use super::*;

#[test]
fn a_guest_that_is_paused_is_no_running_one_and_is_let_go_on() {
    let mut world = World::of("vm-a", "vm-a=");
    let plan = world.plan();
    assert_eq!(plan.to_string(), "vm-a: resume\n");
    assert_eq!(plan.statuses[0].state.as_str(), "failed");
    let expected = "it is paused: the host's disk is full; it is let go on again";
    assert_eq!(plan.statuses[0].reason.as_deref(), Some(expected));
    // It is paused at once again: the next time comes later and later.
    let uid = world.instances[0].uid;
    for (at, wait) in [(6, 0), (7, 10), (8, 20)] {
        world.instances[0].state = InstanceState::Paused {
            at,
            reason: "the host's disk is full".to_owned(),
            may_resume: true,
        };
        world.tracks.observe(&world.instances.iter().collect::<Vec<_>>(), &[uid], world.now);
        assert_eq!(world.plan().to_string(), if wait == 0 { "vm-a: resume\n" } else { "" });
        world.now += Duration::from_secs(wait);
        assert_eq!(world.plan().to_string(), "vm-a: resume\n");
    }
    assert_eq!(world.tracks.of(uid).restarts, 0);
}

#[test]
fn a_guest_that_hangs_goes_on_when_somebody_says_so() {
    let mut world = World::of("vm-a", "vm-a=");
    world.instances[0].state = world::paused(false);
    assert_eq!(world.plan().to_string(), "");
    let uid = world.instances[0].uid;
    world.tracks.ask_again(uid);
    assert_eq!(world.plan().to_string(), "vm-a: resume\n");
}

#[test]
fn what_is_paused_is_stopped_before_it_is_removed() {
    check("", "vm-a=", "vm-a: stop, remove with its data");
    check("vm-a!", "vm-a=", "vm-a: stop");
}

#[test]
fn what_runs_and_is_forgotten_is_ended_and_made_anew_where_it_shall_run() {
    check("web", "web^", "web: prepare, stop, remove, create, start");
    check("web!", "web^", "web: stop");
    check("", "web^", "web: stop, remove with its data");
    let status = |wanted: &str| World::of(wanted, "web^").plan().statuses.remove(0);
    assert_eq!(status("web").state.as_str(), "failed");
    let expected = "it was forgotten: it is ended and made anew";
    assert_eq!(status("web").reason.as_deref(), Some(expected));
    assert_eq!(status("web!").state.as_str(), "stopping");
}

#[test]
fn what_ends_by_itself_follows_its_policy() {
    let after = |name: &str, code: i32| {
        let mut world = World::of(name, &format!("{name}."));
        for instance in &mut world.instances {
            instance.state = InstanceState::Ended { code: Some(code), at: 5, note: None };
        }
        let plan = world.plan();
        (plan.to_string().trim_end().to_owned(), plan.statuses[0].state.as_str())
    };
    assert_eq!(after("web", 0), ("web: start".to_owned(), "backoff"));
    assert_eq!(after("never", 1), (String::new(), "finished"));
    assert_eq!(after("onfailure", 0), (String::new(), "finished"));
    assert_eq!(after("onfailure", 3), ("onfailure: start".to_owned(), "backoff"));
}

#[test]
fn to_start_what_runs_is_no_wish_for_a_second_run() {
    let mut world = World::of("never", "never*");
    let uid = world.instances[0].uid;
    world.tracks.ask_again(uid);
    world.run_until_quiet();
    world.instances[0].state = InstanceState::Ended { code: Some(0), at: 7, note: None };
    world.run_until_quiet();
    assert_eq!(world.plan().statuses[0].state.as_str(), "finished");
    // But once it has ended, it is.
    world.tracks.ask_again(uid);
    assert_eq!(world.plan().to_string(), "never: start\n");
}

#[test]
fn what_has_finished_runs_no_second_time_because_a_part_of_it_is_gone() {
    let check = |name: &str, code, expected: &str| {
        let mut world = World::of(name, &format!("{name}."));
        world.instances[0].state = InstanceState::Ended { code: Some(code), at: 5, note: None };
        world.instances[0].lacks = Some("its user-data went with the last boot".to_owned());
        assert_eq!(world.plan().to_string().trim_end(), expected);
    };
    check("never", 1, "");
    check("onfailure", 0, "");
    check("onfailure", 1, "onfailure: prepare, remove, create, start");
    check("web", 0, "web: prepare, remove, create, start");
}

#[test]
fn what_ended_nobody_knows_how_runs_again_only_where_it_always_does() {
    let plan = |name: &str| {
        let mut world = World::of(name, &format!("{name}."));
        world.instances[0].state = InstanceState::Unknown { reason: "no layer".to_owned() };
        world.plan()
    };
    assert_eq!(plan("web").to_string(), "web: prepare, remove, create, start\n");
    let plan = plan("onfailure");
    assert_eq!((plan.to_string().as_str(), plan.statuses[0].state.as_str()), ("", "unknown"));
    let expected = "it ended, and how cannot be told: no layer";
    assert_eq!(plan.statuses[0].reason.as_deref(), Some(expected));
}
