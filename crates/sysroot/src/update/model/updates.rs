//! Updates, other arguments and ways back that are cut off at any moment.

use proptest::prelude::*;

use super::*;

fn choices() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(0..3u8, 12), 24)
}

proptest! {
    #[test]
    fn a_power_cut_anywhere_in_an_update_leaves_a_host_that_boots(
        kernels in prop::array::uniform3(100..103u8),
        choices in choices(),
        both in any::<bool>(),
    ) {
        let releases = three(kernels);
        let host = if both { settled(&releases) } else { Host::fresh(&releases[0]) };
        let steps = host.update(&releases[2]).unwrap();
        prop_assert_eq!(broken(&host, &steps, &choices, &releases), None);
    }

    #[test]
    fn an_update_that_was_cut_off_is_begun_again_and_ends(
        kernels in prop::array::uniform3(100..103u8),
        cuts in prop::collection::vec((0..14usize, prop::collection::vec(0..3u8, 12)), 0..4),
    ) {
        let releases = three(kernels);
        let mut host = settled(&releases);
        for (end, choice) in cuts {
            let Ok(steps) = host.update(&releases[2]) else { break };
            host.run(&steps[..end.min(steps.len())]);
            host = Host::boot(host.cut(&choice), &releases, false).unwrap();
        }
        match host.update(&releases[2]) {
            Ok(steps) => {
                host.run(&steps);
                host = Host::boot(host.cut(&[]), &releases, true).unwrap();
            }
            Err(Refusal::OnTrial(_)) => (),
            Err(refusal) => prop_assert!(false, "{refusal}"),
        }
        let runs = &host.seen.links[&host.running.slot].commit;
        prop_assert_eq!(runs, &releases[2].commit);
    }

    #[test]
    fn a_power_cut_anywhere_on_the_way_back_leaves_a_host_that_boots(choices in choices()) {
        let releases = three([100, 101, 101]);
        let host = settled(&releases);
        let steps = roll_back(&host.found()).unwrap();
        prop_assert_eq!(broken(&host, &steps, &choices, &releases), None);
    }
}

/// Every sync is needed: without any one of them some cut is not survived.
#[test]
fn no_sync_of_an_update_can_be_left_out() {
    let releases = three([100, 101, 102]);
    let host = settled(&releases);
    let steps = host.update(&releases[2]).unwrap();
    let choices = every_choice();
    assert_eq!(broken(&host, &steps, &choices, &releases), None);
    let syncs = steps.iter().enumerate().filter(|(_, step)| matches!(step, Step::Sync(_)));
    for (at, sync) in syncs {
        let mut fewer = steps.clone();
        fewer.remove(at);
        assert!(
            broken(&host, &fewer, &choices, &releases).is_some(),
            "{sync:?}, step {at}, is not missed"
        );
    }
}

#[test]
fn no_sync_of_a_refresh_can_be_left_out() {
    let releases = three([100, 101, 102]);
    let host = waiting(&releases);
    let before = host.safe.boot(&releases).unwrap();
    let idle = host.running.slot.other();
    let steps = refresh(idle, &host.seen.links[&idle]);
    let choices = every_choice();
    assert_eq!(broken(&host, &steps, &choices, &releases), None);
    for at in [1, 3] {
        let mut fewer = steps.clone();
        assert!(matches!(fewer.remove(at), Step::Sync(_)));
        assert!(broken(&host, &fewer, &choices, &releases).is_some(), "step {at} is not missed");
    }
    let mut done = host.clone();
    done.run(&steps);
    assert_eq!(done.cut(&[]).boot(&releases), Ok(before));
    let link = &done.seen.links[&idle];
    assert_eq!((&link.commit, link.number), (&releases[2].commit, 1));
    assert_eq!(done.seen.deployments.len(), 2);
}

