//! Updates of a host whose root and ESP are folders: libostree, GnuPG and the archive are real,
//! the loader is the pure one of `basalt-sysroot`.

mod cuts;
mod download;
pub(crate) mod ground;
pub(crate) mod publisher;
mod rotation;
mod server;

use std::cell::Cell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use basalt_cmd::Cmd;
use basalt_deploy::{CommitRequest, HostSysroot, SigningKey};
use basalt_release::Verdict;
use basalt_sysroot::entry::EntryName;
use basalt_sysroot::loader::FAILURE_FILE;
use basalt_sysroot::slot::Slot;

use super::*;
use crate::kargs::Change;
use crate::progress::Shown;
use crate::progress::tests::plan;
use crate::standing::What;
use ground::HostGround;
use publisher::Publisher;

pub(crate) fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

pub(crate) fn wanted(publisher: &Publisher) -> Wanted {
    Wanted { url: publisher.url(), ca: None, version: None, tries: 3 }
}

fn refused(result: Result<Offer>, expected: &str) {
    let error = basalt_explain::explain(&result.unwrap_err());
    assert!(error.contains(expected), "not `{expected}` in `{error}`");
}

#[test]
fn a_release_goes_into_the_idle_slot_and_boots_next_on_trial() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    assert_eq!(ground.update(&wanted(&publisher)).unwrap(), Offer::Runs(first));
    fs::write(ground.at("root/ostree/root.a/etc/file"), "by the operator").unwrap();
    let second = publisher.publish("2", "kernel 2");
    let installed = Offer::Another(second.clone());
    assert_eq!(ground.update(&wanted(&publisher)).unwrap(), installed);
    assert_eq!(ground.chosen().to_string(), "basalt-2-b+3.conf");
    assert_eq!(ground.boots_next(), second.commit);
    let read = |path: &str| fs::read_to_string(ground.at(path)).unwrap();
    assert_eq!(read("root/ostree/root.b/etc/file"), "by the operator");
    assert_eq!(read("root/ostree/root.a/etc/file"), "by the operator");
    let memory = ground.updater().memory;
    assert_eq!(memory.standing().unwrap().sequence, second.sequence);
    assert_eq!(ground.history(), ["installed 2"]);
    // Asked for once more, it is what was asked for.
    assert_eq!(ground.update(&wanted(&publisher)).unwrap(), installed);
    assert_eq!(ground.names().len(), 2);
    assert_eq!(ground.history(), ["installed 2"]);
}

#[test]
fn what_runs_on_trial_keeps_what_it_would_fall_back_to() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    publisher.publish("2", "kernel 2");
    ground.update(&wanted(&publisher)).unwrap();
    ground.boots(ground.chosen());
    publisher.publish("3", "kernel 3");
    refused(ground.update(&wanted(&publisher)), "is on trial");
    assert!(ground.updater().roll_back(now(), |_| ()).is_err());
}

#[test]
fn a_release_that_failed_its_trial_is_not_taken_again_until_it_is_cleared() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    // What an earlier trial left says nothing of this one.
    fs::write(ground.at("variables").join(FAILURE_FILE), "old word").unwrap();
    let second = publisher.publish("2", "kernel 2");
    ground.update(&wanted(&publisher)).unwrap();
    assert_eq!(ground.verdicts(now()), []);
    ground.trial_fails(Some("gate: hostd is not ready"));
    refused(ground.update(&wanted(&publisher)), "is bad: gate: hostd is not ready");
    assert!(!ground.at("variables").join(FAILURE_FILE).exists());
    let bad = [("2".to_owned(), "badgate: hostd is not ready".to_owned())];
    assert_eq!(ground.verdicts(now()), bad);
    let verdict = ground.at("memory").join("verdict.json");
    assert!(fs::read_to_string(&verdict).unwrap().contains("\"what\": \"bad\""));
    assert_eq!(ground.history(), ["installed 2", "bad 2"]);
    ground.updater().memory.clear("2").unwrap();
    assert!(!verdict.exists());
    let later = now() + jiff::SignedDuration::from_hours(1);
    let again = ground.updater().update(&wanted(&publisher), later, |_| ()).unwrap();
    assert_eq!((again, ground.boots_next()), (Offer::Another(second.clone()), second.commit));
    // The same once more is told once more.
    ground.trial_fails(Some("gate: hostd is not ready"));
    assert_eq!(ground.verdicts(later), bad);
    assert_eq!(ground.history(), ["installed 2", "bad 2", "installed 2", "bad 2"]);
}

