//! The EFI system partition: boot entries, and the kernels and initramfs images that they name.
//!
//! FAT has no atomic rename: after a power cut both names may be there and share their clusters. So
//! nothing here is renamed. What is new is written under its final name, where nothing needs it
//! yet: a boot file has no entry, and half an entry has no kernel and is left out by the loader.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use basalt_sysroot::boot_file::{BootFile, FOLDER, Kind};
use basalt_sysroot::entry::{
    BootEntry, ENTRIES_FOLDER, EntryName, InvalidEntry, ResetEntry, ResetName,
};
use basalt_sysroot::update::{FoundEntry, FoundFile, FoundReset};
use rustix::fs::{Advice, fadvise, fsync, syncfs};
use sha2::{Digest, Sha256};

/// A partition that is mounted.
#[derive(Debug, Clone)]
pub(crate) struct Esp(PathBuf);

/// What could not be done there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EspError {
    /// A file operation failed.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// The step, as "write".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What was written is not what is read.
    #[error(
        "`{}` does not read back as it was written\nhint: the disk or its controller fails, see \
         `journalctl -k`",
        .0.display()
    )]
    Differs(PathBuf),
    /// The content is not the one that the name promises.
    #[error("what was to be `{0}` is something else")]
    OtherContent(BootFile),
    /// The entry cannot be written down.
    #[error(transparent)]
    Entry(#[from] InvalidEntry),
}

impl Esp {
    pub(crate) fn at(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// All of Basalt's entries.
    pub(crate) fn entries(&self) -> Result<Vec<FoundEntry>, EspError> {
        let found = self.texts::<EntryName>()?.into_iter();
        let found =
            found.map(|(name, text)| FoundEntry { name, content: BootEntry::parse(&text).ok() });
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|entry| (entry.name.serial, entry.name.slot));
        Ok(found)
    }

    /// The menu's entries that reset the host.
    pub(crate) fn resets(&self) -> Result<Vec<FoundReset>, EspError> {
        let found = self.texts::<ResetName>()?.into_iter();
        Ok(found
            .map(|(name, text)| FoundReset { name, content: ResetEntry::parse(&text).ok() })
            .collect())
    }

    /// The files of entries with such a name.
    fn texts<Name: FromStr>(&self) -> Result<Vec<(Name, String)>, EspError> {
        let folder = self.0.join(ENTRIES_FOLDER);
        let mut found = Vec::new();
        for file in names(&folder)? {
            let Ok(name) = file.parse() else { continue };
            let path = folder.join(&file);
            // A file that FAT lost the end of may hold anything.
            let bytes = fs::read(&path).map_err(failed("read", &path))?;
            found.push((name, String::from_utf8(bytes).unwrap_or_default()));
        }
        Ok(found)
    }

    /// All boot files, each read to its end.
    pub(crate) fn files(&self) -> Result<Vec<FoundFile>, EspError> {
        let mut found = Vec::new();
        for hash in names(&self.0.join(FOLDER))? {
            for name in names(&self.0.join(FOLDER).join(&hash))? {
                let Some(place) = BootFile::parse(&format!("/{FOLDER}/{hash}/{name}")) else {
                    continue;
                };
                let whole = place.matches(&read_hash(&self.path(place))?);
                found.push(FoundFile { place, whole });
            }
        }
        Ok(found)
    }

