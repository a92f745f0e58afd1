//! Resets of a host whose root, ESP and `/var` are folders, cut off before each step.

use std::cell::RefCell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::Result;
use basalt_api::os::ResetDepth;
use basalt_release::Manifest;
use basalt_sysroot::entry::ENTRIES_FOLDER;

use super::boot::{Around, Kind, Then, run};
use super::var::{SETTINGS, Var, drop_settings};
use crate::update::tests::ground::HostGround;
use crate::update::tests::publisher::Publisher;
use crate::update::tests::{now, wanted};

/// `/var` in a folder, and a person at the console.
struct World {
    var: PathBuf,
    /// What is typed.
    types: Option<ResetDepth>,
    /// After so many words to the console the power goes.
    cut: usize,
    said: Vec<String>,
    /// What was done to `/var`.
    took: RefCell<Vec<ResetDepth>>,
}

struct FolderVar<'a>(&'a Path, &'a RefCell<Vec<ResetDepth>>);

impl Var for FolderVar<'_> {
    fn drop_settings(&self) -> Result<()> {
        self.1.borrow_mut().push(ResetDepth::Settings);
        drop_settings(self.0)
    }

    fn drop_all(&self) -> Result<()> {
        self.1.borrow_mut().push(ResetDepth::All);
        fs::remove_dir_all(self.0)?;
        Ok(fs::create_dir(self.0)?)
    }
}

impl Around for World {
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    fn confirm(&mut self) -> Option<ResetDepth> {
        self.types
    }

    fn say(&mut self, text: &str) {
        assert!(self.said.len() < self.cut, "the power goes");
        self.said.push(text.to_owned());
    }
}

/// Two releases, of which the second is offered.
fn two(publisher: &Publisher) -> [Manifest; 2] {
    [("1", "kernel 1"), ("2", "kernel 2")].map(|(version, text)| publisher.publish(version, text))
}

/// A host that runs its second release, with much of its own.
fn settled(publisher: &Publisher) -> (HostGround, Manifest, World) {
    let [first, second] = two(publisher);
    let (ground, world) = with_much(publisher, &first);
    (ground, second, world)
}

fn with_much(publisher: &Publisher, first: &Manifest) -> (HostGround, World) {
    let mut ground = HostGround::running(publisher, first);
    ground.update(&wanted(publisher)).unwrap();
    ground.reboots_well("2");
    ground.verdicts(now());
    let etc = etc(&ground);
    fs::write(etc.join("file"), "by the operator").unwrap();
    fs::write(etc.join("mine"), "by the operator").unwrap();
    let var = ground.at("var");
    let own = ["lib/basalt", "lib/hostd", "lib/hostd-os", "roothome"];
    for path in own.into_iter().chain(["lib/containers", "lib/hostd-virt", "log"]) {
        fs::create_dir_all(var.join(path)).unwrap();
        fs::write(var.join(path).join("file"), "of the host").unwrap();
    }
    let world = World { var, types: None, cut: usize::MAX, said: vec![], took: RefCell::default() };
    (ground, world)
}

fn etc(ground: &HostGround) -> PathBuf {
    ground.at("root/ostree").join(ground.running.slot.link_name()).join("etc")
}

fn boot(ground: &HostGround, kind: Kind, world: &mut World) -> Result<Then> {
    let (var, took) = (world.var.clone(), RefCell::default());
    let then = run(&ground.updater(), kind, &FolderVar(&var, &took), world, now());
    world.took.borrow_mut().append(&mut took.borrow_mut());
    then
}

/// What `/var` holds at its first two levels.
fn left(var: &Path) -> Vec<String> {
    let mut left = Vec::new();
    for entry in walkdir::WalkDir::new(var).min_depth(1).max_depth(2).sort_by_file_name() {
        let path = entry.unwrap().into_path();
        left.push(path.strip_prefix(var).unwrap().display().to_string());
    }
    left
}

fn menu(ground: &HostGround) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(ground.at("esp").join(ENTRIES_FOLDER))
        .unwrap()
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("basalt-reset"))
        .collect();
    names.sort();
    names
}

