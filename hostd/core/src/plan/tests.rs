//! Plans as text, and plans carried out in a world of their own until nothing is left to do.

mod ends;
mod properties;
mod room;
mod unknown;
mod world;

use basalt_api::report::Trouble;
use basalt_api::workload::Kind;

use super::*;
use crate::instance::InstanceState;
use world::{OTHER_HOST, US, World};

/// `wanted` has a word for each workload, `there` for each instance:
///
/// - wanted: `name`, with `+` a newer spec than the instance's, `!` held, `?` refused by policy
/// - there: `name`, with `*` running, `=` paused, `^` running and forgotten, `.` ended with 1, `-` made, `~` another host's
fn check(wanted: &str, there: &str, expected: &str) {
    let world = World::of(wanted, there);
    let text = world.plan().to_string();
    assert_eq!(text.trim_end().replace('\n', "; "), expected);
}

#[test]
fn what_is_wanted_is_prepared_made_and_started() {
    check("web", "", "web: prepare, create, start");
}

#[test]
fn what_runs_as_wanted_is_left_alone() {
    check("web", "web*", "");
}

#[test]
fn what_nobody_wants_goes_with_its_data() {
    check("", "web*", "web: stop, remove with its data");
    check("", "web.", "web: remove with its data");
}

#[test]
fn removal_frees_resources_before_new_workloads_take_them() {
    check("new", "old*", "old: stop, remove with its data; new: prepare, create, start");
}

#[test]
fn a_replacement_is_prepared_while_the_old_one_runs() {
    check("web+", "web*", "web: prepare, stop, remove, create, start");
    check("web+", "web.", "web: prepare, remove, create, start");
}

#[test]
fn a_workload_cut_off_while_it_was_made_goes_on_where_it_was() {
    check("web", "web-", "web: start");
}

#[test]
fn what_is_held_or_refused_is_stopped_and_kept() {
    check("web!", "web*", "web: stop");
    check("web!", "web.", "");
    check("web?", "web*", "web: stop");
    check("web?", "", "");
}

#[test]
fn a_runtime_that_is_away_stops_only_its_own_kind() {
    let mut world = World::of("web vm-a", "old*");
    world.containers_are_away = true;
    assert_eq!(world.plan().to_string(), "vm-a: prepare, create, start\n");
    let plan = world.plan();
    let web = plan.statuses.iter().find(|status| status.name.as_str() == "web").unwrap();
    assert_eq!(web.reason.as_deref(), Some("podman does not answer"));
}

#[test]
fn a_failure_says_which_spec_it_speaks_of_and_whether_it_may_pass() {
    let mut world = World::of("web", "");
    let work = world.plan().work.remove(0);
    let trouble = basalt_api::report::Trouble::Passing;
    let failed =
        crate::track::Progress::Failed(work.steps[0], "the registry is away".to_owned(), trouble);
    world.tracks.progress(work.uid, failed, world.now);
    let status = world.plan().statuses.remove(0);
    assert_eq!((status.state.as_str(), status.trouble), ("failed", Some(trouble)));
    // Nothing was made, and yet it is clear of what.
    assert_eq!(status.hash, "");
    assert!(status.wanted.starts_with("1-"), "{}", status.wanted);
}

#[test]
fn what_is_deleted_has_its_own_time_to_end() {
    let mut world = World::of("", "web* vm-a*");
    let web = world.instances[0].uid;
    world.leaving.get_mut(&web).unwrap().stop_grace_s = 77;
    let stops: Vec<_> = world.plan().work.iter().map(|work| work.steps[0]).collect();
    let expected = [120, 77].map(|seconds| Step::Stop(Duration::from_secs(seconds)));
    assert_eq!(stops, expected);
}