#[test]
fn a_trial_that_left_no_word_is_inconclusive_and_may_be_had_again_after_a_day() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    publisher.publish("2", "kernel 2");
    ground.update(&wanted(&publisher)).unwrap();
    ground.trial_fails(None);
    refused(ground.update(&wanted(&publisher)), "for no known reason");
    assert_eq!(ground.verdicts(now()), [("2".to_owned(), "inconclusive".to_owned())]);
    let later = now() + jiff::SignedDuration::from_hours(25);
    ground.updater().update(&wanted(&publisher), later, |_| ()).unwrap();
    assert_eq!(ground.chosen().to_string(), "basalt-3-b+3.conf");
}

#[test]
fn a_kernel_that_panicked_left_its_last_words() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    publisher.publish("2", "kernel 2");
    let before = Timestamp::UNIX_EPOCH;
    ground.updater().update(&wanted(&publisher), before, |_| ()).unwrap();
    fs::create_dir(ground.at("pstore")).unwrap();
    fs::write(ground.at("pstore/dmesg.txt"), "<0>Kernel panic - not syncing: why\n").unwrap();
    ground.trial_fails(None);
    let bad = [("2".to_owned(), "badKernel panic - not syncing: why".to_owned())];
    assert_eq!(ground.verdicts(now()), bad);
}

#[test]
fn how_it_stands_is_told_while_somebody_is_at_work() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    publisher.publish("2", "kernel 2");
    let (updater, seen) = (ground.updater(), Rc::new(Cell::new(0)));
    let told = {
        let (updater, seen) = (updater.clone(), seen.clone());
        move |_| {
            let status = crate::status::of(&updater, now()).unwrap();
            assert!(status.slots[0].runs);
            seen.set(seen.get() + 1);
        }
    };
    updater.update(&wanted(&publisher), now(), told).unwrap();
    assert!(seen.get() > 5, "{}", seen.get());
}

#[test]
fn who_asks_for_another_update_meanwhile_hears_of_the_one_that_is_under_way() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    publisher.publish("2", "kernel 2");
    let shown = Shown::begin(&ground.at("progress"), "update", now()).unwrap();
    shown.tell(&plan("2"), Instant::now());
    let said = "another update to version 2 is under way since 2026-11-24T12:00:00Z";
    refused(ground.update(&wanted(&publisher)), said);
    refused(ground.updater().check(&wanted(&publisher), now()), said);
    assert!(ground.updater().roll_back(now(), |_| ()).unwrap_err().to_string().contains(said));
    let status = crate::status::of(&ground.updater(), now()).unwrap();
    assert_eq!(status.running.unwrap().version.as_deref(), Some("2"));
    drop(shown);
    assert_eq!(crate::status::of(&ground.updater(), now()).unwrap().running, None);
    ground.update(&wanted(&publisher)).unwrap();
}

#[test]
fn a_release_that_proved_itself_is_good() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let mut ground = HostGround::running(&publisher, &first);
    publisher.publish("2", "kernel 2");
    ground.update(&wanted(&publisher)).unwrap();
    ground.boots(ground.chosen());
    assert_eq!(ground.verdicts(now()), [], "it is on trial");
    ground.reboots_well("2");
    for _ in 0..2 {
        assert_eq!(ground.verdicts(now()), [("2".to_owned(), "good".to_owned())]);
    }
    assert_eq!(ground.history(), ["installed 2", "good 2"]);
}

