//! The small files beside a machine's disk: whose it is, when it began and ended.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};

use basalt_api::id::WorkloadUid;
use basalt_api::virt::machine;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::mark::Mark;
use crate::record::Record;

const MARK: &str = "machine.xml";
const RECORD: &str = "record.json";
/// The file that becomes the next record. It has its room already: a machine that ended on a full
/// disk has to start again, and what has finished must not.
const NEXT: &str = "record.next";
/// Bytes of both: more than any record has.
const ROOM: usize = 4096;
/// How the folder of a machine is called while it is removed.
const GONE: &str = ".gone-";
/// Others may pass through and not look around: QEMU is another user.
const PASSABLE: u32 = 0o711;

/// The folders of machines.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    state: PathBuf,
    seeds: PathBuf,
}

impl Store {
    /// # Errors
    /// The folders cannot be made.
    pub(crate) fn new(state: PathBuf, seeds: PathBuf) -> io::Result<Self> {
        for folder in [&state.join("machines"), &basalt_api::virt::images(&state), &seeds] {
            folder_for_others(folder)?;
        }
        let store = Self { state, seeds };
        store.sweep()?;
        Ok(store)
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn folder(&self, uid: WorkloadUid) -> PathBuf {
        machine(&self.state, uid)
    }

    pub(crate) fn seed(&self, uid: WorkloadUid) -> PathBuf {
        self.seeds.join(format!("{uid}.img"))
    }

    /// Makes a machine's folder and says whose it is; whether it was there before.
    pub(crate) fn begin(&self, mark: &Mark) -> io::Result<bool> {
        let folder = self.folder(mark.uid);
        let was_there = folder.is_dir();
        folder_for_others(&folder)?;
        let text = mark.to_string();
        basalt_durable::write(&folder.join(MARK), text.as_bytes(), basalt_durable::PUBLIC)?;
        write_anew(&folder, &padded(&Record::default())?)?;
        Ok(was_there)
    }

    /// Removes everything of a machine.
    pub(crate) fn remove(&self, uid: WorkloadUid) -> io::Result<()> {
        self.remove_seed(uid)?;
        // Renamed first: half a folder, perhaps without its mark, would be seen by nobody again.
        let gone = self.state.join("machines").join(format!("{GONE}{uid}"));
        match basalt_durable::rename(&self.folder(uid), &gone) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        match fs::remove_dir_all(&gone) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => basalt_durable::sync_folder(&self.state.join("machines")),
        }
    }

    /// Removes what a cut left: folders on their way out, and those that nothing was put into yet.
    fn sweep(&self) -> io::Result<()> {
        for folder in self.folders()? {
            let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
            if name.is_some_and(|name| name.starts_with(GONE)) {
                fs::remove_dir_all(&folder)?;
            } else if !folder.join(MARK).exists() && fs::remove_dir(&folder).is_err() {
                tracing::warn!(
                    folder = %folder.display(),
                    "nothing says whose these files are: they are left alone"
                );
            }
        }
        Ok(())
    }

    pub(crate) fn remove_seed(&self, uid: WorkloadUid) -> io::Result<()> {
        basalt_durable::remove(&self.seed(uid))
    }