#[test]
fn other_arguments_are_tried_beside_those_that_are_good() {
    let releases = three([100, 101, 102]);
    let host = settled(&releases);
    let steps = change_arguments(&host.found(), &with_debug(host.running.slot), 3).unwrap();
    assert_eq!(broken(&host, &steps, &every_choice(), &releases), None);
    let mut done = host.clone();
    done.run(&steps);
    let trial = Host::boot(done.safe.clone(), &releases, false).unwrap();
    assert_eq!(trial.running.to_string(), "basalt-3-b+3.conf");
    let again = change_arguments(&trial.found(), "", 3);
    assert_eq!(again, Err(Refusal::OnTrial(trial.running)));
    // Its tries are spent: what ran before runs again, and may be left by a rollback.
    let mut spent = done.safe.clone();
    let entry = spent.entries.remove("basalt-3-b+3.conf").unwrap();
    spent.entries.insert("basalt-3-b+0-3.conf".into(), entry);
    let back = Host::boot(spent, &releases, false).unwrap();
    assert_eq!(back.running, host.running);
    assert!(roll_back(&back.found()).is_ok());
    // Once more: the one that failed goes.
    let steps = change_arguments(&back.found(), &with_debug(back.running.slot), 3).unwrap();
    assert!(matches!(&steps[0], Step::DropEntry(name) if name.is_exhausted()));
}

#[test]
fn other_arguments_stand_back_behind_a_release_that_waits() {
    let releases = three([100, 101, 102]);
    let host = waiting(&releases);
    let refused = change_arguments(&host.found(), &with_debug(host.running.slot), 3);
    assert!(matches!(refused, Err(Refusal::AnotherWaits(name)) if name.slot == Slot::A));
}

#[test]
fn a_release_stands_back_behind_other_arguments_that_wait() {
    let releases = three([100, 101, 102]);
    let mut host = settled(&releases);
    let running = host.running;
    let steps = change_arguments(&host.found(), &with_debug(running.slot), 3).unwrap();
    host.run(&steps);
    let waits = EntryName::on_trial(3, running.slot, 3);
    assert_eq!(may_install(&host.found()), Err(Refusal::AnotherWaits(waits)));
    assert_eq!(host.update(&releases[2]), Err(Refusal::AnotherWaits(waits)));
    // Whatever is left of their entry after a cut: either it waits, or nothing boots it.
    for choice in every_choice() {
        let mut host = settled(&releases);
        host.run(&steps[..steps.len() - 1]);
        let cut = Host::boot(host.cut(&choice), &releases, false).unwrap();
        match cut.update(&releases[2]) {
            Ok(_) => assert_eq!(cut.running, running),
            Err(refusal) => assert_eq!(refusal, Refusal::OnTrial(waits)),
        }
    }
    // Who goes back to the other slot wants them no more.
    let back = roll_back(&host.found()).unwrap();
    assert_eq!(broken(&host, &back, &every_choice(), &releases), None);
    let mut gone = host.clone();
    gone.run(&back);
    assert_eq!(gone.found().waits(running.slot), None);
    // Once they have failed, they are in no release's way, and do not come back when it fails too.
    let spend = |disk: &mut Disk, name: EntryName| {
        let entry = disk.entries.remove(&name.to_string()).unwrap();
        let spent = format!("basalt-{}-{}+0-3.conf", name.serial, name.slot);
        disk.entries.insert(spent, entry);
    };
    spend(&mut host.safe, waits);
    let mut host = Host::boot(host.safe, &releases, false).unwrap();
    host.run(&host.update(&releases[2]).unwrap());
    host.carry_out(&Step::Sync(Volume::Root));
    let chosen = host.safe.boot(&releases).unwrap();
    assert_eq!(chosen.slot, running.slot.other());
    spend(&mut host.safe, chosen);
    assert_eq!(host.safe.boot(&releases), Ok(running));
}

#[test]
fn what_was_tried_with_other_arguments_can_be_gone_back_to() {
    let releases = three([100, 101, 102]);
    let mut host = settled(&releases);
    // Slot b failed with other arguments; then the third release came into slot a, and is good.
    host.run(&change_arguments(&host.found(), &with_debug(Slot::B), 3).unwrap());
    let mut spent = host.safe.clone();
    let entry = spent.entries.remove("basalt-3-b+3.conf").unwrap();
    spent.entries.insert("basalt-3-b+0-3.conf".into(), entry);
    let mut host = Host::boot(spent, &releases, false).unwrap();
    host.run(&host.update(&releases[2]).unwrap());
    host.carry_out(&Step::Sync(Volume::Root));
    host.carry_out(&Step::Sync(Volume::Esp));
    let mut host = Host::boot(host.safe, &releases, true).unwrap();
    assert_eq!(host.running.slot, Slot::A);
    host.run(&roll_back(&host.found()).unwrap());
    host.carry_out(&Step::Sync(Volume::Esp));
    let back = Host::boot(host.safe, &releases, false).unwrap();
    assert_eq!(back.seen.links[&back.running.slot].commit, releases[1].commit);
}

