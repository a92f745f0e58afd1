//! The runtimes, by kind.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use basalt_api::id::WorkloadUid;
use basalt_api::workload::Kind;

use crate::runtime::Runtime;

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kinds {
    containers: bool,
    machines: bool,
}

impl Kinds {
    /// None.
    pub const NONE: Self = Self { containers: false, machines: false };
    /// All.
    pub const ALL: Self = Self { containers: true, machines: true };

    /// Adds one.
    pub fn add(&mut self, kind: Kind) {
        match kind {
            Kind::Container => self.containers = true,
            Kind::Vm => self.machines = true,
            Kind::Unknown => (),
        }
    }

    /// Adds some.
    pub fn add_all(&mut self, kinds: Self) {
        self.containers |= kinds.containers;
        self.machines |= kinds.machines;
    }

    /// Whether a kind is among them.
    #[must_use]
    pub fn has(self, kind: Kind) -> bool {
        match kind {
            Kind::Container => self.containers,
            Kind::Vm => self.machines,
            Kind::Unknown => false,
        }
    }
}

/// What runs workloads, and where it leaves its traces.
#[derive(Clone)]
pub struct Runtimes {
    /// Runs containers.
    pub containers: Arc<dyn Runtime>,
    /// Runs virtual machines.
    pub machines: Arc<dyn Runtime>,
    /// A folder on tmpfs for secrets as files, one below it for each workload.
    pub private: PathBuf,
    /// A folder with a file for each kind that was ever used here.
    pub marks: PathBuf,
}

impl Runtimes {
    /// The one of a kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> Option<Arc<dyn Runtime>> {
        match kind {
            Kind::Container => Some(Arc::clone(&self.containers)),
            Kind::Vm => Some(Arc::clone(&self.machines)),
            Kind::Unknown => None,
        }
    }

    /// The folder for one workload's secrets.
    #[must_use]
    pub fn private(&self, uid: WorkloadUid) -> PathBuf {
        self.private.join(uid.to_string())
    }

    /// Kinds of which something may have been left behind, although nothing of them is wanted.
    #[must_use]
    pub fn left_behind(&self) -> Kinds {
        let was_used = |kind| mark(&self.marks, kind).exists();
        Kinds { containers: was_used(Kind::Container), machines: was_used(Kind::Vm) }
    }

    /// Notes that something of a kind is about to be made.
    ///
    /// # Errors
    /// The mark cannot be written; then nothing must be made.
    pub async fn will_use(&self, kind: Kind) -> io::Result<()> {
        let mark = mark(&self.marks, kind);
        if mark.exists() {
            return Ok(());
        }
        on_disk(move || basalt_durable::write(&mark, b"", basalt_durable::PRIVATE)).await
    }

    /// Notes that nothing of a kind is there any more.
    ///
    /// # Errors
    /// The mark cannot be removed.
    pub async fn is_done_with(&self, kind: Kind) -> io::Result<()> {
        let mark = mark(&self.marks, kind);
        if !mark.exists() {
            return Ok(());
        }
        on_disk(move || basalt_durable::remove(&mark)).await
    }
}

/// A disk may take its time, and the loop's thread is everybody's.
async fn on_disk(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn mark(folder: &Path, kind: Kind) -> PathBuf {
    folder.join(format!("used.{kind}"))
}
