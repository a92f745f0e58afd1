//! What `hostd` asks of whatever runs workloads: containers over podman's or Docker's socket,
//! virtual machines through `hostd-virt`. The thin edge to the system; it decides nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use basalt_api::id::{Name, WorkloadUid};
use basalt_api::report::Trouble;
use basalt_api::set::Assigned;
use bytes::Bytes;
use hostd_core::instance::{Instance, Owner};
pub use hostd_core::step::Data;
use tokio::sync::mpsc;

/// Runs workloads of one kind. Every method may be repeated, has a deadline of its own, and leaves
/// alone what does not carry our labels.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// What is there, of whichever owner, by as few calls as there can be.
    async fn observe(&self) -> Result<Sight, RuntimeError>;

    /// Fetches and verifies the image unless it is here. May take as long as the network does, but
    /// not without progress.
    async fn prepare(&self, make: &Make) -> Result<(), RuntimeError>;

    /// Makes an instance and does not start it. One of the same uid and hash that is there already
    /// is a success.
    async fn create(&self, make: &Make) -> Result<(), RuntimeError>;

    /// Starts what was made or has ended, and lets go on what is paused. One that runs is a success.
    async fn start(&self, uid: WorkloadUid) -> Result<(), RuntimeError>;

    /// Asks it to end and, once `grace` is over, ends it. One that does not run is a success.
    async fn stop(&self, uid: WorkloadUid, grace: Duration) -> Result<(), RuntimeError>;

    /// Removes an instance that does not run. One that is not there is a success.
    async fn remove(&self, uid: WorkloadUid, data: Data) -> Result<(), RuntimeError>;

    /// Returns when something may have changed since the last call, at once if it cannot tell.
    /// Never fails; waits for the runtime to come back where it is gone.
    async fn changed(&self);

    /// What an instance writes. The channel ends with the text, or when the reader is dropped.
    async fn logs(
        &self,
        uid: WorkloadUid,
        wanted: LogsWanted,
    ) -> Result<mpsc::Receiver<Bytes>, RuntimeError>;
}

/// What a runtime has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// Everything of ours.
    pub instances: Vec<Instance>,
    /// What has our labels and is not ours, a sentence each. It is not touched.
    pub strangers: Vec<String>,
}

/// Everything that an instance is made from.
#[derive(Clone)]
pub struct Make {
    /// The workload.
    pub assigned: Assigned,
    /// Whose it is.
    pub owner: Owner,
    /// Values of the secrets that it uses.
    pub secrets: BTreeMap<Name, Vec<u8>>,
    /// A folder on tmpfs of this workload's own, 0700, for secrets as files. The runtime makes it
    /// where it needs it, and removes it with the instance.
    pub private: PathBuf,
}

/// Which part of what an instance wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogsWanted {
    /// Lines from the end; all where there is no number.
    pub tail: Option<u32>,
    /// Whether to go on with what it writes from now on.
    pub follow: bool,
}

/// Why a runtime did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct RuntimeError {
    /// What kind of failure it is.
    pub kind: Failure,
    /// What failed, with which answer, in one sentence for a person. No secret is in it.
    pub message: String,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The runtime itself cannot be reached or does not answer: nothing is known about workloads.
    Unavailable,
    /// This workload cannot be made as it is: no such image, a hash that lies, a name that does not
    /// resolve. Tried again later, for somebody may mend it elsewhere.
    Workload,
    /// What it needs is away and may come back: a registry that does not answer. Tried again later.
    Passing,
    /// There is no such instance.
    NotThere,
}

impl From<Vec<Instance>> for Sight {
    fn from(instances: Vec<Instance>) -> Self {
        Self { instances, strangers: Vec::new() }
    }
}

impl Failure {
    /// What to expect of it.
    #[must_use]
    pub fn trouble(self) -> Trouble {
        match self {
            Self::Unavailable | Self::Passing => Trouble::Passing,
            Self::Workload | Self::NotThere => Trouble::Lasting,
        }
    }
}

impl std::fmt::Debug for Make {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Make").field("uid", &self.assigned.uid).finish_non_exhaustive()
    }
}
