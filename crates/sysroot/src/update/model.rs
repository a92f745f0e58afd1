//! A disk that may lose power at any moment, and what must hold on it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::{
    Deployment, Found, FoundEntry, FoundFile, Refusal, Release, Step, Volume, change_arguments,
    install, refresh, roll_back,
};
use crate::boot_file::{BootFile, Kind};
use crate::entry::{BootEntry, EntryName, choose};
use crate::kargs;
use crate::slot::Slot;

/// How much of a file reached the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Half,
    Whole,
}

/// What lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Disk {
    entries: BTreeMap<String, (BootEntry, Written)>,
    files: BTreeMap<String, (BootFile, Written)>,
    links: BTreeMap<Slot, Deployment>,
    deployments: BTreeMap<Deployment, Written>,
}

/// A change that may or may not have reached the disk.
#[derive(Debug, Clone)]
enum Change {
    Entry(EntryName, Option<BootEntry>),
    File(BootFile, bool),
    Link(Slot, Deployment),
    Deployed(Deployment),
    Removed(Deployment),
}

/// A host that runs: what its programs see, what is on the disk for sure, and what is in between.
#[derive(Debug, Clone)]
struct Host {
    seen: Disk,
    safe: Disk,
    pending: Vec<(Volume, Change)>,
    running: EntryName,
    made: Option<Deployment>,
}

fn release(number: u8, kernel: u8) -> Release {
    let hash = |byte: u8| [byte; 32];
    Release {
        commit: format!("{number:02x}").repeat(32),
        title: format!("Basalt {number}"),
        options: String::new(),
        linux: BootFile::new(Kind::Linux, &hash(kernel)),
        initrd: BootFile::new(Kind::Initrd, &hash(number)),
        tries: 3,
    }
}

/// For this slot, as it would be installed there.
fn in_slot(release: &Release, slot: Slot) -> Release {
    Release { options: kargs::for_slot(slot, &[], &[]).join(" "), ..release.clone() }
}

impl Disk {
    fn take(&mut self, change: &Change, written: Written) {
        match change {
            Change::Entry(name, Some(entry)) => {
                self.entries.insert(name.to_string(), (entry.clone(), written));
            }
            Change::Entry(name, None) => drop(self.entries.remove(&name.to_string())),
            Change::File(file, true) => {
                self.files.insert(file.to_string(), (*file, written));
            }
            Change::File(file, false) => drop(self.files.remove(&file.to_string())),
            Change::Link(slot, to) => drop(self.links.insert(*slot, to.clone())),
            Change::Deployed(deployment) => {
                self.deployments.insert(deployment.clone(), written);
            }
            Change::Removed(deployment) => drop(self.deployments.remove(deployment)),
        }
    }

    fn names(&self) -> Vec<EntryName> {
        // The loader leaves half an entry out: it has no kernel.
        let whole = self.entries.iter().filter(|(_, (_, written))| *written == Written::Whole);
        whole.map(|(name, _)| name.parse().unwrap()).collect()
    }

    /// What boots, or why something would not: whatever the menu offers must.
    fn boot(&self, releases: &[Release]) -> Result<EntryName, String> {
        let names = self.names();
        for name in &names {
            self.boots(*name, releases)?;
        }
        Ok(choose(&names).ok_or("no entry")?)
    }

    fn boots(&self, name: EntryName, releases: &[Release]) -> Result<(), String> {
        let (entry, _) = &self.entries[&name.to_string()];
        for path in [&entry.linux, &entry.initrd] {
            if self.files.get(path).is_none_or(|(_, written)| *written != Written::Whole) {
                return Err(format!("{name} has no {path}"));
            }
        }
        let slot = Slot::from_cmdline(&entry.options).ok_or("no slot")?;
        let link = self.links.get(&slot).ok_or(format!("{name}: no link"))?;
        if self.deployments.get(link) != Some(&Written::Whole) {
            return Err(format!("{name} leads to {link}, which is not whole"));
        }
        let release = releases.iter().find(|release| release.commit == link.commit).unwrap();
        let fits = entry.linux == release.linux.to_string()
            && entry.initrd == release.initrd.to_string()
            && slot == name.slot;
        if fits { Ok(()) } else { Err(format!("{name} boots {link} with another kernel")) }
    }
}

impl Host {
    /// Freshly written: one release in slot a.
    fn fresh(first: &Release) -> Self {
        let first = in_slot(first, Slot::A);
        let deployment = Deployment { commit: first.commit.clone(), number: 0 };
        let name = EntryName::uncounted(1, Slot::A);
        let entry = BootEntry {
            title: first.title.clone(),
            serial: 1,
            linux: first.linux.to_string(),
            initrd: first.initrd.to_string(),
            options: first.options.clone(),
        };
        let files = [first.linux, first.initrd];
        let disk = Disk {
            entries: [(name.to_string(), (entry, Written::Whole))].into(),
            files: files.map(|file| (file.to_string(), (file, Written::Whole))).into(),
            links: [(Slot::A, deployment.clone())].into(),
            deployments: [(deployment, Written::Whole)].into(),
        };
        Self { seen: disk.clone(), safe: disk, pending: Vec::new(), running: name, made: None }
    }

    fn found(&self) -> Found {
        let link = |slot| self.seen.links.get(&slot).cloned();
        let entries = self.seen.entries.iter();
        let files = self.seen.files.values();
        Found {
            running: self.running,
            entries: entries
                .map(|(name, (entry, written))| FoundEntry {
                    name: name.parse().unwrap(),
                    content: (*written == Written::Whole).then(|| entry.clone()),
                })
                .collect(),
            files: files
                .map(|(place, written)| FoundFile {
                    place: *place,
                    whole: *written == Written::Whole,
                })
                .collect(),
            links: [link(Slot::A), link(Slot::B)],
            deployments: self.seen.deployments.keys().cloned().collect(),
        }
    }

