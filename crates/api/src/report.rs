//! How workloads are, as a host reports them.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{Name, WorkloadUid};
use crate::workload::Kind;

/// How one workload is on its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadStatus {
    /// Which one.
    pub uid: WorkloadUid,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// Who asked for it.
    pub source: Source,
    /// How it is.
    pub state: WorkloadState,
    /// Why it is so, for a person: what failed, what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How often it was started again after it ended by itself.
    #[serde(default)]
    pub restarts: u32,
    /// With what it ended last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When it started, in seconds since 1970 by the host's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<i64>,
    /// Its own addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Whether an operator of the host holds it stopped (`hostctl stop`).
    #[serde(default)]
    pub held: bool,
    /// The hash of what it is made from, see [`crate::canonical`].
    #[serde(default)]
    pub hash: String,
    /// The hash of what it shall be made from: which spec its host speaks of. Empty from a host
    /// that does not say so.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub wanted: String,
    /// Whether what failed last, where something did, can pass by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
}

/// What to expect of a failure. The host tries again either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// It may pass by itself, as a registry that is away.
    Passing,
    /// It stays until somebody does something, as a name of an image that is none.
    #[serde(other)]
    Lasting,
}

/// Who asked for a workload.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The endpoint.
    Assigned,
    /// Somebody on the host (`hostctl apply`).
    Local,
    /// Nobody any more: it carries the id of another host, as after a new enrolment, or no ledger
    /// knows it. It is left alone until somebody adopts or purges it.
    Orphaned,
}

/// How a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadState {
    /// It waits for its turn, or for something that `reason` names.
    Pending,
    /// Its image is fetched.
    Preparing,
    /// It is made and started.
    Starting,
    /// It runs.
    Running,
    /// It ended and is started again soon; `reason` says when.
    Backoff,
    /// It was asked to end.
    Stopping,
    /// It is stopped because somebody wants it so.
    Stopped,
    /// It ended and its restart policy leaves it so.
    Finished,
    /// It cannot run as it is; `reason` says why. It is tried again where that can help.
    Failed,
    /// The host's policy, or what it is able to do, forbids it.
    Refused,
    /// One that this release does not know.
    #[serde(other)]
    Unknown,
}

impl WorkloadState {
    /// The word for it, as on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Preparing => "preparing",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for WorkloadState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Assigned => "assigned",
            Self::Local => "local",
            Self::Orphaned => "orphaned",
        })
    }
}