    /// Bytes that are free.
    pub(crate) fn free(&self) -> Result<u64, EspError> {
        let stat = rustix::fs::statvfs(&self.0)
            .map_err(|errno| failed("measure", &self.0)(errno.into()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Writes a boot file. It is safe once the partition is synced.
    pub(crate) fn write_file(&self, place: BootFile, content: &[u8]) -> Result<(), EspError> {
        if !place.matches(&Sha256::digest(content).into()) {
            return Err(EspError::OtherContent(place));
        }
        let path = self.path(place);
        let folder = path.parent().unwrap_or(&self.0);
        fs::create_dir_all(folder).map_err(failed("create", folder))?;
        fs::write(&path, content).map_err(failed("write", &path))
    }

    /// Reads a boot file back past the cache, once the partition is synced.
    pub(crate) fn check_file(&self, place: BootFile) -> Result<(), EspError> {
        let path = self.path(place);
        let file = File::open(&path).map_err(failed("open", &path))?;
        // What is in the cache only says that memory is good.
        fadvise(&file, 0, None, Advice::DontNeed).map_err(|e| failed("reread", &path)(e.into()))?;
        let is_whole = place.matches(&read_hash(&path)?);
        if is_whole { Ok(()) } else { Err(EspError::Differs(path)) }
    }

    /// Removes a boot file and, once it is empty, its folder. None there is as good.
    pub(crate) fn drop_file(&self, place: BootFile) -> Result<(), EspError> {
        let path = self.path(place);
        remove(&path)?;
        let folder = path.parent().unwrap_or(&self.0);
        match fs::remove_dir(folder) {
            // The other file of the same content hash, or none.
            Err(error)
                if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) =>
            {
                Ok(())
            }
            result => result.map_err(failed("remove", folder)),
        }
    }

    /// Writes a boot entry in one go under its final name. It is safe once the partition is synced.
    pub(crate) fn write_entry(&self, name: EntryName, entry: &BootEntry) -> Result<(), EspError> {
        self.write_text(&name.to_string(), &entry.render()?)
    }

    /// Removes a boot entry; none there is as good.
    pub(crate) fn drop_entry(&self, name: EntryName) -> Result<(), EspError> {
        remove(&self.0.join(ENTRIES_FOLDER).join(name.to_string()))
    }

    /// Writes an entry of the menu. It is safe once the partition is synced.
    pub(crate) fn write_reset(&self, name: ResetName, entry: &ResetEntry) -> Result<(), EspError> {
        self.write_text(&name.to_string(), &entry.render()?)
    }

    /// Removes an entry of the menu; none there is as good.
    pub(crate) fn drop_reset(&self, name: ResetName) -> Result<(), EspError> {
        remove(&self.0.join(ENTRIES_FOLDER).join(name.to_string()))
    }

    fn write_text(&self, name: &str, text: &str) -> Result<(), EspError> {
        let path = self.0.join(ENTRIES_FOLDER).join(name);
        fs::write(&path, text).map_err(failed("write", &path))
    }

    /// Writes everything that is still in memory to the partition, and what the disk's own cache
    /// has of it, too. Of a FAT the kernel's `syncfs` leaves the latter out (`sync_filesystem` in
    /// its fs/sync.c); its `fsync` does not (`fat_file_fsync`).
    pub(crate) fn sync(&self) -> Result<(), EspError> {
        let folder = File::open(&self.0).map_err(failed("open", &self.0))?;
        let synced = syncfs(&folder).and_then(|()| fsync(&folder));
        synced.map_err(|errno| failed("sync", &self.0)(errno.into()))
    }

    fn path(&self, place: BootFile) -> PathBuf {
        self.0.join(place.to_string().trim_start_matches('/'))
    }
}

/// The place of a file with this content.
pub(crate) fn place(kind: Kind, content: &[u8]) -> BootFile {
    BootFile::new(kind, &Sha256::digest(content).into())
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EspError {
    let path = path.to_owned();
    move |source| EspError::Io { doing, path, source }
}

/// Names in a folder, sorted; none where there is no folder.
fn names(folder: &Path) -> Result<Vec<String>, EspError> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("list", folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed("list", folder))?.file_name();
        names.extend(name.into_string());
    }
    names.sort();
    Ok(names)
}

fn read_hash(path: &Path) -> Result<[u8; 32], EspError> {
    let mut file = File::open(path).map_err(failed("open", path))?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 256 << 10]);
    loop {
        match file.read(&mut buffer).map_err(failed("read", path))? {
            0 => return Ok(hash.finalize().into()),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn remove(path: &Path) -> Result<(), EspError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result.map_err(failed("remove", path)),
    }
}

#[cfg(test)]
mod tests {
    use basalt_sysroot::slot::Slot;

    use super::*;