    fn change(&mut self, volume: Volume, change: Change) {
        self.seen.take(&change, Written::Whole);
        self.pending.push((volume, change));
    }

    fn carry_out(&mut self, step: &Step) {
        match step {
            Step::DropEntry(name) => self.change(Volume::Esp, Change::Entry(*name, None)),
            Step::WriteEntry(name, entry) => {
                self.change(Volume::Esp, Change::Entry(*name, Some(entry.clone())));
            }
            Step::WriteFile(file) => self.change(Volume::Esp, Change::File(*file, true)),
            Step::DropFile(file) => self.change(Volume::Esp, Change::File(*file, false)),
            Step::Deploy { commit } => {
                let same = self.seen.deployments.keys().filter(|known| known.commit == *commit);
                let number = same.map(|known| known.number + 1).max().unwrap_or_default();
                let made = Deployment { commit: commit.clone(), number };
                self.made = Some(made.clone());
                self.change(Volume::Root, Change::Deployed(made));
            }
            Step::Link(slot) => {
                let to = self.made.clone().expect("deployed before");
                self.change(Volume::Root, Change::Link(*slot, to));
            }
            Step::CleanDeployments => {
                let linked: BTreeSet<_> = self.seen.links.values().cloned().collect();
                let all: Vec<_> = self.seen.deployments.keys().cloned().collect();
                for old in all.into_iter().filter(|known| !linked.contains(known)) {
                    self.change(Volume::Root, Change::Removed(old));
                }
            }
            Step::Sync(volume) => {
                let (done, left): (Vec<_>, Vec<_>) =
                    self.pending.drain(..).partition(|(pending, _)| pending == volume);
                self.pending = left;
                for (_, change) in &done {
                    self.safe.take(change, Written::Whole);
                }
            }
            Step::ClearChoice => (),
        }
    }

    /// Every disk that a power cut at this moment could leave, as `choice` picks for each change
    /// that is not safe: 0 nothing of it, 1 half of it, else all.
    fn cut(&self, choice: &[u8]) -> Disk {
        let mut disk = self.safe.clone();
        for (at, (_, change)) in self.pending.iter().enumerate() {
            match choice.get(at).copied().unwrap_or_default() % 3 {
                0 => (),
                1 => disk.take(change, Written::Half),
                _ => disk.take(change, Written::Whole),
            }
        }
        disk
    }

    /// Boots after a cut, or a reboot, and is blessed where that was a trial.
    fn boot(disk: Disk, releases: &[Release], bless: bool) -> Result<Self, String> {
        let mut name = disk.boot(releases)?;
        let mut disk = disk;
        if bless && !name.is_blessed() {
            let entry = disk.entries.remove(&name.to_string()).unwrap();
            name = name.blessed();
            disk.entries.insert(name.to_string(), entry);
        }
        Ok(Self { seen: disk.clone(), safe: disk, pending: Vec::new(), running: name, made: None })
    }

    fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.carry_out(step);
        }
    }

    fn update(&self, to: &Release) -> Result<Vec<Step>, Refusal> {
        install(&self.found(), &in_slot(to, self.running.slot.other()))
    }
}

/// The first reason why a cut somewhere in `steps`, or after them, is not survived.
fn broken(
    host: &Host,
    steps: &[Step],
    choices: &[Vec<u8>],
    releases: &[Release],
) -> Option<String> {
    for end in 0..=steps.len() {
        let mut host = host.clone();
        host.run(&steps[..end]);
        for choice in choices {
            if let Err(why) = host.cut(choice).boot(releases) {
                return Some(format!("cut after {end} of {steps:?}: {why}"));
            }
        }
    }
    let mut done = host.clone();
    done.run(steps);
    let nothing = done.cut(&[]).boot(releases);
    match nothing {
        Ok(name) if name.serial > host.running.serial => None,
        Ok(name) => Some(format!("done, and {name} boots after a cut")),
        Err(why) => Some(why),
    }
}

fn choices() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(0..3u8, 12), 24)
}

/// A host with something in both slots.
fn settled(releases: &[Release]) -> Host {
    let mut host = Host::fresh(&releases[0]);
    host.run(&host.update(&releases[1]).unwrap());
    host.carry_out(&Step::Sync(Volume::Root));
    host.carry_out(&Step::Sync(Volume::Esp));
    Host::boot(host.safe, releases, true).unwrap()
}

fn three(kernels: [u8; 3]) -> Vec<Release> {
    kernels.into_iter().zip(1..).map(|(kernel, number)| release(number, kernel)).collect()
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

/// All of nothing, half and all for up to seven changes.
fn every_choice() -> Vec<Vec<u8>> {
    let digits = |number: u32| (0..7).map(|place| (number / 3u32.pow(place) % 3) as u8).collect();
    (0..3u32.pow(7)).map(digits).collect()
}

/// A host that was updated to the third release and has not booted it yet.
fn waiting(releases: &[Release]) -> Host {
    let mut host = settled(releases);
    host.run(&host.update(&releases[2]).unwrap());
    host.carry_out(&Step::Sync(Volume::Root));
    host.carry_out(&Step::Sync(Volume::Esp));
    host
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

/// The arguments of an entry of this slot, with one more.
fn with_debug(slot: Slot) -> String {
    kargs::for_slot(slot, &[], &["debug".to_owned()]).join(" ")
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
