//! A host whose root and ESP are folders; its loader is the pure one of `basalt-sysroot`.

use basalt_sysroot::boot_file::Kind;
use basalt_sysroot::entry::{BootEntry, ENTRIES_FOLDER, choose};
use basalt_sysroot::kargs;
use basalt_sysroot::loader::Variable;
use tempfile::TempDir;

use super::*;
use crate::esp::{Esp, place};

/// A host that runs what was published first, from slot a.
pub(crate) struct HostGround {
    pub(crate) dir: TempDir,
    pub(crate) version: String,
    pub(crate) running: EntryName,
}

impl HostGround {
    pub(crate) fn running(publisher: &Publisher, first: &Manifest) -> Self {
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

    pub(crate) fn write_first_entry(&self, repo: &Repo, first: &Manifest) {
        fs::create_dir_all(self.at("esp").join(ENTRIES_FOLDER)).unwrap();
        let esp = Esp::at(&self.at("esp"));
        let read = |name: &str| {
            let path = format!("usr/lib/modules/6.1/{name}");
            repo.read_file(&first.commit, &path).unwrap().unwrap()
        };
        let (linux, initrd) = (read("vmlinuz"), read("initramfs.img"));
        let image = repo.kernel_arguments(&first.commit).unwrap();
        let entry = BootEntry {
            title: "first".into(),
            serial: 1,
            linux: place(Kind::Linux, &linux).to_string(),
            initrd: place(Kind::Initrd, &initrd).to_string(),
            options: kargs::for_slot(Slot::A, &image, &[]).join(" "),
        };
        esp.write_file(place(Kind::Linux, &linux), &linux).unwrap();
        esp.write_file(place(Kind::Initrd, &initrd), &initrd).unwrap();
        esp.write_entry(self.running, &entry).unwrap();
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    pub(crate) fn updater(&self) -> Updater {
        Updater {
            places: Places {
                sysroot: self.at("root"),
                esp: self.at("esp"),
                variables: self.at("variables"),
                pstore: self.at("pstore"),
                watchdogs: self.at("watchdogs"),
                journal: self.at("journal"),
                progress: self.at("progress"),
            },
            keys: self.trusted(),
            memory: Memory::at(&self.at("memory")),
            image: "base".into(),
            version: self.version.clone(),
            slot: self.running.slot,
            boot_id: self.running.serial.to_string(),
            patience: Patience::default(),
        }
    }

    /// Those of the image that runs, where it brings any.
    pub(crate) fn trusted(&self) -> PathBuf {
        let own = self.at("root/ostree").join(self.running.slot.link_name());
        Some(own.join("usr/share/basalt/keys"))
            .filter(|own| own.is_dir())
            .unwrap_or(self.at("keys"))
    }

    pub(crate) fn disk(&self) -> Disk {
        Disk::open(&self.updater().places, self.running.slot).unwrap()
    }

    /// The loader says that this entry was booted.
    pub(crate) fn boots(&self, name: EntryName) {
        let units = format!("{name}\0");
        let units = units.encode_utf16().flat_map(u16::to_le_bytes);
        let bytes: Vec<u8> = [6, 0, 0, 0].into_iter().chain(units).collect();
        let path = self.at("variables").join(Variable::EntrySelected.file_name());
        fs::write(path, bytes).unwrap();
    }

    /// Boots what the loader would choose, and blesses it, as the gate does.
    pub(crate) fn reboots_well(&mut self, version: &str) {
        let name = self.chosen();
        let folder = self.at("esp").join(ENTRIES_FOLDER);
        let blessed = EntryName { tries: None, ..name };
        fs::rename(folder.join(name.to_string()), folder.join(blessed.to_string())).unwrap();
        self.boots(blessed);
        self.running = blessed;
        self.version = version.to_owned();
    }

    /// All tries of what was installed fail; what they leave in the firmware, if anything.
    pub(crate) fn trial_fails(&self, word: Option<&str>) {
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
    pub(crate) fn verdicts(&self, now: Timestamp) -> Vec<(String, String)> {
        let status = crate::status::of(&self.updater(), now).unwrap();
        let word = |it: basalt_api::os::Verdict| {
            (it.version.unwrap(), it.verdict + &it.reason.unwrap_or_default())
        };
        status.verdicts.into_iter().map(word).collect()
    }

    /// What was done, in a word each.
    pub(crate) fn history(&self) -> Vec<String> {
        let events = crate::status::history(&self.updater()).unwrap();
        events
            .into_iter()
            .map(|event| format!("{} {}", event.what, event.release.version))
            .collect()
    }

    pub(crate) fn update(&self, wanted: &Wanted) -> Result<Offer> {
        self.updater().update(wanted, now(), |_| ())
    }

    pub(crate) fn names(&self) -> Vec<EntryName> {
        let entries = Esp::at(&self.at("esp")).entries().unwrap();
        // The loader finds no kernel in half an entry.
        entries.into_iter().filter(|it| it.content.is_some()).map(|it| it.name).collect()
    }

    pub(crate) fn chosen(&self) -> EntryName {
        choose(&self.names()).unwrap()
    }

    /// The kernel arguments that boot next.
    pub(crate) fn options(&self) -> String {
        let entries = Esp::at(&self.at("esp")).entries().unwrap();
        let entry = entries.into_iter().find(|it| it.name == self.chosen()).unwrap();
        entry.content.unwrap().options
    }

    /// The commit that boots next, once everything that its entry needs was looked at.
    pub(crate) fn boots_next(&self) -> String {
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