#[test]
fn what_waits_to_be_tried_is_withdrawn_and_what_runs_boots_again() {
    let releases = three([100, 101, 102]);
    let release = waiting(&releases);
    let mut arguments = settled(&releases);
    let steps = change_arguments(&arguments.found(), &with_debug(Slot::B), 3).unwrap();
    arguments.run(&steps);
    for host in [release, arguments] {
        let (withdrawn, steps) = withdraw(&host.found()).unwrap();
        assert_eq!(host.safe.boot(&releases), Ok(withdrawn));
        for end in 0..=steps.len() {
            let mut cut = host.clone();
            cut.run(&steps[..end]);
            for choice in every_choice() {
                let boots = cut.cut(&choice).boot(&releases).unwrap();
                assert!([withdrawn, host.running].contains(&boots), "{boots}");
            }
        }
        let mut done = host.clone();
        done.run(&steps);
        assert_eq!(done.cut(&[]).boot(&releases), Ok(host.running));
        assert_eq!(withdraw(&done.found()), Err(Refusal::NothingWaits));
        // Whatever is wanted next may come.
        done.run(&done.update(&releases[2]).unwrap());
    }
}

#[test]
fn what_was_gone_back_to_is_not_withdrawn() {
    let releases = three([100, 101, 102]);
    let mut host = settled(&releases);
    host.run(&roll_back(&host.found()).unwrap());
    let boots = host.safe.boot(&releases).unwrap();
    assert_eq!(withdraw(&host.found()), Err(Refusal::WentBack(boots)));
    let waits = roll_back(&waiting(&releases).found()).unwrap_err().to_string();
    assert!(waits.contains("waits to be tried\nhint: `hostctl os cancel`"), "{waits}");
}

#[test]
fn an_update_keeps_the_running_slot_and_frees_what_nobody_needs() {
    let releases = three([100, 101, 102]);
    let mut host = settled(&releases);
    let before = host.seen.clone();
    host.run(&host.update(&releases[2]).unwrap());
    let running = host.running.to_string();
    assert_eq!(host.seen.entries[&running], before.entries[&running]);
    let [first, second, third] = [&releases[0], &releases[1], &releases[2]];
    let there = |file: BootFile| host.seen.files.contains_key(&file.to_string());
    assert!(there(second.linux) && there(third.linux) && there(third.initrd));
    assert!(!there(first.linux) && !there(first.initrd));
    assert_eq!(host.seen.deployments.len(), 2);
}

#[test]
fn a_kernel_that_is_there_is_not_written_again() {
    let releases = three([100, 101, 101]);
    let steps = settled(&releases).update(&releases[2]).unwrap();
    let written: Vec<_> = steps.iter().filter(|step| matches!(step, Step::WriteFile(_))).collect();
    assert_eq!(written, [&Step::WriteFile(releases[2].initrd)]);
}

#[test]
fn what_should_not_begin_is_refused() {
    let releases = three([100, 101, 102]);
    let mut host = settled(&releases);
    let refused = |host: &Host, to: &Release| host.update(to).unwrap_err();
    let commit = |release: &Release| release.commit.clone();
    assert_eq!(refused(&host, &releases[1]), Refusal::Runs { commit: commit(&releases[1]) });
    host.run(&host.update(&releases[2]).unwrap());
    let entry = EntryName::on_trial(3, Slot::A, 3);
    let waits = Refusal::Waits { commit: commit(&releases[2]), entry };
    assert_eq!(refused(&host, &releases[2]), waits);
    let trial = Host::boot(host.seen, &releases, false).unwrap();
    assert_eq!(refused(&trial, &releases[0]), Refusal::OnTrial(trial.running));
    assert_eq!(roll_back(&trial.found()), Err(Refusal::OnTrial(trial.running)));
    let fresh = Host::fresh(&releases[0]);
    assert!(matches!(roll_back(&fresh.found()), Err(Refusal::NothingBehind { .. })));
}