/// The host is as it was first installed, but for its `/var`; its next boot takes the rest away.
#[track_caller]
fn is_fresh(ground: &mut HostGround, release: &Manifest, world: &mut World) {
    assert_eq!(ground.names().len(), 1, "{:?}", ground.names());
    assert!(ground.chosen().is_blessed());
    ground.reboots_well(&release.version);
    assert_eq!(ground.boots_next(), release.commit);
    assert!(!ground.options().contains("mine=1"), "{}", ground.options());
    assert!(!etc(ground).join("mine").exists());
    assert_ne!(fs::read_to_string(etc(ground).join("file")).unwrap(), "by the operator");
    assert_eq!(menu(ground), [format!("basalt-reset-{}+0.conf", ground.running.slot)]);
    world.cut = usize::MAX;
    assert_eq!(boot(ground, Kind::Normal, world).unwrap(), Then::GoOn);
    assert_eq!(world.said.last().unwrap(), "the factory reset is complete");
    assert_eq!(boot(ground, Kind::Normal, world).unwrap(), Then::GoOn);
    assert_eq!(ground.disk().sysroot.deployments().unwrap().len(), 1);
    assert_eq!(ground.disk().found().unwrap().files.len(), 2);
    assert_eq!(crate::status::of(&ground.updater(), now()).unwrap().reset, None);
}

/// Whatever it is cut off before, the host boots, and the next boot goes on.
fn cut_anywhere(depth: ResetDepth, expected: &[&str]) {
    let publisher = Publisher::new();
    let [first, second] = two(&publisher);
    let mut cut = 0;
    loop {
        let (mut ground, mut world) = with_much(&publisher, &first);
        ground.updater().ask_for_reset(depth, now()).unwrap();
        world.cut = cut;
        let cut_off = catch_unwind(AssertUnwindSafe(|| boot(&ground, Kind::Normal, &mut world)));
        // The loader takes the highest serial.
        ground.boots(ground.chosen());
        assert_eq!(ground.boots_next(), second.commit, "cut before {cut}");
        if cut_off.is_err() {
            world.cut = usize::MAX;
            let then = boot(&ground, Kind::Normal, &mut world).unwrap();
            // Just before the reboot there is nothing left but to clean up.
            let is_done = world.said.last().unwrap() == "the factory reset is complete";
            assert_eq!(then, if is_done { Then::GoOn } else { Then::Reboot }, "cut before {cut}");
        }
        is_fresh(&mut ground, &second, &mut world);
        assert_eq!(left(&world.var), expected, "cut before {cut}");
        assert!(world.took.borrow().iter().all(|took| *took == depth));
        if cut_off.is_ok() {
            assert!(cut > 15, "there are {cut} steps");
            return;
        }
        cut += 1;
    }
}

#[test]
fn a_reset_of_the_settings_is_cut_off_anywhere_and_keeps_what_workloads_have() {
    let expected = ["lib", "lib/containers", "lib/hostd-virt", "log", "log/file"];
    cut_anywhere(ResetDepth::Settings, &expected);
}

#[test]
fn a_reset_of_everything_is_cut_off_anywhere_and_leaves_an_empty_var() {
    cut_anywhere(ResetDepth::All, &[]);
}

#[test]
fn the_menu_resets_only_what_a_person_confirms() {
    let publisher = Publisher::new();
    let (mut ground, second, mut world) = settled(&publisher);
    let (names, before) = (ground.names(), left(&world.var));
    // Nobody, or not the word: nothing changes, and the loader chooses as ever.
    let default =
        ground.at("variables").join(basalt_sysroot::loader::Variable::EntryDefault.file_name());
    fs::write(&default, "basalt-reset").unwrap();
    assert_eq!(boot(&ground, Kind::Menu, &mut world).unwrap(), Then::Reboot);
    assert_eq!(world.said, ["nobody confirmed it; rebooting"]);
    assert_eq!((ground.names(), left(&world.var)), (names, before));
    assert!(etc(&ground).join("mine").exists() && !default.exists());
    assert_eq!(boot(&ground, Kind::Normal, &mut world).unwrap(), Then::GoOn);
    // The word, and a cut after it: the next boot asks nobody any more.
    world.types = Some(ResetDepth::All);
    world.cut = world.said.len() + 3;
    assert!(catch_unwind(AssertUnwindSafe(|| boot(&ground, Kind::Menu, &mut world))).is_err());
    (world.cut, world.types) = (usize::MAX, None);
    assert_eq!(boot(&ground, Kind::Normal, &mut world).unwrap(), Then::Reboot);
    is_fresh(&mut ground, &second, &mut world);
    assert!(left(&world.var).is_empty());
}

