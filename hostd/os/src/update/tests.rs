//! Updates of a host whose root and ESP are folders: libostree, GnuPG and the archive are real,
//! the loader is the pure one of `basalt-sysroot`.

use std::cell::Cell;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use basalt_cmd::Cmd;
use basalt_deploy::{CommitRequest, HostSysroot, SigningKey};
use basalt_release::{FORM, SecretKey, Verdict, seal};
use basalt_sysroot::boot_file::Kind;
use basalt_sysroot::entry::{BootEntry, ENTRIES_FOLDER, EntryName, choose};
use basalt_sysroot::kargs;
use basalt_sysroot::loader::{FAILURE_FILE, Variable};
use basalt_sysroot::slot::Slot;
use tempfile::TempDir;

use super::*;
use crate::esp::{Esp, place};
use crate::kargs::Change;

const REF: &str = "basalt/base";

/// Who publishes: a key of each kind, and an archive.
struct Publisher {
    dir: TempDir,
    commits: SigningKey,
    manifests: SecretKey,
    sequence: Cell<u64>,
}

impl Publisher {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let commits = gpg_key(dir.path());
        let (manifests, _) = SecretKey::create().unwrap();
        Self { dir, commits, manifests, sequence: Cell::new(0) }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn url(&self) -> String {
        format!("file://{}", self.at("archive").display())
    }

    /// Commits a tree of this version, with this kernel, and publishes it as the release of now.
    fn publish(&self, version: &str, kernel: &str) -> Manifest {
        self.publish_by(version, kernel, Some(&self.commits))
    }

    fn publish_by(&self, version: &str, kernel: &str, key: Option<&SigningKey>) -> Manifest {
        let tree = self.at("tree");
        let _ = fs::remove_dir_all(&tree);
        for (path, text) in [
            ("usr/lib/modules/6.1/vmlinuz", kernel),
            ("usr/lib/modules/6.1/initramfs.img", "initramfs"),
            ("usr/lib/os-release", &format!("PRETTY_NAME=\"Basalt {version}\"\n")),
            ("usr/lib/basalt/kargs.d/10-image.conf", "quiet\n"),
            ("usr/etc/file", "from the image"),
        ] {
            fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
            fs::write(tree.join(path), text).unwrap();
        }
        let work = Repo::open_or_create(&self.at("work")).unwrap();
        let request =
            CommitRequest { ref_name: REF, time: 1, version: Some(version), build_id: None, key };
        let commit = work.commit(&tree, &request).unwrap();
        let archive = Repo::open_or_create_archive(&self.at("archive")).unwrap();
        archive.pull_local(&work, &commit).unwrap();
        archive.set_ref(REF, &commit).unwrap();
        archive.summarize(&self.commits).unwrap();
        self.offer(version, &commit)
    }

    /// Writes the manifest of a commit.
    fn offer(&self, version: &str, commit: &str) -> Manifest {
        self.sequence.set(self.sequence.get() + 1);
        let manifest = Manifest {
            form: FORM,
            name: "base".into(),
            ref_name: REF.into(),
            version: version.into(),
            commit: commit.into(),
            sequence: self.sequence.get(),
            published: now(),
            expires: "2027-06-01T00:00:00Z".parse().unwrap(),
            tree_bytes: 1 << 20,
            boot_bytes: 1 << 10,
            download_bytes: 1 << 20,
            deltas: Vec::new(),
        };
        let bytes = seal(&manifest, std::slice::from_ref(&self.manifests)).unwrap();
        let folder = self.at("archive/releases/base");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{version}.json")), &bytes).unwrap();
        fs::write(self.at("archive/releases/base.json"), &bytes).unwrap();
        manifest
    }
}

fn gpg_key(folder: &Path) -> SigningKey {
    let home = folder.join("gnupg");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let gpg = |args: &[&str]| {
        let gpg = Cmd::new("gpg").arg("--homedir").arg(&home);
        let gpg = gpg.args(["--batch", "--quiet", "--passphrase", ""]).args(args);
        gpg.run().unwrap().stdout_text()
    };
    gpg(&["--quick-generate-key", "release", "ed25519", "sign", "never"]);
    let listed = gpg(&["--list-keys", "--with-colons"]);
    let fingerprint = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
    let fingerprint = fingerprint.split(':').nth(9).unwrap().to_owned();
    fs::create_dir(folder.join("keys")).unwrap();
    fs::write(folder.join("keys/release.asc"), gpg(&["--armor", "--export"])).unwrap();
    SigningKey { home, fingerprint }
}

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

