//! Worlds of any kind, carried out until nothing is left to do.

use proptest::prelude::*;

use super::*;
use crate::step::Data;

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
const THERE: &[&str] = &["*", ".", "-", "x", "=", "^"];

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
