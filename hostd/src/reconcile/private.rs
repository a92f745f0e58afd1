//! Folders of secrets that a cut left: what made one was killed before there was a container, or
//! what removed a container before its folder. They are on tmpfs, and in clear text.

use std::fs;
use std::io;
use std::path::Path;

use basalt_api::id::WorkloadUid;
use hostd_core::leaving;
use hostd_core::wanted::Wanted;
use tokio::time::Instant;

use super::{Loop, RELIST};

impl Loop {
    /// Removes those of workloads that are neither wanted nor there; at the start and in every full
    /// look. What shall run here must be known.
    pub(super) async fn sweep_private(&mut self, wanted: Option<&[Wanted]>) {
        let is_due = self.swept.is_none_or(|at| at.elapsed() >= RELIST);
        let Some(wanted) = wanted.filter(|_| is_due) else { return };
        self.swept = Some(Instant::now());
        let private = self.ground.runtimes.private.clone();
        let listed = tokio::task::spawn_blocking(move || folders(&private)).await;
        let folders = match listed {
            Ok(Ok(folders)) => folders,
            Ok(Err(error)) => return tracing::warn!(%error, "cannot list the folders of secrets"),
            Err(error) => return tracing::warn!(%error, "cannot list the folders of secrets"),
        };
        let left = leaving::without_workload(&folders, wanted, &self.observed, &self.tracks);
        // While a runtime is away nothing can be told, and the next round looks again.
        let Some(left) = left else {
            self.swept = None;
            return;
        };
        for uid in left {
            let folder = self.ground.runtimes.private(uid);
            let removed = tokio::task::spawn_blocking(move || fs::remove_dir_all(folder)).await;
            match removed {
                Ok(Ok(())) => tracing::info!(%uid, "removed secrets that a cut had left"),
                Ok(Err(error)) => tracing::warn!(%uid, %error, "its secrets cannot be removed"),
                Err(error) => tracing::warn!(%uid, %error, "its secrets cannot be removed"),
            }
        }
    }
}

/// The workloads that have a folder here. What is called otherwise is not ours.
fn folders(private: &Path) -> io::Result<Vec<WorkloadUid>> {
    let entries = match fs::read_dir(private) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let uid = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    Ok(entries.filter_map(uid).collect())
}