#[test]
fn what_is_changed_in_etc_until_the_reboot_comes_along() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let mut ground = HostGround::running(&publisher, &first);
    let refreshes = |ground: &HostGround| ground.updater().refresh_etc(|_| ()).unwrap();
    let second = publisher.publish("2", "kernel 2");
    ground.update(&wanted(&publisher)).unwrap();
    assert!(!refreshes(&ground), "nothing changed");
    fs::write(ground.at("root/ostree/root.a/etc/file"), "by the operator").unwrap();
    let entries = ground.names();
    assert!(refreshes(&ground));
    assert!(!refreshes(&ground), "it is done");
    let file = ground.at("root/ostree/root.b/etc/file");
    assert_eq!(fs::read_to_string(&file).unwrap(), "by the operator");
    assert_eq!((ground.names(), ground.boots_next()), (entries, second.commit));
    let disk = ground.disk();
    assert_eq!(disk.sysroot.deployments().unwrap().len(), 2);
    drop(disk);
    // A clock that was set back in between: the edit is older than the link.
    fs::write(ground.at("root/ostree/root.a/etc/file"), "by the operators").unwrap();
    let (link, new) = (ground.at("root/ostree/root.b"), ground.at("root/ostree/new"));
    std::os::unix::fs::symlink(fs::read_link(&link).unwrap(), &new).unwrap();
    fs::rename(&new, &link).unwrap();
    assert!(refreshes(&ground));
    assert_eq!(fs::read_to_string(&file).unwrap(), "by the operators");
    assert!(!refreshes(&ground), "it is done");
    // What has booted once has its own `/etc`.
    ground.reboots_well("2");
    fs::write(ground.at("root/ostree/root.b/etc/file"), "again").unwrap();
    assert!(!refreshes(&ground));
}

#[test]
fn kernel_arguments_are_tried_and_then_stay_with_every_release() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let mut ground = HostGround::running(&publisher, &first);
    let debug = Change { append: vec!["debug".into()], delete: vec![] };
    let changes = |ground: &HostGround, change: &Change| {
        ground.updater().change_kargs(change, 3, now(), |_| ()).map(|it| it.commit)
    };
    assert_eq!(changes(&ground, &debug).unwrap(), first.commit);
    assert_eq!(ground.chosen().to_string(), "basalt-2-a+3.conf");
    assert_eq!(ground.boots_next(), first.commit);
    assert!(ground.options().ends_with(" quiet debug"), "{}", ground.options());
    // They are tried first: no release comes before, nor is one fetched for nothing.
    let unfetched = publisher.publish("1.5", "kernel 1");
    refused(ground.update(&wanted(&publisher)), "basalt-2-a+3.conf waits to be tried");
    assert!(!ground.disk().sysroot.repo().unwrap().has(&unfetched.commit).unwrap());
    // They fail: the release is as good as before, and the arguments are gone.
    ground.trial_fails(Some("gate: x"));
    assert_eq!(ground.updater().kargs(now()).unwrap(), (vec!["quiet".into()], vec![]));
    assert_eq!(ground.verdicts(now()), []);
    let told = ground.updater().memory.history().unwrap().pop().unwrap();
    assert_eq!(told.what, What::Bad);
    assert_eq!(told.reason.as_deref(), Some("kernel arguments `debug`: gate: x"));
    ground.updater().memory.clear("1").unwrap();
    // They are good: whatever comes has them.
    changes(&ground, &debug).unwrap();
    ground.reboots_well("1");
    assert_eq!(ground.updater().kargs(now()).unwrap().1, ["debug"]);
    assert!(changes(&ground, &Change::default()).is_err(), "nothing would change");
    let second = publisher.publish("2", "kernel 2");
    ground.update(&wanted(&publisher)).unwrap();
    assert_eq!(ground.boots_next(), second.commit);
    assert!(ground.options().ends_with(" quiet debug"), "{}", ground.options());
    let refused = changes(&ground, &debug).unwrap_err().to_string();
    assert!(refused.contains("waits to be tried"), "{refused}");
}

