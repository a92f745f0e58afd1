//! Plans as text, and plans carried out in a world of their own until nothing is left to do.

mod world;

use basalt_api::report::Trouble;
use basalt_api::workload::Kind;
use proptest::prelude::*;

use super::*;
use crate::instance::InstanceState;
use crate::step::Data;
use world::{OTHER_HOST, US, World};

/// `wanted` has a word for each workload, `there` for each instance:
///
/// - wanted: `name`, with `+` a newer spec than the instance's, `!` held, `?` refused by policy
/// - there: `name`, with `*` running, `=` paused, `.` ended with 1, `-` made, `~` another host's
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
fn another_hosts_instance_is_never_touched() {
    check("", "web~*", "");
    check("new", "web~.", "new: prepare, create, start");
}

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
fn a_runtime_that_is_away_stops_only_its_own_kind() {
    let mut world = World::of("web vm-a", "old*");
    world.containers_are_away = true;
    assert_eq!(world.plan().to_string(), "vm-a: prepare, create, start\n");
    let plan = world.plan();
    let web = plan.statuses.iter().find(|status| status.name.as_str() == "web").unwrap();
    assert_eq!(web.reason.as_deref(), Some("podman does not answer"));
}

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
fn a_guest_that_somebody_paused_goes_on_when_somebody_says_so() {
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
fn what_is_deleted_has_its_own_time_to_end() {
    let mut world = World::of("", "web* vm-a*");
    let web = world.instances[0].uid;
    world.leaving.get_mut(&web).unwrap().stop_grace_s = 77;
    let stops: Vec<_> = world.plan().work.iter().map(|work| work.steps[0]).collect();
    let expected = [120, 77].map(|seconds| Step::Stop(Duration::from_secs(seconds)));
    assert_eq!(stops, expected);
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

const NAMES: [&str; 8] =
    ["web", "port-a", "port-b", "high-9", "vm-a", "never", "quiet-60", "onfailure"];

fn a_world() -> impl Strategy<Value = World> {
    a_world_of(NAMES)
}

/// What somebody changes while a world works: what is wanted and held, how long the endpoint has
/// been silent, whether anything can be made; and how many rounds pass until the next change.
type Edit = (String, u64, bool, usize);

fn an_edit() -> impl Strategy<Value = Edit> {
    (some_of(NAMES, WANTED), 0_u64..120, any::<bool>(), 1_usize..15)
}

/// One that has not room for all, and in which all that is there has room.
fn a_narrow_world() -> impl Strategy<Value = World> {
    let names =
        ["m-20", "m-30-60", "m-60-30", "m-50-50", "m-10-90", "m-90-10", "m-40-40", "m-70-20"];
    (a_world_of(names), 60_u64..250).prop_map(|(mut world, memory_mib)| {
        world.memory_mib = memory_mib.max(world.memory_at_most(&Plan::default()));
        world
    })
}

/// Some of the names, each with one of the marks.
fn some_of(
    names: [&'static str; 8],
    marks: &'static [&'static str],
) -> impl Strategy<Value = String> {
    let names = proptest::sample::subsequence(names.to_vec(), 0..=names.len());
    names.prop_flat_map(move |names| {
        let marks = proptest::collection::vec(proptest::sample::select(marks), names.len());
        (Just(names), marks).prop_map(|(names, marks)| {
            let words = names.iter().zip(marks).map(|(name, mark)| format!("{name}{mark}"));
            words.collect::<Vec<_>>().join(" ")
        })
    })
}

const WANTED: &[&str] = &["", "+", "!", "?"];
const THERE: &[&str] = &["*", ".", "-", "x", "="];

fn a_world_of(names: [&'static str; 8]) -> impl Strategy<Value = World> {
    (some_of(names, WANTED), some_of(names, THERE), any::<u64>()).prop_map(
        |(wanted, there, seed)| {
            let mut world = World::of(&wanted, &format!("{there} foreign~* foreign-b~."));
            world.seed = seed;
            world
        },
    )
}

proptest! {
    #[test]
    fn any_plan_reaches_what_is_wanted_and_then_is_empty(mut world in a_world()) {
        world.run_until_quiet();
        prop_assert_eq!(world.plan().work, []);
        world.assert_reached();
    }

    #[test]
    fn a_plan_with_failing_steps_reaches_it_too(mut world in a_world(), failing in 1_u32..40) {
        world.failing_steps = failing;
        world.run_until_quiet();
        world.assert_reached();
    }

    #[test]
    fn a_world_that_is_edited_while_it_works_reaches_the_last_edit(
        mut world in a_world(),
        edits in proptest::collection::vec(an_edit(), 1..6),
    ) {
        for (wanted, silent_s, nothing_starts, rounds) in edits {
            world.wants_now(&wanted);
            world.contact = Contact::Ago(Duration::from_secs(silent_s));
            world.nothing_starts = nothing_starts;
            for round in 0..rounds {
                let before = world.clone();
                let plan = world.round_of_slow_images();
                // What was under way is given up in the first round; from then on nothing, and no
                // failure of before, keeps what must not run from being stopped.
                let wrong = before.goes_on_wrongly(&plan);
                prop_assert_eq!(wrong, vec![], "round {}: {}", round, plan);
                for uid in &plan.given_up {
                    prop_assert!(world.tracks.of(*uid).busy.is_none(), "{uid} goes on");
                }
            }
        }
        world.nothing_starts = false;
        world.finish_images();
        world.run_until_quiet();
        world.assert_reached();
    }

    #[test]
    fn what_is_not_ours_is_never_touched(mut world in a_world()) {
        let foreign = |world: &World| {
            let foreign = world.instances.iter().filter(|one| one.owner == Owner::Host(OTHER_HOST));
            foreign.cloned().collect::<Vec<_>>()
        };
        let before = foreign(&world);
        world.run_until_quiet();
        prop_assert_eq!(foreign(&world), before);
    }

    #[test]
    fn whatever_frees_comes_before_whatever_takes(world in a_world()) {
        let plan = world.plan();
        let first: Vec<bool> = plan.work.iter().map(|work| work.steps[0].frees()).collect();
        prop_assert!(first.is_sorted_by(|one, other| one >= other), "{plan}");
        for work in &plan.work {
            let stop = work.steps.iter().position(|step| matches!(step, Step::Stop(_)));
            let remove = work.steps.iter().position(|step| matches!(step, Step::Remove(_)));
            let create = work.steps.iter().position(|step| *step == Step::Create);
            prop_assert!(stop.is_none() || remove.is_none() || stop < remove, "{plan}");
            prop_assert!(remove.is_none() || create.is_none() || remove < create, "{plan}");
        }
    }

    #[test]
    fn memory_is_freed_before_it_is_taken(
        mut world in a_narrow_world(),
        failing in 0_u32..20,
    ) {
        world.failing_steps = failing;
        let all = world.memory_mib;
        let mut most = 0;
        world.run_while(|world, plan| most = most.max(world.memory_at_most(plan)));
        prop_assert!(most <= all, "{most} of {all} MiB are taken");
    }

    #[test]
    fn nobody_waits_for_memory_that_is_free(mut world in a_narrow_world()) {
        world.run_until_quiet();
        let held = |word: &String| word.contains('!') || word.contains('?');
        let mut vain = world.waits_in_vain();
        vain.retain(|word| !held(word));
        prop_assert_eq!(vain, Vec::<String>::new());
    }

    #[test]
    fn data_is_deleted_only_of_what_nobody_wants(world in a_world()) {
        let wanted: Vec<_> = world.wanted().iter().map(Wanted::uid).collect();
        for work in world.plan().work {
            if work.steps.contains(&Step::Remove(Data::Delete)) {
                prop_assert!(!wanted.contains(&work.uid));
            }
        }
    }

    #[test]
    fn every_workload_has_one_status(world in a_world()) {
        let mut uids: Vec<_> = world.wanted().iter().map(Wanted::uid).collect();
        uids.extend(world.instances.iter().map(|instance| instance.uid));
        uids.sort();
        uids.dedup();
        let mut said: Vec<_> = world.plan().statuses.iter().map(|status| status.uid).collect();
        said.sort();
        prop_assert_eq!(said, uids);
    }
}

#[test]
fn kinds_are_told_apart_in_the_world() {
    assert_eq!(World::of("vm-a", "").wanted()[0].kind(), Kind::Vm);
}
