//! Updates and rollbacks that are cut off, and the history that is left.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Whatever step it is cut off before, the host boots, and the next update ends well.
#[test]
fn an_update_that_is_cut_anywhere_leaves_a_host_that_boots_and_is_begun_again() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let mut ground = HostGround::running(&publisher, &first);
    publisher.publish("2", "kernel 2");
    ground.update(&wanted(&publisher)).unwrap();
    ground.reboots_well("2");
    let running = ground.boots_next();
    let third = publisher.publish("3", "kernel 3");
    ground.verdicts(now());
    let mut history = ground.history();
    history.push("installed 3".into());
    for cut in 0.. {
        let cuts = Rc::new(Cell::new(0));
        let tell = move |progress: Progress| {
            let Progress::Install { .. } = progress else { return };
            assert!(cuts.get() < cut, "the power goes");
            cuts.set(cuts.get() + 1);
        };
        let updater = ground.updater();
        let run = || updater.update(&wanted(&publisher), now(), tell);
        match catch_unwind(AssertUnwindSafe(run)) {
            Err(_) => {
                let next = ground.boots_next();
                assert!(next == running || next == third.commit, "after {cut} steps: {next}");
                let is_told = ground.history() == history;
                assert_eq!(is_told, next == third.commit, "after {cut} steps");
            }
            Ok(Err(error)) => {
                // Cut after its entry was written: all that is left is to clean up.
                assert!(error.to_string().contains("is installed already"), "{error:#}");
                assert!(cut > 6, "after {cut} steps");
                break;
            }
            Ok(Ok(_)) => break,
        }
    }
    assert_eq!(ground.boots_next(), third.commit);
    assert_eq!(ground.history(), history);
    ground.reboots_well("3");
    ground.verdicts(now());
    history.push("good 3".into());
    assert_eq!(ground.history(), history);
}

#[test]
fn what_took_the_place_of_a_release_that_waits_comes_after_it_in_the_history() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let mut ground = HostGround::running(&publisher, &first);
    for version in ["2", "3"] {
        publisher.publish(version, "kernel 2");
        ground.update(&wanted(&publisher)).unwrap();
    }
    assert_eq!(ground.history(), ["installed 2", "installed 3"]);
    ground.reboots_well("3");
    ground.updater().roll_back(now(), |_| ()).unwrap();
    assert_eq!(ground.history(), ["installed 2", "installed 3", "good 3", "rolled_back 1"]);
}

/// A rollback that is cut before a step is history only where it boots.
#[test]
fn a_rollback_that_was_cut_is_told_where_it_boots() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    for cut in 0..5 {
        let mut ground = HostGround::running(&publisher, &first);
        let second = publisher.publish("2", "kernel 2");
        ground.update(&wanted(&publisher)).unwrap();
        ground.reboots_well("2");
        let cuts = Rc::new(Cell::new(0));
        let tell = move |_| {
            assert!(cuts.get() < cut, "the power goes");
            cuts.set(cuts.get() + 1);
        };
        let updater = ground.updater();
        let run = || updater.roll_back(now(), tell).map(drop);
        let _ = catch_unwind(AssertUnwindSafe(run));
        let is_back = ground.boots_next() != second.commit;
        ground.verdicts(now());
        let is_told = ground.history().last().is_some_and(|last| last == "rolled_back 1");
        assert_eq!(is_told, is_back, "after {cut} steps");
        assert_eq!(is_back, cut >= 2, "after {cut} steps");
    }
}