#[test]
fn what_is_gone_back_to_boots_with_the_arguments_that_it_had() {
    let publisher = Publisher::new();
    let mut ground = HostGround::running(&publisher, &publisher.publish("1", "kernel 1"));
    publisher.publish("2", "kernel 2");
    ground.update(&wanted(&publisher)).unwrap();
    ground.reboots_well("2");
    let debug = Change { append: vec!["debug".into()], delete: vec![] };
    ground.updater().change_kargs(&debug, 3, now(), |_| ()).unwrap();
    ground.reboots_well("2");
    let host = |ground: &HostGround| ground.updater().kargs(now()).unwrap().1;
    assert_eq!(host(&ground), ["debug"]);
    // It never proved itself with them.
    ground.updater().roll_back(now(), |_| ()).unwrap();
    assert!(!ground.options().contains("debug"), "{}", ground.options());
    assert_eq!(host(&ground), [""; 0]);
    let told = ground.updater().memory.history().unwrap().pop().unwrap();
    assert_eq!(told.what, What::RolledBack);
    assert_eq!(told.reason.as_deref(), Some("no kernel arguments of its own"));
    ground.reboots_well("1");
    // And forth again, which changed them.
    ground.updater().roll_back(now(), |_| ()).unwrap();
    assert!(ground.options().ends_with(" debug"), "{}", ground.options());
    assert_eq!(host(&ground), ["debug"]);
}

#[test]
fn a_release_that_waits_is_withdrawn_and_may_come_again() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    let cancel = || ground.updater().cancel(now(), |_| ());
    let said = cancel().unwrap_err().to_string();
    assert_eq!(said, "nothing waits to be tried at the next reboot");
    let second = publisher.publish("2", "kernel 2");
    ground.update(&wanted(&publisher)).unwrap();
    assert_eq!(cancel().unwrap(), release_of(&second));
    assert_eq!((ground.chosen(), ground.boots_next()), (ground.running, first.commit.clone()));
    assert_eq!(ground.history(), ["installed 2", "withdrawn 2"]);
    assert_eq!(ground.verdicts(now()), [], "it was not tried");
    let later = now() + jiff::SignedDuration::from_hours(1);
    ground.updater().update(&wanted(&publisher), later, |_| ()).unwrap();
    assert_eq!(ground.boots_next(), second.commit);
    assert_eq!(ground.history(), ["installed 2", "withdrawn 2", "installed 2"]);
    cancel().unwrap();
    let debug = Change { append: vec!["debug".into()], delete: vec![] };
    ground.updater().change_kargs(&debug, 3, now(), |_| ()).unwrap();
    assert_eq!(cancel().unwrap(), release_of(&first));
    assert!(!ground.options().contains("debug"), "{}", ground.options());
    assert_eq!(ground.updater().kargs(now()).unwrap().1, [""; 0]);
}

#[test]
fn three_releases_alternate_between_the_slots_and_the_oldest_goes() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let mut ground = HostGround::running(&publisher, &first);
    publisher.publish("2", "kernel 1");
    ground.update(&wanted(&publisher)).unwrap();
    ground.reboots_well("2");
    let third = publisher.publish("3", "kernel 3");
    ground.update(&wanted(&publisher)).unwrap();
    assert_eq!(ground.chosen().to_string(), "basalt-3-a+3.conf");
    assert_eq!(ground.boots_next(), third.commit);
    ground.reboots_well("3");
    // Back to the second, and by name to the first, which is gone from the disk.
    let second = ground.updater().roll_back(now(), |_| ()).unwrap();
    assert_eq!((&*second.version, ground.boots_next()), ("2", second.commit));
    assert_eq!(ground.chosen().to_string(), "basalt-4-b.conf");
    ground.reboots_well("2");
    let repo = ground.disk().sysroot.repo().unwrap();
    assert!(!repo.has(&first.commit).unwrap());
    let back = Wanted { version: Some("1".into()), ..wanted(&publisher) };
    assert_eq!(ground.update(&back).unwrap(), Offer::Another(first.clone()));
    assert_eq!(ground.boots_next(), first.commit);
}

