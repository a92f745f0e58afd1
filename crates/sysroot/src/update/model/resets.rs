//! Resets that are cut off, and the menu's entry over many updates.

use super::*;
use crate::update::{BeforeReset, FoundReset, Reset, may_reset, offer_reset, reset};

impl Host {
    fn menu(&self) -> Vec<FoundReset> {
        let menu = self.seen.menu.iter();
        menu.map(|(name, (entry, written))| FoundReset {
            name: name.parse().unwrap(),
            content: (*written == Written::Whole).then(|| entry.clone()),
        })
        .collect()
    }

    /// What the host does before it changes the other slot.
    fn offer(&self) -> Vec<Step> {
        let (running, _) = &self.seen.entries[&self.running.to_string()];
        let arguments = kargs::for_slot(self.running.slot, &[], &[]);
        offer_reset(self.running.slot, &self.menu(), &ResetEntry::beside(running, &arguments))
    }

    fn offered(&self) -> Vec<&str> {
        self.seen.menu.keys().map(String::as_str).collect()
    }

    fn reset(&self, releases: &[Release]) -> Reset {
        let Found { entries, files, links: [a, b], .. } = self.found();
        let slot = self.running.slot;
        let runs = if slot == Slot::A { a } else { b }.unwrap();
        let release = releases.iter().find(|release| release.commit == runs.commit).unwrap();
        let entries = entries.into_iter().map(|entry| entry.name).collect();
        let before = BeforeReset { slot, entries, menu: self.menu(), files };
        reset(&before, &in_slot(release, slot))
    }

    fn steps_of_reset(&self, releases: &[Release]) -> Vec<Step> {
        let Reset { prepare, finish } = self.reset(releases);
        [prepare, finish].concat()
    }
}

/// Every entry that boots by itself, and that of the menu, boots at every moment of an update.
#[test]
fn the_menu_offers_a_reset_that_boots_whatever_an_update_is_cut_off() {
    for kernels in [[100, 101, 102], [100, 101, 101], [100, 100, 100]] {
        let releases = three(kernels);
        let mut host = Host::fresh(&releases[0]);
        for round in 1..7 {
            let mut steps = host.offer();
            steps.extend(host.update(&releases[round % 3]).unwrap());
            assert_eq!(broken(&host, &steps, &every_choice(), &releases), None);
            host.run(&steps);
            assert_eq!(host.offered(), [format!("basalt-reset-{}+0.conf", host.running.slot)]);
            assert_eq!(host.offer(), []);
            host.carry_out(&Step::Sync(Volume::Root));
            host = Host::boot(host.safe, &releases, true).unwrap();
        }
    }
}

/// A host that runs its second release, while the menu still resets by the first.
fn with_a_menu_of_the_other_slot(releases: &[Release]) -> Host {
    let mut host = Host::fresh(&releases[0]);
    host.run(&host.offer());
    host.run(&host.update(&releases[1]).unwrap());
    host.carry_out(&Step::Sync(Volume::Root));
    Host::boot(host.safe, releases, true).unwrap()
}

/// The menu would offer no reset any more: the old entry may be gone, and the new one not there.
#[test]
fn no_sync_of_the_menus_entry_can_be_left_out() {
    let releases = three([100, 101, 102]);
    let host = with_a_menu_of_the_other_slot(&releases);
    let update = [host.offer(), host.update(&releases[2]).unwrap()].concat();
    for steps in [update, host.steps_of_reset(&releases)] {
        assert_eq!(broken(&host, &steps, &every_choice(), &releases), None);
        let writes = |step: &Step| matches!(step, Step::WriteReset(..));
        let sync = steps.iter().position(writes).unwrap() + 1;
        let mut fewer = steps.clone();
        assert_eq!(fewer.remove(sync), Step::Sync(Volume::Esp));
        let why = broken(&host, &fewer, &every_choice(), &releases).expect("it is missed");
        assert!(why.ends_with(": the menu offers no reset any more"), "{why}");
    }
}

#[test]
fn an_update_that_leaves_the_menu_behind_would_leave_an_entry_without_its_kernel() {
    let releases = three([100, 101, 102]);
    let host = with_a_menu_of_the_other_slot(&releases);
    let steps = host.update(&releases[2]).unwrap();
    assert!(broken(&host, &steps, &every_choice(), &releases).is_some());
}

