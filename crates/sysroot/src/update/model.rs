//! A disk that may lose power at any moment, and what must hold on it.

mod resets;
mod updates;

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Deployment, Found, FoundEntry, FoundFile, Refusal, Release, Step, Volume, change_arguments,
    install, may_install, refresh, roll_back, withdraw,
};
use crate::boot_file::{BootFile, Kind};
use crate::entry::{BootEntry, EntryName, ResetEntry, ResetName, choose};
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
    menu: BTreeMap<String, (ResetEntry, Written)>,
    files: BTreeMap<String, (BootFile, Written)>,
    links: BTreeMap<Slot, Deployment>,
    deployments: BTreeMap<Deployment, Written>,
}

/// A change that may or may not have reached the disk.
#[derive(Debug, Clone)]
enum Change {
    Entry(EntryName, Option<BootEntry>),
    Menu(ResetName, Option<ResetEntry>),
    File(BootFile, bool),
    Link(Slot, Deployment),
    Unlinked(Slot),
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
            Change::Menu(name, Some(entry)) => {
                self.menu.insert(name.to_string(), (entry.clone(), written));
            }
            Change::Menu(name, None) => drop(self.menu.remove(&name.to_string())),
            Change::File(file, true) => {
                self.files.insert(file.to_string(), (*file, written));
            }
            Change::File(file, false) => drop(self.files.remove(&file.to_string())),
            Change::Link(slot, to) => drop(self.links.insert(*slot, to.clone())),
            Change::Unlinked(slot) => drop(self.links.remove(slot)),
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
            let (entry, _) = &self.entries[&name.to_string()];
            self.boots(*name, entry, releases)?;
        }
        for (name, (entry, written)) in &self.menu {
            let ResetEntry { title, linux, initrd, options } = entry.clone();
            let entry = BootEntry { title, serial: 0, linux, initrd, options };
            let slot = name.parse::<ResetName>().unwrap().slot;
            if *written == Written::Whole {
                self.boots(EntryName::uncounted(0, slot), &entry, releases)?;
            }
        }
        Ok(choose(&names).ok_or("no entry")?)
    }

    /// Whether the menu offers a reset. Of half an entry the loader knows no kernel.
    fn offers_reset(&self) -> bool {
        self.menu.values().any(|(_, written)| *written == Written::Whole)
    }

    fn boots(
        &self,
        name: EntryName,
        entry: &BootEntry,
        releases: &[Release],
    ) -> Result<(), String> {
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
            menu: BTreeMap::new(),
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
            Step::DropReset(name) => self.change(Volume::Esp, Change::Menu(*name, None)),
            Step::WriteReset(name, entry) => {
                self.change(Volume::Esp, Change::Menu(*name, Some(entry.clone())));
            }
            Step::Unlink(slot) => self.change(Volume::Root, Change::Unlinked(*slot)),
            Step::WriteFile(file) => self.change(Volume::Esp, Change::File(*file, true)),
            Step::DropFile(file) => self.change(Volume::Esp, Change::File(*file, false)),
            Step::Deploy { commit } | Step::DeployFresh { commit } => {
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
            Step::ClearChoice | Step::CheckFile(_) => (),
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

/// The first reason why a cut somewhere in `steps`, or after them, is not survived, or takes away a
/// reset that the menu offered.
fn broken(
    host: &Host,
    steps: &[Step],
    choices: &[Vec<u8>],
    releases: &[Release],
) -> Option<String> {
    let offered = host.seen.offers_reset();
    for end in 0..=steps.len() {
        let mut host = host.clone();
        host.run(&steps[..end]);
        for choice in choices {
            let disk = host.cut(choice);
            let why = match disk.boot(releases) {
                Ok(_) if disk.offers_reset() || !offered => continue,
                Ok(_) => "the menu offers no reset any more".to_owned(),
                Err(why) => why,
            };
            return Some(format!("cut after {end} of {steps:?}: {why}"));
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

/// The arguments of an entry of this slot, with one more.
fn with_debug(slot: Slot) -> String {
    kargs::for_slot(slot, &[], &["debug".to_owned()]).join(" ")
}
