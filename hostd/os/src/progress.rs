//! How far this process is, for others to see: a file that is there as long as it is at work.
//!
//! A process that was killed leaves its file; so it holds a lock beside it meanwhile, and a file
//! whose lock nobody holds is nobody's.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use basalt_api::os::{PROGRESS_LOCK, PROGRESS_NAME, Progress, RunningUpdate};
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};

/// The shortest time between two writes.
const BETWEEN: Duration = Duration::from_secs(1);

/// The file, while somebody works. Dropped, it is gone.
pub(crate) struct Shown {
    folder: PathBuf,
    /// Held as long as this lives.
    _lock: File,
    request: &'static str,
    started_at: Timestamp,
    version: RefCell<Option<String>>,
    written: Cell<Option<Instant>>,
}

impl Shown {
    /// For a request, as `update`.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn begin(folder: &Path, request: &'static str, at: Timestamp) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let lock = File::create(folder.join(PROGRESS_LOCK))?;
        // Who looks holds it for a moment.
        flock(&lock, FlockOperation::LockExclusive)?;
        Ok(Self {
            folder: folder.to_owned(),
            _lock: lock,
            request,
            started_at: at,
            version: RefCell::default(),
            written: Cell::default(),
        })
    }

    /// How far it is by now. It is written now and then; where it cannot be, nobody sees it.
    pub(crate) fn tell(&self, progress: &Progress, now: Instant) {
        if let Progress::Plan { version, .. } = progress {
            *self.version.borrow_mut() = Some(version.clone());
        }
        if self.written.get().is_some_and(|last| now.duration_since(last) < BETWEEN) {
            return;
        }
        self.written.set(Some(now));
        let running = RunningUpdate {
            request: self.request.to_owned(),
            version: self.version.borrow().clone(),
            started_at: self.started_at.to_string(),
            progress: progress.clone(),
        };
        let _ = self.write(&running);
    }

    /// Whole or not at all. It need not outlive a power cut.
    fn write(&self, running: &RunningUpdate) -> io::Result<()> {
        let (path, new) = (self.path(), self.folder.join(format!("{PROGRESS_NAME}.new")));
        fs::write(&new, serde_json::to_vec(running)?)?;
        fs::rename(new, path)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(PROGRESS_NAME)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path());
    }
}

/// What is being done by another process, if anything.
pub(crate) fn running(folder: &Path) -> Option<RunningUpdate> {
    let lock = File::open(folder.join(PROGRESS_LOCK)).ok()?;
    if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    serde_json::from_slice(&fs::read(folder.join(PROGRESS_NAME)).ok()?).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use basalt_api::os::Room;

    use super::*;

    pub(crate) fn plan(version: &str) -> Progress {
        let room = Room::default();
        Progress::Plan { version: version.into(), download_bytes: 7, root: room, esp: room }
    }

    fn install(step: &str) -> Progress {
        Progress::Install { step: step.into() }
    }

    #[test]
    fn how_far_it_is_is_seen_while_it_lasts_and_at_most_once_a_second() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("hostd-os");
        assert_eq!(running(&folder), None);
        let shown = Shown::begin(&folder, "update", Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(running(&folder), None);
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        shown.tell(&plan("2"), at(0));
        let first = running(&folder).unwrap();
        assert_eq!((&*first.request, first.version.as_deref()), ("update", Some("2")));
        assert_eq!(first.started_at, "1970-01-01T00:00:00Z");
        shown.tell(&install("too soon"), at(999));
        assert_eq!(running(&folder), Some(first));
        shown.tell(&install("in time"), at(1000));
        let second = running(&folder).unwrap();
        assert_eq!((second.version.as_deref(), second.progress), (Some("2"), install("in time")));
        drop(shown);
        assert_eq!(running(&folder), None);
        assert!(!folder.join(PROGRESS_NAME).exists());
    }

    #[test]
    fn what_a_process_that_was_killed_left_is_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        let shown = Shown::begin(dir.path(), "update", Timestamp::UNIX_EPOCH).unwrap();
        shown.tell(&install("x"), Instant::now());
        let left = fs::read(dir.path().join(PROGRESS_NAME)).unwrap();
        drop(shown);
        fs::write(dir.path().join(PROGRESS_NAME), left).unwrap();
        assert_eq!(running(dir.path()), None);
    }
}