#[test]
fn a_menu_that_somebody_changed_is_put_right() {
    let releases = three([100, 101, 102]);
    let mut host = Host::fresh(&releases[0]);
    host.run(&host.offer());
    let (entry, _) = host.seen.menu["basalt-reset-a+0.conf"].clone();
    let put = |host: &mut Host, name: &str, entry: &ResetEntry, written: Written| {
        host.seen.menu = [(name.to_owned(), (entry.clone(), written))].into();
    };
    // The loader has counted a boot: as good.
    put(&mut host, "basalt-reset-a+0-1.conf", &entry, Written::Whole);
    assert_eq!(host.offer(), []);
    let other = ResetEntry { options: "x".into(), ..entry.clone() };
    for (name, entry, written) in [
        ("basalt-reset-a.conf", &entry, Written::Whole),
        ("basalt-reset-a+3.conf", &entry, Written::Whole),
        ("basalt-reset-b+0.conf", &entry, Written::Whole),
        ("basalt-reset-a+0.conf", &other, Written::Whole),
        ("basalt-reset-a+0.conf", &entry, Written::Half),
    ] {
        put(&mut host, name, entry, written);
        host.run(&host.offer());
        assert_eq!(host.offered(), ["basalt-reset-a+0.conf"], "{name}");
        assert_eq!(host.offer(), [], "{name}");
    }
}

/// What a reset leaves: one entry that is not on trial, the menu's, one slot.
fn is_fresh(host: &Host, commit: &str) {
    let Disk { entries, menu, files, links, .. } = &host.safe;
    let names: Vec<EntryName> = entries.keys().map(|name| name.parse().unwrap()).collect();
    assert!(matches!(names[..], [name] if name.is_blessed()), "{names:?}");
    assert_eq!((menu.len(), files.len(), links.len()), (1, 2, 1));
    assert_eq!(links[&names[0].slot].commit, commit);
    assert_ne!(links[&names[0].slot].number, 0, "it is a deployment of its own");
}

#[test]
fn a_reset_that_is_cut_off_anywhere_boots_and_ends_when_it_is_begun_again() {
    let releases = three([100, 101, 102]);
    let (mut settled, mut waiting) = (settled(&releases), waiting(&releases));
    settled.run(&settled.offer());
    waiting.run(&waiting.offer());
    // In a boot from the menu something may wait to be tried.
    for host in [settled, waiting] {
        let runs = host.seen.links[&host.running.slot].commit.clone();
        let steps = host.steps_of_reset(&releases);
        for end in 0..=steps.len() {
            for choice in every_choice() {
                let mut cut = host.clone();
                cut.run(&steps[..end]);
                let disk = cut.cut(&choice);
                let next = disk.boot(&releases).unwrap_or_else(|why| panic!("after {end}: {why}"));
                // What waits to be tried boots after a cut; it leaves the reset to who comes after.
                if next.slot != host.running.slot {
                    continue;
                }
                let mut again = Host::boot(disk, &releases, false).unwrap();
                again.run(&again.steps_of_reset(&releases));
                is_fresh(&again, &runs);
            }
        }
        let mut done = host.clone();
        done.run(&steps);
        is_fresh(&done, &runs);
        let mut fresh = Host::boot(done.cut(&[]), &releases, false).unwrap();
        fresh.carry_out(&Step::CleanDeployments);
        assert_eq!(fresh.seen.deployments.len(), 1, "nothing of the host's own `/etc` is left");
        assert_eq!(fresh.offer(), []);
    }
}

#[test]
fn no_sync_of_a_reset_that_something_boots_by_can_be_left_out() {
    let releases = three([100, 101, 102]);
    let mut host = settled(&releases);
    host.run(&host.offer());
    let steps = host.steps_of_reset(&releases);
    let is_sync = |step: &Step| matches!(step, Step::Sync(_));
    assert_eq!(broken(&host, &steps, &every_choice(), &releases), None);
    let missed: Vec<bool> = (0..steps.len())
        .filter(|at| is_sync(&steps[*at]))
        .map(|at| {
            let mut fewer = steps.clone();
            fewer.remove(at);
            broken(&host, &fewer, &every_choice(), &releases).is_some()
        })
        .collect();
    // The deployment before its link; the entry before the others go, and those of the other slot
    // before its link goes. The one after the link is there for `/var`, which is emptied next; the
    // one of the ESP before it for boot files that were missing; the last two free what nothing
    // boots by.
    assert_eq!(missed, [true, false, false, true, true, false, false], "{steps:?}");
}

#[test]
fn a_reset_waits_for_no_trial_and_takes_none_along() {
    let releases = three([100, 101, 102]);
    assert_eq!(may_reset(&settled(&releases).found()), Ok(()));
    let waits = waiting(&releases);
    let expected = EntryName::on_trial(3, Slot::A, 3);
    assert_eq!(may_reset(&waits.found()), Err(Refusal::AnotherWaits(expected)));
    let trial = Host::boot(waits.safe, &releases, false).unwrap();
    assert_eq!(may_reset(&trial.found()), Err(Refusal::OnTrial(expected)));
    let mut host = settled(&releases);
    let steps = change_arguments(&host.found(), &with_debug(host.running.slot), 3).unwrap();
    host.run(&steps);
    let expected = EntryName::on_trial(3, Slot::B, 3);
    assert_eq!(may_reset(&host.found()), Err(Refusal::AnotherWaits(expected)));
}