#[test]
fn silence_stops_what_says_so_and_a_reboot_waits_for_the_endpoint() {
    let mut world = World::of("web quiet-60", "web* quiet-60*");
    world.contact = Contact::Ago(Duration::from_secs(59));
    assert_eq!(world.plan().to_string(), "");
    world.contact = Contact::Ago(Duration::from_secs(60));
    assert_eq!(world.plan().to_string(), "quiet-60: stop\n");
    // A start or a replacement that failed holds up no stop.
    world.contact = Contact::Ago(Duration::from_secs(59));
    assert_eq!(world.plan().silent_at, Some(world.now + Duration::from_secs(1)));
    world.wants_now("web quiet-60+");
    fail(&mut world);
    world.contact = Contact::Ago(Duration::from_secs(60));
    assert_eq!(world.plan().to_string(), "quiet-60: stop\n");
    assert_eq!(world.plan().silent_at, None);
    let mut world = World::of("web quiet-60", "");
    world.contact = Contact::Never;
    assert_eq!(world.plan().to_string(), "web: prepare, create, start\n");
}

#[test]
fn a_spec_that_only_a_later_release_understands_is_refused_alone() {
    let text = r#"{"workloads":[
        {"uid":"00000000-0000-0000-0000-000000000001","spec":
            {"name":"later","kind":"vm","vm":{"disk":{"url":"http://x/y","sha256":"0",
                "format":"zfs"}}}},
        {"uid":"00000000-0000-0000-0000-000000000002","spec":
            {"name":"web","kind":"container","container":{"image":"a"}}}]}"#;
    let set: basalt_api::set::HostSet = serde_json::from_str(text).unwrap();
    let wanted = set.workloads.into_iter().map(|one| Wanted::new(one, Owner::Host(US), false));
    let wanted: Vec<_> = wanted.collect();
    let world = World::of("", "");
    let plan = plan(&Situation {
        wanted: Some(&wanted),
        knows_set: true,
        leaving: &world.leaving,
        forgotten: &[],
        observed: &Observed::nothing(),
        tracks: &world.tracks,
        us: Some(US),
        policy: &Policy::default(),
        contact: Contact::Ago(Duration::ZERO),
        memory_mib: 1000,
        now: world.now,
    });
    assert_eq!(plan.to_string(), "web: prepare, create, start\n");
    assert_eq!(plan.statuses[0].state.as_str(), "refused");
    let reason = plan.statuses[0].reason.as_deref().unwrap();
    assert!(reason.contains("unknown variant `zfs`"), "{reason}");
}

/// One round whose first step fails.
fn fail(world: &mut World) {
    let work = world.plan().work.remove(0);
    world.tracks.turn_to(work.uid, work.purpose);
    let failed =
        crate::track::Progress::Failed(work.steps[0], "it failed".to_owned(), Trouble::Passing);
    world.tracks.progress(work.uid, failed, world.now);
}

#[test]
fn a_hold_a_deletion_and_another_spec_wait_for_no_failure_of_before() {
    let mut world = World::of("web+", "web*");
    fail(&mut world);
    assert_eq!(world.plan().to_string(), "", "the same is not tried again at once");
    let after = |wanted: &str| {
        let mut world = world.clone();
        world.wants_now(wanted);
        world.plan().to_string().trim_end().to_owned()
    };
    assert_eq!(after("web!"), "web: stop");
    assert_eq!(after("web?"), "web: stop");
    assert_eq!(after(""), "web: stop, remove with its data");
    assert_eq!(after("web"), "");
    world.instances[0].state = InstanceState::Ended { code: Some(1), at: 5, note: None };
    world.wants_now("web");
    assert_eq!(world.plan().to_string(), "web: start\n");
    // And a stop that fails waits as anything else that does.
    let mut world = World::of("web!", "web*");
    fail(&mut world);
    assert_eq!(world.plan().to_string(), "");
}

#[test]
fn what_is_prepared_for_nothing_is_given_up() {
    let mut world = World::of("web+", "web*");
    let work = world.plan().work.remove(0);
    world.tracks.turn_to(work.uid, work.purpose);
    world.tracks.progress(work.uid, crate::track::Progress::Began(Step::Prepare), world.now);
    assert_eq!(world.plan().given_up, []);
    for other in ["web!", "web?", "web", ""] {
        world.wants_now(other);
        assert_eq!(world.plan().given_up, [work.uid], "{other}");
    }
    world.instances.clear();
    assert_eq!(world.plan().given_up, [work.uid], "neither wanted nor there");
}