/// A host that runs what was published first, from slot a.
struct HostGround {
    dir: TempDir,
    version: String,
    running: EntryName,
}

impl HostGround {
    fn running(publisher: &Publisher, first: &Manifest) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let running = EntryName::uncounted(1, Slot::A);
        let ground = Self { dir, version: first.version.clone(), running };
        fs::create_dir(ground.at("keys")).unwrap();
        fs::copy(publisher.at("keys/release.asc"), ground.at("keys/release.asc")).unwrap();
        let pem = publisher.manifests.public().to_pem();
        fs::write(ground.at("keys/release.pem"), pem).unwrap();
        let sysroot = HostSysroot::init(&ground.at("root")).unwrap();
        let work = Repo::open(&publisher.at("work")).unwrap();
        sysroot.repo().unwrap().pull_local(&work, &first.commit).unwrap();
        sysroot.deploy(&first.commit, "basalt:basalt/base", Slot::A).unwrap();
        ground.write_first_entry(&sysroot.repo().unwrap(), first);
        fs::create_dir(ground.at("variables")).unwrap();
        ground.boots(running);
        ground
    }

    fn write_first_entry(&self, repo: &Repo, first: &Manifest) {
        fs::create_dir_all(self.at("esp").join(ENTRIES_FOLDER)).unwrap();
        let esp = Esp::at(&self.at("esp"));
        let read = |name: &str| {
            let path = format!("usr/lib/modules/6.1/{name}");
            repo.read_file(&first.commit, &path).unwrap().unwrap()
        };
        let (linux, initrd) = (read("vmlinuz"), read("initramfs.img"));
        let entry = BootEntry {
            title: "first".into(),
            serial: 1,
            linux: place(Kind::Linux, &linux).to_string(),
            initrd: place(Kind::Initrd, &initrd).to_string(),
            options: kargs::for_slot(Slot::A, &[], &[]).join(" "),
        };
        esp.write_file(place(Kind::Linux, &linux), &linux).unwrap();
        esp.write_file(place(Kind::Initrd, &initrd), &initrd).unwrap();
        esp.write_entry(self.running, &entry).unwrap();
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn updater(&self) -> Updater {
        Updater {
            places: Places {
                sysroot: self.at("root"),
                esp: self.at("esp"),
                variables: self.at("variables"),
                pstore: self.at("pstore"),
            },
            keys: self.at("keys"),
            memory: Memory::at(&self.at("memory")),
            image: "base".into(),
            version: self.version.clone(),
            slot: self.running.slot,
            boot_id: self.running.serial.to_string(),
        }
    }

    fn disk(&self) -> Disk {
        Disk::open(&self.updater().places, self.running.slot).unwrap()
    }

    /// The loader says that this entry was booted.
    fn boots(&self, name: EntryName) {
        let units = format!("{name}\0");
        let units = units.encode_utf16().flat_map(u16::to_le_bytes);
        let bytes: Vec<u8> = [6, 0, 0, 0].into_iter().chain(units).collect();
        let path = self.at("variables").join(Variable::EntrySelected.file_name());
        fs::write(path, bytes).unwrap();
    }

    /// Boots what the loader would choose, and blesses it, as the gate does.
    fn reboots_well(&mut self, version: &str) {
        let name = self.chosen();
        let folder = self.at("esp").join(ENTRIES_FOLDER);
        let blessed = EntryName { tries: None, ..name };
        fs::rename(folder.join(name.to_string()), folder.join(blessed.to_string())).unwrap();
        self.boots(blessed);
        self.running = blessed;
        self.version = version.to_owned();
    }

    /// All tries of what was installed fail; what they leave in the firmware, if anything.
    fn trial_fails(&self, word: Option<&str>) {
        let name = self.chosen();
        let folder = self.at("esp").join(ENTRIES_FOLDER);
        let spent = format!("basalt-{}-{}+0-3.conf", name.serial, name.slot);
        fs::rename(folder.join(name.to_string()), folder.join(spent)).unwrap();
        if let Some(word) = word {
            let bytes = format!("\u{7}\0\0\0boot \n{word}");
            fs::write(self.at("variables").join(FAILURE_FILE), bytes).unwrap();
        }
        self.boots(self.running);
    }

    /// What became of releases, by version.
    fn verdicts(&self, now: Timestamp) -> Vec<(String, String)> {
        let status = crate::status::of(&self.updater(), now).unwrap();
        let word = |it: basalt_api::os::Verdict| {
            (it.version.unwrap(), it.verdict + &it.reason.unwrap_or_default())
        };
        status.verdicts.into_iter().map(word).collect()
    }

    fn update(&self, wanted: &Wanted) -> Result<Offer> {
        self.updater().update(wanted, now(), |_| ())
    }

    fn names(&self) -> Vec<EntryName> {
        let entries = Esp::at(&self.at("esp")).entries().unwrap();
        // The loader finds no kernel in half an entry.
        entries.into_iter().filter(|it| it.content.is_some()).map(|it| it.name).collect()
    }

    fn chosen(&self) -> EntryName {
        choose(&self.names()).unwrap()
    }

    /// The kernel arguments that boot next.
    fn options(&self) -> String {
        let entries = Esp::at(&self.at("esp")).entries().unwrap();
        let entry = entries.into_iter().find(|it| it.name == self.chosen()).unwrap();
        entry.content.unwrap().options
    }

    /// The commit that boots next, once everything that its entry needs was looked at.
    fn boots_next(&self) -> String {
        let found = self.disk().found().unwrap();
        let chosen = self.chosen();
        let entry = found.entries.iter().find(|entry| entry.name == chosen).unwrap();
        let entry = entry.content.as_ref().unwrap();
        for path in [&entry.linux, &entry.initrd] {
            let file = found.files.iter().find(|file| file.place.to_string() == *path);
            assert!(file.is_some_and(|file| file.whole), "{chosen} has no {path}");
        }
        assert_eq!(Slot::from_cmdline(&entry.options), Some(chosen.slot));
        let deployment = found.link(chosen.slot).unwrap();
        let sysroot = HostSysroot::open(&self.at("root"), Duration::ZERO).unwrap();
        let kernel = fs::read(sysroot.dir(deployment).join("usr/lib/modules/6.1/vmlinuz")).unwrap();
        assert_eq!(place(Kind::Linux, &kernel).to_string(), entry.linux);
        deployment.commit.clone()
    }
}