#[test]
fn a_host_that_shall_be_reset_changes_nothing_else_until_then_or_until_it_is_withdrawn() {
    let publisher = Publisher::new();
    let (ground, _, mut world) = settled(&publisher);
    ground.updater().ask_for_reset(ResetDepth::Settings, now()).unwrap();
    let status = crate::status::of(&ground.updater(), now()).unwrap();
    assert_eq!(status.reset, Some(ResetDepth::Settings));
    publisher.publish("3", "kernel 3");
    for refused in [
        ground.update(&wanted(&publisher)).map(drop),
        ground.updater().roll_back(now(), |_| ()).map(drop),
        ground.updater().ask_for_reset(ResetDepth::All, now()),
    ] {
        let said = basalt_explain::explain(&refused.unwrap_err());
        assert!(said.contains("the next boot resets this host"), "{said}");
        assert!(said.contains("\nhint: `hostctl os factory-reset --cancel`"), "{said}");
    }
    // A boot on trial is no place for it.
    assert_eq!(boot(&ground, Kind::Trial, &mut world).unwrap(), Then::GoOn);
    assert!(etc(&ground).join("mine").exists());
    ground.updater().cancel_reset().unwrap();
    ground.updater().cancel_reset().unwrap();
    assert_eq!(crate::status::of(&ground.updater(), now()).unwrap().reset, None);
    assert_eq!(boot(&ground, Kind::Normal, &mut world).unwrap(), Then::GoOn);
    ground.update(&wanted(&publisher)).unwrap();
    // Nor is it asked for while something waits to be tried.
    let waits = ground.updater().ask_for_reset(ResetDepth::All, now()).unwrap_err().to_string();
    assert!(waits.contains("waits to be tried"), "{waits}");
    assert!(world.took.borrow().is_empty());
}

#[test]
fn a_reset_that_has_begun_is_not_withdrawn_and_one_that_failed_goes_on() {
    let publisher = Publisher::new();
    let (mut ground, second, mut world) = settled(&publisher);
    ground.updater().ask_for_reset(ResetDepth::All, now()).unwrap();
    // A disk that fails.
    let var = std::mem::replace(&mut world.var, ground.at("nowhere"));
    assert!(boot(&ground, Kind::Normal, &mut world).is_err());
    let refused = ground.updater().cancel_reset().unwrap_err().to_string();
    assert!(refused.contains("it cannot be withdrawn any more"), "{refused}");
    ground.boots(ground.chosen());
    world.var = var;
    assert_eq!(boot(&ground, Kind::Normal, &mut world).unwrap(), Then::Reboot);
    is_fresh(&mut ground, &second, &mut world);
}

#[test]
fn a_host_whose_var_cannot_be_read_is_reset_as_a_whole_by_the_menu() {
    let publisher = Publisher::new();
    let (mut ground, second, mut world) = settled(&publisher);
    ground.updater().ask_for_reset(ResetDepth::Settings, now()).unwrap();
    let var = std::mem::replace(&mut world.var, ground.at("nowhere"));
    for kind in [Kind::Normal, Kind::Menu, Kind::Normal] {
        world.types = Some(ResetDepth::Settings);
        assert!(boot(&ground, kind, &mut world).is_err());
        ground.boots(ground.chosen());
        assert!(ground.updater().cancel_reset().is_err(), "it has begun");
    }
    // Who does not confirm it anew has not withdrawn it.
    world.types = None;
    assert_eq!(boot(&ground, Kind::Menu, &mut world).unwrap(), Then::Reboot);
    assert!(boot(&ground, Kind::Normal, &mut world).is_err());
    (world.var, world.types) = (var, Some(ResetDepth::All));
    assert_eq!(boot(&ground, Kind::Menu, &mut world).unwrap(), Then::Reboot);
    world.took.borrow_mut().clear();
    is_fresh(&mut ground, &second, &mut world);
    assert!(left(&world.var).is_empty());
}