    fn esp() -> (tempfile::TempDir, Esp) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join(ENTRIES_FOLDER)).unwrap();
        let esp = Esp::at(dir.path());
        (dir, esp)
    }

    fn entry(serial: u64) -> BootEntry {
        BootEntry {
            title: "Basalt 2".into(),
            serial,
            linux: "/basalt/aa/linux".into(),
            initrd: "/basalt/aa/initrd".into(),
            options: "quiet".into(),
        }
    }

    #[test]
    fn entries_read_back_and_those_of_others_are_not_ours() {
        let (dir, esp) = esp();
        let (one, two) = (EntryName::uncounted(1, Slot::A), EntryName::on_trial(2, Slot::B, 3));
        esp.write_entry(two, &entry(2)).unwrap();
        esp.write_entry(one, &entry(1)).unwrap();
        let folder = dir.path().join(ENTRIES_FOLDER);
        fs::write(folder.join("other.conf"), "title other\n").unwrap();
        fs::write(folder.join("basalt-3-a.conf"), [0xff, 0]).unwrap();
        let expected = [
            FoundEntry { name: one, content: Some(entry(1)) },
            FoundEntry { name: two, content: Some(entry(2)) },
            FoundEntry { name: EntryName::uncounted(3, Slot::A), content: None },
        ];
        assert_eq!(esp.entries().unwrap(), expected);
        esp.drop_entry(two).unwrap();
        esp.drop_entry(two).unwrap();
        assert_eq!(esp.entries().unwrap().len(), 2);
    }

    #[test]
    fn the_menus_entries_are_none_of_those_that_boot_by_themselves() {
        let (dir, esp) = esp();
        let (own, other) = (ResetName::of(Slot::A), ResetName::of(Slot::B));
        let reset = ResetEntry::beside(&entry(1), &["quiet".into()]);
        esp.write_reset(own, &reset).unwrap();
        fs::write(dir.path().join(ENTRIES_FOLDER).join(other.to_string()), "title x\n").unwrap();
        let expected = [
            FoundReset { name: own, content: Some(reset) },
            FoundReset { name: other, content: None },
        ];
        assert_eq!(esp.resets().unwrap(), expected);
        assert_eq!(esp.entries().unwrap(), []);
        esp.drop_reset(other).unwrap();
        esp.drop_reset(other).unwrap();
        assert_eq!(esp.resets().unwrap().len(), 1);
    }

    #[test]
    fn a_boot_file_lies_under_its_hash_and_a_damaged_one_is_seen() {
        let (dir, esp) = esp();
        let (linux, initrd) = (place(Kind::Linux, b"kernel"), place(Kind::Initrd, b"initramfs"));
        esp.write_file(linux, b"kernel").unwrap();
        esp.write_file(initrd, b"initramfs").unwrap();
        esp.sync().unwrap();
        esp.check_file(initrd).unwrap();
        let path = dir.path().join(initrd.to_string().trim_start_matches('/'));
        fs::write(path, "initramf").unwrap();
        assert!(matches!(esp.check_file(initrd).unwrap_err(), EspError::Differs(_)));
        esp.check_file(linux).unwrap();
        let mut expected =
            [FoundFile { place: linux, whole: true }, FoundFile { place: initrd, whole: false }];
        expected.sort_by_key(|file| file.place.to_string());
        assert_eq!(esp.files().unwrap(), expected);
        esp.drop_file(linux).unwrap();
        esp.drop_file(linux).unwrap();
        esp.drop_file(initrd).unwrap();
        assert_eq!(fs::read_dir(dir.path().join(FOLDER)).unwrap().count(), 0);
    }

    #[test]
    fn content_that_is_another_is_never_written() {
        let (dir, esp) = esp();
        let refused = esp.write_file(place(Kind::Linux, b"kernel"), b"other").unwrap_err();
        assert!(matches!(refused, EspError::OtherContent(_)));
        assert!(!dir.path().join(FOLDER).exists());
    }

    #[test]
    fn an_esp_without_anything_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let esp = Esp::at(dir.path());
        assert_eq!((esp.entries().unwrap().len(), esp.files().unwrap().len()), (0, 0));
        assert!(esp.free().unwrap() > 0);
    }
}