impl Drop for HostGround {
    fn drop(&mut self) {
        // What libostree made immutable would stay for ever.
        if let Ok(sysroot) = HostSysroot::open(&self.at("root"), Duration::ZERO) {
            let _ = sysroot.thaw();
        }
    }
}

fn wanted(publisher: &Publisher) -> Wanted {
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
    assert_eq!(memory.history().unwrap()[0].version, "2");
    // Asked for once more, it is what was asked for.
    assert_eq!(ground.update(&wanted(&publisher)).unwrap(), installed);
    assert_eq!(ground.names().len(), 2);
    assert_eq!(memory.history().unwrap().len(), 1);
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
    let told = ground.updater().memory.history().unwrap();
    assert_eq!(told.iter().map(|it| it.what).collect::<Vec<_>>(), [What::Installed, What::Bad]);
    ground.updater().memory.clear("2").unwrap();
    assert!(!verdict.exists());
    let again = ground.update(&wanted(&publisher)).unwrap();
    assert_eq!((again, ground.boots_next()), (Offer::Another(second.clone()), second.commit));
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
    assert_eq!(ground.updater().memory.history().unwrap().len(), 2);
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
    let mut standing = memory.standing().unwrap();
    standing.pinned = Some("we count".into());
    memory.keep_standing(&standing).unwrap();
    refused(ground.update(&wanted(&publisher)), "the host is pinned: we count");
    standing.pinned = None;
    let bad = Verdict::Bad { at: now(), reason: "it panics".into() };
    standing.verdicts.insert(second.commit, bad);
    memory.keep_standing(&standing).unwrap();
    refused(ground.update(&wanted(&publisher)), "is bad: it panics");
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
}
