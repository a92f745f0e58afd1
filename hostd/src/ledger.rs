//! The ledger on the disk: two copies in turns, and a mark that there was one.
//!
//! What is private in it is sealed. While a release is on trial, the one before may have to read
//! what it writes: where that one seals nothing, nothing is sealed until the boot is blessed.

#[cfg(test)]
mod before;
mod session;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use basalt_api::ledger::{BadCopy, Ledger, MAX_BYTES};
use basalt_durable::PRIVATE;
use hostd_core::ledger::{Found, Place, choose};

use crate::vault::Vault;

/// Says that this host has had a ledger, so that two copies gone are a loss and no beginning.
const MARK: &str = "ledger.mark";
/// The folder with the key of what is private, within the ledger's.
const SECRETS: &str = "secrets";

/// How what is private is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As it is, as the release before does.
    Clear,
    Sealed,
}

/// The ledger of a state folder.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// What was found when it was opened, and what was written since.
    pub found: Found,
    /// The boot and the session that everything is written in.
    boot_id: String,
    session: u64,
    /// Why the last thing that was to be written is not.
    unwritten: Option<String>,
    vault: Vault,
    form: Form,
    /// Whether the copy that is not the last may hold something private as it is.
    other_is_clear: bool,
}

impl Store {
    /// Opens it; finding nothing that can be read is a finding, not an error.
    ///
    /// # Errors
    /// The folder or a file in it cannot be read for a reason of the system's.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let existed = folder.join(MARK).try_exists()?;
        let vault = Vault::at(folder.join(SECRETS));
        let copies = [read(folder, Place::A, &vault)?, read(folder, Place::B, &vault)?];
        let other_is_clear = copies.iter().flatten().flatten().any(is_of_before);
        let [a, b] = copies;
        let found = choose(a, b, existed);
        if let Found::Read(_, Some((place, bad))) = &found {
            tracing::warn!(copy = place.file_name(), %bad, "the other copy of the ledger serves");
        }
        let form = match &found {
            Found::Read(ledger, _) if is_of_before(ledger) => Form::Clear,
            Found::Read(..) | Found::Fresh | Found::Lost(_) | Found::Later(_) => Form::Sealed,
        };
        Ok(Self {
            folder: folder.to_owned(),
            found,
            boot_id: String::new(),
            session: 0,
            unwritten: None,
            vault,
            form,
            other_is_clear,
        })
    }

    /// The ledger, unless it is lost.
    #[must_use]
    pub fn ledger(&self) -> Option<&Ledger> {
        match &self.found {
            Found::Read(ledger, _) => Some(ledger),
            Found::Fresh | Found::Lost(_) | Found::Later(_) => None,
        }
    }

    /// The number of this start, above that of every earlier one; 0 before [`Self::begin`].
    #[must_use]
    pub fn session(&self) -> u64 {
        self.session
    }

    /// Why the last thing that was to be written is not; none where it is.
    #[must_use]
    pub fn unwritten(&self) -> Option<&str> {
        self.unwritten.as_deref()
    }

    /// Notes that this boot has begun to use it, with a session above every earlier one; `now` is
    /// in seconds since 1970, so that it rises even where nothing can be read or written. A lost
    /// ledger is left as it is: what can still be saved by hand must not be written over.
    ///
    /// # Errors
    /// It cannot be written; what was there still is, and the session holds all the same.
    pub fn begin(&mut self, boot_id: &str, now: u64) -> io::Result<()> {
        let before = self.ledger().map_or(0, |ledger| ledger.session);
        self.session = session::next(&self.folder, before, now);
        boot_id.clone_into(&mut self.boot_id);
        self.note()
    }

    /// This boot is blessed: the release before does not have to read any more what is written.
    ///
    /// # Errors
    /// What it wrote cannot be written anew; what was there still is.
    pub fn settle(&mut self) -> io::Result<()> {
        if self.form == Form::Sealed {
            return Ok(());
        }
        (self.form, self.other_is_clear) = (Form::Sealed, true);
        // Before it has begun, the beginning writes.
        if self.session == 0 { Ok(()) } else { self.note() }
    }

    /// Tries again what could not be written.
    ///
    /// # Errors
    /// It still cannot.
    pub fn retry(&mut self) -> io::Result<()> {
        if self.unwritten.is_some() { self.note() } else { Ok(()) }
    }

    /// Writes that this start is.
    fn note(&mut self) -> io::Result<()> {
        let kept = session::keep(&self.folder, self.session);
        self.unwritten = kept.as_ref().err().map(ToString::to_string);
        kept?;
        match &self.found {
            Found::Lost(_) | Found::Later(_) => Ok(()),
            Found::Fresh => self.replace(Ledger::default()),
            Found::Read(ledger, _) => self.replace((**ledger).clone()),
        }
    }

    /// Writes the next ledger; sequence, boot and session are put in here.
    ///
    /// # Errors
    /// The ledger is lost, or cannot be written; what was there still is.
    pub fn replace(&mut self, next: Ledger) -> io::Result<()> {
        let sequence = match &self.found {
            Found::Lost(reason) | Found::Later(reason) => {
                return Err(io::Error::other(reason.clone()));
            }
            Found::Fresh => 1,
            Found::Read(ledger, _) => ledger.sequence + 1,
        };
        self.write(Ledger { sequence, ..next })
    }

    /// Writes a first ledger in the place of one that is lost. What is left of that one is renamed
    /// to `ledger.*.lost-SESSION`; cut off in the middle, the ledger is still lost.
    ///
    /// # Errors
    /// A later release wrote it, or it cannot be written.
    pub fn begin_anew(&mut self, first: Ledger) -> io::Result<()> {
        if let Found::Lost(reason) = &self.found {
            tracing::warn!("a new ledger takes the place of the lost one: {reason}");
            for name in [Place::A, Place::B].map(Place::file_name) {
                let from = self.folder.join(name);
                if from.try_exists()? {
                    let to = self.folder.join(format!("{name}.lost-{}", self.session));
                    basalt_durable::rename(&from, &to)?;
                }
            }
            return self.write(Ledger { sequence: 1, ..first });
        }
        self.replace(first)
    }

    fn write(&mut self, next: Ledger) -> io::Result<()> {
        let (boot_id, session) = (self.boot_id.clone(), self.session);
        self.write_one(Ledger { boot_id, session, ..next })?;
        let Found::Read(written, _) = &self.found else { return Ok(()) };
        if self.form == Form::Sealed && self.other_is_clear {
            let again = Ledger { sequence: written.sequence + 1, ..(**written).clone() };
            // What was to be written is; the other copy is tried again with the next one.
            match self.write_one(again) {
                Ok(()) => self.other_is_clear = false,
                Err(error) => tracing::warn!(%error, "a copy of the ledger is still unsealed"),
            }
        }
        Ok(())
    }

    fn write_one(&mut self, mut ledger: Ledger) -> io::Result<()> {
        let written = self.encoded(&mut ledger).and_then(|bytes| {
            let place = Place::of(ledger.sequence);
            self.write_files(place, &bytes)
        });
        self.unwritten = written.as_ref().err().map(ToString::to_string);
        written?;
        self.found = Found::Read(Box::new(ledger), None);
        Ok(())
    }

    fn encoded(&self, ledger: &mut Ledger) -> io::Result<Vec<u8>> {
        let bytes = match self.form {
            Form::Clear => ledger.encode(),
            Form::Sealed => {
                ledger.sealed_at = ledger.sequence;
                ledger.sealed(&self.vault)?.encode()
            }
        };
        if bytes.len() > MAX_BYTES {
            // The next start would take it for damage.
            return Err(io::Error::other(format!(
                "it would have {} bytes, and {MAX_BYTES} are read; delete or purge workloads",
                bytes.len()
            )));
        }
        Ok(bytes)
    }

    fn write_files(&self, place: Place, bytes: &[u8]) -> io::Result<()> {
        // First the copy, then the mark: a cut between them leaves a ledger, never a loss.
        basalt_durable::write(&self.folder.join(place.file_name()), bytes, PRIVATE)?;
        let mark = self.folder.join(MARK);
        if !mark.try_exists()? {
            basalt_durable::write(&mark, b"", PRIVATE)?;
        }
        Ok(())
    }
}