    /// When it began and ended; nothing where that cannot be read.
    pub(crate) fn record(&self, uid: WorkloadUid) -> Record {
        let text = fs::read(self.folder(uid).join(RECORD)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(crate) fn set_record(&self, uid: WorkloadUid, record: &Record) -> io::Result<()> {
        let (text, folder) = (padded(record)?, self.folder(uid));
        let have_room = [RECORD, NEXT].iter().all(|name| {
            fs::metadata(folder.join(name)).is_ok_and(|file| file.len() == ROOM as u64)
        });
        if have_room { write_in_place(&folder, &text) } else { write_anew(&folder, &text) }
    }

    /// Whose every folder is.
    pub(crate) fn marks(&self) -> io::Result<Vec<Mark>> {
        let mut marks = Vec::new();
        for folder in fs::read_dir(self.state.join("machines"))? {
            let text = fs::read_to_string(folder?.path().join(MARK)).unwrap_or_default();
            marks.extend(Mark::parse(&text));
        }
        Ok(marks)
    }

    /// The folders of all machines.
    pub(crate) fn folders(&self) -> io::Result<Vec<PathBuf>> {
        let folders = fs::read_dir(self.state.join("machines"))?;
        folders.map(|folder| Ok(folder?.path())).collect()
    }
}

/// A record as it is written: blanks after it keep its room.
fn padded(record: &Record) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(record)?;
    text.resize(text.len().max(ROOM), b' ');
    Ok(text)
}

/// Writes the record, and sets room for the next one aside.
fn write_anew(folder: &Path, text: &[u8]) -> io::Result<()> {
    for name in [RECORD, NEXT] {
        basalt_durable::write(&folder.join(name), text, basalt_durable::PUBLIC)?;
    }
    Ok(())
}

/// Takes no room: what was the record has that for the one after. A cut leaves either of them.
fn write_in_place(folder: &Path, text: &[u8]) -> io::Result<()> {
    let next = folder.join(NEXT);
    let file = fs::File::options().write(true).open(&next)?;
    file.write_all_at(text, 0)?;
    file.sync_all()?;
    renameat_with(CWD, &next, CWD, folder.join(RECORD), RenameFlags::EXCHANGE)?;
    basalt_durable::sync_folder(folder)
}

/// Makes a folder, and those above it that are not there. Their mode is given to them afterwards:
/// what their maker is told is cut by the umask, and whoever started this process has a strict one.
fn folder_for_others(folder: &Path) -> io::Result<()> {
    if let Some(parent) = folder.parent().filter(|parent| !parent.exists()) {
        folder_for_others(parent)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::set_permissions(folder, fs::Permissions::from_mode(PASSABLE)),
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::Mode;
    use rustix::process::umask;

    use super::*;

    #[test]
    fn what_a_cut_left_of_a_folder_goes_at_the_next_start_and_a_disk_stays() {
        let root = tempfile::tempdir().unwrap();
        let (state, seeds) = (root.path().join("state"), root.path().join("seeds"));
        let machines = state.join("machines");
        let open = || Store::new(state.clone(), seeds.clone()).unwrap();
        open();
        // Begun, and cut before its mark; on its way out; without a mark, and with a disk.
        let [begun, gone, disk] = ["begun", ".gone-a", "disk"].map(|name| machines.join(name));
        for folder in [&begun, &gone, &disk] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(gone.join("disk.qcow2"), "old").unwrap();
        fs::write(disk.join("disk.qcow2"), "whose?").unwrap();
        assert_eq!(open().folders().unwrap(), [disk]);
    }

    #[test]
    fn a_record_takes_the_place_of_the_one_before_and_keeps_its_room() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("state"), root.path().join("seeds")).unwrap();
        let uid = WorkloadUid("d8a6c9b2-0a3c-4d4e-9b1f-6f4f8a1c2b3d".parse().unwrap());
        let folder = store.folder(uid);
        fs::create_dir(&folder).unwrap();
        let at = |paused_at| Record { paused_at: Some(paused_at), ..Record::default() };
        // As the release before wrote it.
        fs::write(folder.join(RECORD), serde_json::to_vec(&at(1)).unwrap()).unwrap();
        assert_eq!(store.record(uid), at(1));
        for second in 2..5 {
            store.set_record(uid, &at(second)).unwrap();
            assert_eq!(store.record(uid), at(second));
            for name in [RECORD, NEXT] {
                assert_eq!(fs::metadata(folder.join(name)).unwrap().len(), ROOM as u64, "{name}");
            }
        }
        // Cut before it took the place.
        fs::write(folder.join(NEXT), "half").unwrap();
        assert_eq!(store.record(uid), at(4));
        store.set_record(uid, &at(5)).unwrap();
        assert_eq!(store.record(uid), at(5));
    }

    #[test]
    fn a_removal_that_was_cut_off_is_over_once_it_is_repeated() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::new(root.path().join("state"), root.path().join("seeds")).unwrap();
        let uid = WorkloadUid("d8a6c9b2-0a3c-4d4e-9b1f-6f4f8a1c2b3d".parse().unwrap());
        for _ in 0..2 {
            fs::create_dir(store.folder(uid)).unwrap();
            fs::write(store.folder(uid).join("disk.qcow2"), "old").unwrap();
            store.remove(uid).unwrap();
            store.remove(uid).unwrap();
            assert!(store.folders().unwrap().is_empty());
        }
    }

    #[test]
    fn qemu_passes_whatever_the_umask_of_whoever_started_us() {
        let root = tempfile::tempdir().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let before = umask(Mode::RWXG | Mode::RWXO);
        let (state, run) = (root.path().join("state"), root.path().join("run/hostd-virt"));
        let store = Store::new(state.clone(), run.join("seeds"));
        umask(before);
        store.unwrap();
        let images = basalt_api::virt::images(&state);
        for folder in [&state, &state.join("machines"), &images, &run, &run.join("seeds")] {
            assert_eq!(mode(folder), PASSABLE, "{}", folder.display());
        }
    }
}