#[test]
fn arguments_of_the_hosts_own_go_with_a_reset() {
    let publisher = Publisher::new();
    let (mut ground, second, mut world) = settled(&publisher);
    let change = crate::kargs::Change { append: vec!["mine=1".into()], delete: vec![] };
    ground.updater().change_kargs(&change, 3, now(), |_| ()).unwrap();
    ground.reboots_well("2");
    ground.verdicts(now());
    assert!(ground.options().ends_with(" mine=1"), "{}", ground.options());
    // The menu's entry has none of them either.
    publisher.publish("3", "kernel 3");
    ground.update(&wanted(&publisher)).unwrap();
    let [name] = &menu(&ground)[..] else { panic!("{:?}", menu(&ground)) };
    let text = fs::read_to_string(ground.at("esp").join(ENTRIES_FOLDER).join(name)).unwrap();
    assert!(text.contains(" quiet basalt.factory_reset\n") && !text.contains("mine"), "{text}");
    // What waits to be tried goes with the other slot.
    world.types = Some(ResetDepth::Settings);
    assert_eq!(boot(&ground, Kind::Menu, &mut world).unwrap(), Then::Reboot);
    is_fresh(&mut ground, &second, &mut world);
}

/// Of a `/var` in which each of the host's own is there or not, whatever a cut left.
#[test]
fn the_hosts_own_goes_from_whatever_var_there_is() {
    for present in 0..1 << SETTINGS.len() {
        let dir = tempfile::tempdir().unwrap();
        for (number, path) in SETTINGS.iter().enumerate() {
            if present & (1 << number) != 0 {
                fs::create_dir_all(dir.path().join(path).join("deep")).unwrap();
                fs::write(dir.path().join(path).join("deep/file"), "x").unwrap();
            }
        }
        fs::create_dir_all(dir.path().join(".factory-reset/0/half")).unwrap();
        fs::create_dir_all(dir.path().join("lib/other")).unwrap();
        drop_settings(dir.path()).unwrap();
        drop_settings(dir.path()).unwrap();
        assert_eq!(left(dir.path()), ["lib", "lib/other"]);
    }
}

#[test]
fn var_is_made_anew_whatever_is_on_its_partition() {
    use super::var::{Partition, is_ext4};
    let dir = tempfile::tempdir().unwrap();
    let device = dir.path().join("partition");
    let var = Partition { device: device.clone(), place: dir.path().join("place") };
    // Before the first boot has made it.
    var.drop_all().unwrap();
    var.drop_settings().unwrap();
    fs::write(&device, vec![0xa5; 16 << 20]).unwrap();
    assert!(!is_ext4(&device).unwrap());
    var.drop_all().unwrap();
    assert!(is_ext4(&device).unwrap());
    var.drop_all().unwrap();
    let bytes = fs::read(&device).unwrap();
    assert!(bytes.iter().filter(|byte| **byte == 0xa5).count() < bytes.len() / 2);
}

#[test]
fn a_mark_that_is_damaged_resets_nothing_by_itself() {
    let publisher = Publisher::new();
    let (mut ground, second, mut world) = settled(&publisher);
    fs::write(ground.at("root/ostree/factory-reset"), "{").unwrap();
    let said = boot(&ground, Kind::Normal, &mut world).unwrap_err().to_string();
    assert!(said.contains("is damaged: nobody knows which factory reset"), "{said}");
    assert!(etc(&ground).join("mine").exists());
    // Who is at the machine is asked all the same, and what is damaged goes.
    world.types = Some(ResetDepth::All);
    assert_eq!(boot(&ground, Kind::Menu, &mut world).unwrap(), Then::Reboot);
    is_fresh(&mut ground, &second, &mut world);
}
