//! The ledger on the disk: two copies in turns, and a mark that there was one.

use std::fs::{self, File};
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
        Ok(Self { folder: folder.to_owned(), found })
    }

    /// The ledger, unless it is lost.
    #[must_use]
    pub fn ledger(&self) -> Option<&Ledger> {
        match &self.found {
            Found::Read(ledger, _) => Some(ledger),
            Found::Fresh | Found::Lost(_) => None,
        }
    }

    /// Notes that this boot has begun to use it, with a session above every earlier one; `now` is
    /// in seconds since 1970, so that it rises even over a ledger that was lost. A lost ledger is
    /// left as it is: what can still be saved by hand must not be written over.
    ///
    /// # Errors
    /// It cannot be written; what was there still is.
    pub fn begin(&mut self, boot_id: &str, now: u64) -> io::Result<()> {
        let before = match &self.found {
            Found::Lost(_) => return Ok(()),
            Found::Fresh => Ledger::default(),
            Found::Read(ledger, _) => (**ledger).clone(),
        };
        let session = now.max(before.session + 1);
        self.replace(Ledger { boot_id: boot_id.to_owned(), session, ..before })
    }

    /// Writes the next ledger; the sequence is counted here.
    ///
    /// # Errors
    /// The ledger is lost, or cannot be written; what was there still is.
    pub fn replace(&mut self, next: Ledger) -> io::Result<()> {
        let sequence = match &self.found {
            Found::Lost(reason) => return Err(io::Error::other(reason.clone())),
            Found::Fresh => 1,
            Found::Read(ledger, _) => ledger.sequence + 1,
        };
        self.write(Ledger { sequence, ..next })
    }

    fn write(&mut self, ledger: Ledger) -> io::Result<()> {
        let bytes = ledger.encode();
        if bytes.len() > MAX_BYTES {
            // The next start would take it for damage.
            return Err(io::Error::other(format!(
                "it would have {} bytes, and {MAX_BYTES} are read; delete or purge workloads",
                bytes.len()
            )));
        }
        // First the copy, then the mark: a cut between them leaves a ledger, never a loss.
        let place = Place::of(ledger.sequence);
        basalt_durable::write(&self.folder.join(place.file_name()), &bytes, PRIVATE)?;
        let mark = self.folder.join(MARK);
        if !mark.try_exists()? {
            basalt_durable::write(&mark, b"", PRIVATE)?;
        }
        self.found = Found::Read(Box::new(ledger), None);
        Ok(())
    }
}

fn read(folder: &Path, place: Place) -> io::Result<Option<Result<Ledger, BadCopy>>> {
    let file = match File::open(folder.join(place.file_name())) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
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
