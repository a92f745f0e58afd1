//! What `hostd-os` is doing right now, as it says itself.

use std::fs::{self, File};

use basalt_api::os::{PROGRESS_LOCK, PROGRESS_NAME, RunningUpdate};
use rustix::fs::{FlockOperation, flock};

use crate::paths::Paths;

/// Reads it; nothing where nobody is at work. What a process that was killed left has a lock that
/// nobody holds.
#[must_use]
pub fn running_update(paths: &Paths) -> Option<RunningUpdate> {
    let folder = paths.os_progress();
    let lock = File::open(folder.join(PROGRESS_LOCK)).ok()?;
    if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() {
        return None;
    }
    serde_json::from_slice(&fs::read(folder.join(PROGRESS_NAME)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use basalt_api::os::Progress;

    use super::*;

    #[test]
    fn an_update_is_seen_as_long_as_somebody_is_at_work() {
        let dir = tempfile::tempdir().unwrap();
        let paths = Paths::under(dir.path());
        assert_eq!(running_update(&paths), None);
        let folder = paths.os_progress();
        fs::create_dir_all(&folder).unwrap();
        let running = RunningUpdate {
            request: "update".into(),
            version: Some("2".into()),
            started_at: "2026-11-29T12:00:00Z".into(),
            progress: Progress::Install { step: "deploying".into() },
        };
        fs::write(folder.join(PROGRESS_NAME), serde_json::to_vec(&running).unwrap()).unwrap();
        let lock = File::create(folder.join(PROGRESS_LOCK)).unwrap();
        assert_eq!(running_update(&paths), None, "it was killed");
        flock(&lock, FlockOperation::LockExclusive).unwrap();
        assert_eq!(running_update(&paths), Some(running));
        fs::remove_file(folder.join(PROGRESS_NAME)).unwrap();
        assert_eq!(running_update(&paths), None);
    }
}
