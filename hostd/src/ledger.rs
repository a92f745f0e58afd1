//! The ledger on the disk: two copies in turns, and a mark that there was one.

#[cfg(test)]
mod before;
mod session;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use basalt_api::ledger::{BadCopy, Ledger, MAX_BYTES};
use basalt_durable::PRIVATE;
use hostd_core::ledger::{Found, Place, choose};

/// Says that this host has had a ledger, so that two copies gone are a loss and no beginning.
const MARK: &str = "ledger.mark";

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
}

impl Store {
    /// Opens it; finding nothing that can be read is a finding, not an error.
    ///
    /// # Errors
    /// The folder or a file in it cannot be read for a reason of the system's.
    pub fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let existed = folder.join(MARK).try_exists()?;
        let found = choose(read(folder, Place::A)?, read(folder, Place::B)?, existed);
        if let Found::Read(_, Some((place, bad))) = &found {
            tracing::warn!(copy = place.file_name(), %bad, "the other copy of the ledger serves");
        }
        Ok(Self {
            folder: folder.to_owned(),
            found,
            boot_id: String::new(),
            session: 0,
            unwritten: None,
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
        let ledger = Ledger { boot_id, session, ..next };
        let bytes = ledger.encode();
        if bytes.len() > MAX_BYTES {
            // The next start would take it for damage.
            return Err(io::Error::other(format!(
                "it would have {} bytes, and {MAX_BYTES} are read; delete or purge workloads",
                bytes.len()
            )));
        }
        let written = self.write_files(&ledger, &bytes);
        self.unwritten = written.as_ref().err().map(ToString::to_string);
        written?;
        self.found = Found::Read(Box::new(ledger), None);
        Ok(())
    }

    fn write_files(&self, ledger: &Ledger, bytes: &[u8]) -> io::Result<()> {
        // First the copy, then the mark: a cut between them leaves a ledger, never a loss.
        let place = Place::of(ledger.sequence);
        basalt_durable::write(&self.folder.join(place.file_name()), bytes, PRIVATE)?;
        let mark = self.folder.join(MARK);
        if !mark.try_exists()? {
            basalt_durable::write(&mark, b"", PRIVATE)?;
        }
        Ok(())
    }
}

fn read(folder: &Path, place: Place) -> io::Result<Option<Result<Ledger, BadCopy>>> {
    let file = basalt_durable::open(&folder.join(place.file_name()))?;
    let Some(file) = file else { return Ok(None) };
    let mut bytes = Vec::new();
    match file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes) {
        Ok(length) if length > MAX_BYTES => Ok(Some(Err(BadCopy::NoLedger))),
        Ok(_) => Ok(Some(Ledger::decode(&bytes))),
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