/// Whether a release that seals nothing wrote it.
fn is_of_before(ledger: &Ledger) -> bool {
    ledger.sealed_at != ledger.sequence
}

fn read(folder: &Path, place: Place, vault: &Vault) -> io::Result<Option<Result<Ledger, BadCopy>>> {
    let file = basalt_durable::open(&folder.join(place.file_name()))?;
    let Some(file) = file else { return Ok(None) };
    let mut bytes = Vec::new();
    match file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes) {
        Ok(length) if length > MAX_BYTES => Ok(Some(Err(BadCopy::NoLedger))),
        Ok(_) => Ok(Some(Ledger::decode(&bytes).map(|ledger| ledger.opened(vault)))),
        // A block of the disk that cannot be read is damage as well; the other copy may serve.
        Err(_) => Ok(Some(Err(BadCopy::Damaged))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(folder: &Path, times: u64) -> Store {
        let mut store = Store::open(folder).unwrap();
        for _ in 0..times {
            store.begin("boot", 7).unwrap();
        }
        store
    }

    fn sequence(folder: &Path) -> Option<u64> {
        Store::open(folder).unwrap().ledger().map(|ledger| ledger.sequence)
    }

    #[test]
    fn a_ledger_comes_back_with_its_last_write() {
        let folder = tempfile::tempdir().unwrap();
        begun(folder.path(), 3);
        assert_eq!(sequence(folder.path()), Some(3));
    }

    #[test]
    fn a_damaged_copy_costs_one_write_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        begun(folder.path(), 4);
        fs::write(folder.path().join("ledger.b"), "torn").unwrap();
        assert_eq!(sequence(folder.path()), Some(3));
        begun(folder.path(), 1);
        assert_eq!(sequence(folder.path()), Some(4));
    }

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = begun(folder.path(), 1);
        let mut large = store.ledger().unwrap().clone();
        large.later.insert("large".to_owned(), "a".repeat(MAX_BYTES).into());
        let error = store.replace(large).unwrap_err();
        assert!(error.to_string().contains("bytes, and 16777216 are read"), "{error}");
        assert_eq!(store.ledger().unwrap().sequence, 1);
        assert_eq!(sequence(folder.path()), Some(1));
    }

    fn guest(user_data: &str) -> basalt_api::set::Assigned {
        let text = include_str!("../../crates/api/examples/workload-vm.json");
        let mut spec: basalt_api::workload::WorkloadSpec = serde_json::from_str(text).unwrap();
        spec.vm.as_mut().unwrap().user_data = Some(user_data.to_owned());
        let uid = basalt_api::id::WorkloadUid(uuid::Uuid::from_u128(1));
        basalt_api::set::Assigned { uid, spec, secret_versions: Default::default() }
    }

    /// Which of the two copies hold the canary as it is.
    fn heard(folder: &Path) -> [bool; 2] {
        ["ledger.a", "ledger.b"].map(|name| {
            let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
            text.contains("canary")
        })
    }

    /// As the release before wrote it: both copies, with nothing sealed.
    fn written_before(folder: &Path) {
        let ledger = Ledger { local: vec![guest("canary")], ..Ledger::default() };
        for (name, sequence) in [("ledger.a", 1), ("ledger.b", 2)] {
            let bytes = Ledger { sequence, ..ledger.clone() }.encode();
            fs::write(folder.join(name), bytes).unwrap();
        }
    }

    #[test]
    fn what_is_private_is_sealed_in_both_copies_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = begun(folder.path(), 1);
        for canary in ["canary", "another canary"] {
            let local = vec![guest(canary)];
            store.replace(Ledger { local: local.clone(), ..Ledger::default() }).unwrap();
            assert_eq!(heard(folder.path()), [false; 2]);
            assert_eq!(Store::open(folder.path()).unwrap().ledger().unwrap().local, local);
        }
    }

    #[test]
    fn what_the_release_before_wrote_is_sealed_in_both_copies_once_the_boot_is_blessed() {
        for first in [Store::settle, |store: &mut Store| store.begin("boot", 7)] {
            let folder = tempfile::tempdir().unwrap();
            written_before(folder.path());
            assert_eq!(heard(folder.path()), [true; 2]);
            let mut store = Store::open(folder.path()).unwrap();
            first(&mut store).unwrap();
            store.begin("boot", 7).unwrap();
            store.settle().unwrap();
            assert_eq!(heard(folder.path()), [false; 2]);
            let read = Store::open(folder.path()).unwrap();
            assert_eq!(read.ledger().unwrap().local, [guest("canary")]);
        }
    }

    #[test]
    fn on_trial_the_release_before_reads_what_is_written_unless_it_seals_itself() {
        let folder = tempfile::tempdir().unwrap();
        written_before(folder.path());
        let trial = |folder: &Path, canary: &str| {
            let mut store = begun(folder, 1);
            let next = Ledger { local: vec![guest(canary)], ..store.ledger().unwrap().clone() };
            store.replace(next).unwrap();
        };
        trial(folder.path(), "canary");
        trial(folder.path(), "another canary");
        assert_eq!(heard(folder.path()), [true; 2]);
        begun(folder.path(), 1).settle().unwrap();
        trial(folder.path(), "canary");
        assert_eq!(heard(folder.path()), [false; 2]);
        // Back to the release before, which kept the number that it did not know.
        let mut ledger = Store::open(folder.path()).unwrap().ledger().unwrap().clone();
        ledger.sequence += 1;
        let place = folder.path().join(Place::of(ledger.sequence).file_name());
        fs::write(place, ledger.encode()).unwrap();
        trial(folder.path(), "canary");
        assert!(heard(folder.path()).contains(&true), "and forward once more, on trial");
    }

    #[test]
    fn without_its_key_one_is_told_alone_and_kept_for_whoever_finds_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let web = include_str!("../../crates/api/examples/workload-container.json");
        let web =
            basalt_api::set::Assigned { spec: serde_json::from_str(web).unwrap(), ..guest("") };
        let local = vec![guest("canary"), web.clone()];
        let mut store = begun(folder.path(), 1);
        store.replace(Ledger { local: local.clone(), ..Ledger::default() }).unwrap();
        let key = folder.path().join("secrets/key");
        let kept = fs::read(&key).unwrap();
        fs::remove_file(&key).unwrap();
        let mut store = begun(folder.path(), 1);
        let mut ledger = store.ledger().unwrap().clone();
        assert!(ledger.local[0].spec.is_sealed());
        assert_eq!(ledger.local[1], web);
        // Another one is sealed by a new key; what the old one sealed stays.
        let mut other = guest("another canary");
        other.uid = basalt_api::id::WorkloadUid(uuid::Uuid::from_u128(2));
        ledger.local.push(other);
        store.replace(ledger).unwrap();
        assert_eq!(heard(folder.path()), [false; 2]);
        fs::write(&key, kept).unwrap();
        let read = Store::open(folder.path()).unwrap();
        assert_eq!(read.ledger().unwrap().local[..2], local);
    }

    #[test]
    fn sessions_rise_with_every_start_and_with_the_clock() {
        let folder = tempfile::tempdir().unwrap();
        let session = |now| {
            let mut store = Store::open(folder.path()).unwrap();
            store.begin("boot", now).unwrap();
            store.ledger().unwrap().session
        };
        assert_eq!([session(100), session(100), session(5), session(500)], [100, 101, 102, 500]);
    }

    fn torn(folder: &Path) {
        for name in ["ledger.a", "ledger.b"] {
            fs::write(folder.join(name), "torn").unwrap();
        }
    }

    #[test]
    fn a_session_rises_over_a_ledger_that_is_lost_or_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(begun(folder.path(), 1).session(), 7);
        torn(folder.path());
        assert_eq!(begun(folder.path(), 1).session(), 8);
        assert_eq!(begun(folder.path(), 1).session(), 9);
        // Nothing can be written where a folder has the file's name.
        fs::remove_file(folder.path().join("session")).unwrap();
        fs::create_dir(folder.path().join("session")).unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        assert!(store.begin("boot", 50).is_err());
        assert_eq!(store.session(), 50);
        assert!(store.unwritten().is_some());
        assert!(store.retry().is_err());
        fs::remove_dir(folder.path().join("session")).unwrap();
        store.retry().unwrap();
        assert_eq!((store.unwritten(), begun(folder.path(), 1).session()), (None, 51));
    }

    #[test]
    fn what_begins_anew_keeps_what_is_left_of_the_lost_one() {
        let folder = tempfile::tempdir().unwrap();
        begun(folder.path(), 2);
        torn(folder.path());
        let mut store = begun(folder.path(), 1);
        let held = std::iter::once(basalt_api::id::WorkloadUid(uuid::Uuid::nil())).collect();
        store.begin_anew(Ledger { held, ..Ledger::default() }).unwrap();
        let read = Store::open(folder.path()).unwrap();
        let ledger = read.ledger().unwrap();
        let is_of_today = ledger.boot_id == "boot" && ledger.session == store.session();
        assert!(is_of_today && ledger.sequence == 1 && ledger.held.len() == 1, "{ledger:?}");
        let kept = fs::read_to_string(folder.path().join("ledger.a.lost-9")).unwrap();
        assert_eq!(kept, "torn");
    }

    #[test]
    fn what_a_later_release_wrote_is_not_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        begun(folder.path(), 1);
        let body = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"{}"));
        fs::write(folder.path().join("ledger.b"), format!("basalt-ledger 2 {body}\n{{}}")).unwrap();
        let mut store = begun(folder.path(), 1);
        assert!(store.begin_anew(Ledger::default()).is_err());
        assert!(matches!(Store::open(folder.path()).unwrap().found, Found::Later(_)));
    }

    #[test]
    fn a_lost_ledger_stays_on_the_disk_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        begun(folder.path(), 2);
        for name in ["ledger.a", "ledger.b"] {
            fs::write(folder.path().join(name), "torn").unwrap();
        }
        let store = begun(folder.path(), 1);
        assert!(matches!(store.found, Found::Lost(_)));
        assert_eq!(fs::read_to_string(folder.path().join("ledger.a")).unwrap(), "torn");
    }

    #[test]
    fn both_copies_gone_are_a_loss_and_no_beginning() {
        let folder = tempfile::tempdir().unwrap();
        begun(folder.path(), 2);
        for name in ["ledger.a", "ledger.b"] {
            fs::remove_file(folder.path().join(name)).unwrap();
        }
        assert!(matches!(Store::open(folder.path()).unwrap().found, Found::Lost(_)));
    }
}