#[test]
fn what_no_trusted_key_signed_changes_nothing() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    let stranger = Publisher::new();
    let foreign = stranger.publish("2", "kernel 2");
    refused(ground.update(&wanted(&stranger)), "no trusted key signed the release manifest");
    publisher.publish_by("2", "kernel 2", None);
    refused(ground.update(&wanted(&publisher)), "no signatures found");
    publisher.publish_by("3", "kernel 3", Some(&stranger.commits));
    refused(ground.update(&wanted(&publisher)), "public key not found");
    assert_eq!(ground.names(), [ground.running]);
    assert_eq!(ground.boots_next(), first.commit);
    let memory = ground.updater().memory;
    assert_eq!(memory.standing().unwrap().sequence, 0, "of {}", foreign.version);
    fs::remove_file(ground.at("keys/release.asc")).unwrap();
    refused(ground.update(&wanted(&publisher)), "trusts no key of releases");
}

#[test]
fn a_manifest_that_is_played_again_pinned_or_bad_is_refused() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let mut ground = HostGround::running(&publisher, &first);
    let second = publisher.publish("2", "kernel 2");
    let old = fs::read(publisher.at("archive/releases/base.json")).unwrap();
    publisher.publish("3", "kernel 3");
    ground.update(&wanted(&publisher)).unwrap();
    ground.reboots_well("3");
    fs::write(publisher.at("archive/releases/base.json"), old).unwrap();
    refused(ground.update(&wanted(&publisher)), "played again");
    publisher.offer("4", &second.commit);
    let memory = ground.updater().memory;
    memory.pin(Some("we count".into())).unwrap();
    refused(ground.update(&wanted(&publisher)), "the host is pinned: we count");
    memory.pin(None).unwrap();
    let bad = Verdict::Bad { at: now(), reason: "it panics".into() };
    let is_bad = |standing: &mut Standing| Ok(standing.verdicts.insert(second.commit, bad));
    memory.change_standing(is_bad).unwrap();
    refused(ground.update(&wanted(&publisher)), "is bad: it panics");
}

#[test]
fn a_manifest_that_expired_is_refused_until_it_is_published_anew() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    publisher.publish("2", "kernel 2");
    let later = "2027-06-01T00:00:01Z".parse().unwrap();
    let by_name = Wanted { version: Some("2".into()), ..wanted(&publisher) };
    for wanted in [&wanted(&publisher), &by_name] {
        refused(ground.updater().update(wanted, later, |_| ()), "expired 2027-06-01T00:00:00Z");
    }
    assert_eq!((ground.names(), ground.boots_next()), (vec![ground.running], first.commit));
    ground.update(&wanted(&publisher)).unwrap();
}

#[test]
fn a_host_that_is_pinned_while_a_release_comes_does_not_install_it_and_stays_pinned() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    publisher.publish("2", "kernel 2");
    let memory = ground.updater().memory;
    // The plan is told before the download, by which time it was judged.
    let pins = move |progress| match progress {
        Progress::Plan { .. } => memory.pin(Some("we count".into())).unwrap(),
        Progress::Download { .. } => (),
        Progress::Install { step } => panic!("{step}"),
    };
    let result = ground.updater().update(&wanted(&publisher), now(), pins);
    refused(result, "the host is pinned: we count");
    let known = ground.updater().memory.standing().unwrap();
    assert_eq!((known.pinned.as_deref(), known.sequence), (Some("we count"), 0));
    assert_eq!((ground.names(), ground.boots_next()), (vec![ground.running], first.commit));
}

#[test]
fn what_the_archive_lacks_or_has_damaged_is_told_and_changes_nothing() {
    let publisher = Publisher::new();
    let first = publisher.publish("1", "kernel 1");
    let ground = HostGround::running(&publisher, &first);
    publisher.publish("2", "kernel 2");
    let nowhere = Wanted { url: "http://127.0.0.1:9".into(), ..wanted(&publisher) };
    refused(ground.update(&nowhere), "cannot get `http://127.0.0.1:9/releases/base.json`");
    let odd = Wanted { version: Some("../2".into()), ..wanted(&publisher) };
    refused(ground.update(&odd), "is not the name of a version");
    for file in objects(&publisher.at("archive/objects"), "filez") {
        fs::write(&file, "nonsense").unwrap();
    }
    refused(ground.update(&wanted(&publisher)), "cannot get ");
    assert_eq!(ground.names(), [ground.running]);
    assert_eq!(ground.boots_next(), first.commit);
}

fn objects(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(objects(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found
}
