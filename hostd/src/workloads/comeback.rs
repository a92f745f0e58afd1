//! What ran before the host booted, on the disk: read once, written when it changes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use basalt_api::problem::Problem;
use basalt_api::ran::{MAX_BYTES, Ran};
use basalt_api::report::WorkloadStatus;
use basalt_durable::PRIVATE;
use hostd_core::comeback::Comeback;

/// Keeps it.
pub(super) struct Keeper {
    path: PathBuf,
    comeback: Comeback,
    /// As it is on the disk.
    written: Ran,
}

impl Keeper {
    /// Reads what was kept. What cannot be read is nothing that anybody waits for.
    pub(super) fn open(path: PathBuf, boot_id: &str) -> Self {
        let written = read(&path).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, path = %path.display(), "cannot tell what ran before");
            }
            Ran::default()
        });
        Self { path, comeback: Comeback::begin(written.clone(), boot_id), written }
    }

    /// Notes how the workloads are; what has not come back.
    pub(super) async fn see(
        &mut self,
        statuses: Option<&[WorkloadStatus]>,
        is_good: bool,
        now: Duration,
    ) -> Vec<Problem> {
        let missing = self.comeback.see(statuses, is_good, now);
        let ran = self.comeback.ran().clone();
        if ran != self.written {
            let (path, next) = (self.path.clone(), ran.clone());
            let written = tokio::task::spawn_blocking(move || write(&path, &next)).await;
            match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(()) => self.written = ran,
                Err(error) => tracing::warn!(%error, "cannot note what runs"),
            }
        }
        missing
    }
}

fn read(path: &Path) -> io::Result<Ran> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

fn write(path: &Path, ran: &Ran) -> io::Result<()> {
    basalt_durable::write(path, &serde_json::to_vec_pretty(ran)?, PRIVATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running() -> Vec<WorkloadStatus> {
        let text = r#"[{"uid":"00000000-0000-0000-0000-000000000001","name":"a",
            "kind":"container","source":"local","state":"running","started_at":1}]"#;
        serde_json::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn what_ran_is_missed_after_the_boot_and_a_torn_file_misses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ran");
        let mut keeper = Keeper::open(path.clone(), "one");
        for now in [1, 70] {
            keeper.see(Some(&running()), true, Duration::from_secs(now)).await;
        }
        let mut keeper = Keeper::open(path.clone(), "two");
        assert_eq!(keeper.see(None, true, Duration::from_secs(1)).await.len(), 1);
        std::fs::write(&path, "{").unwrap();
        let mut keeper = Keeper::open(path, "three");
        assert_eq!(keeper.see(None, true, Duration::from_secs(1)).await, []);
    }
}
