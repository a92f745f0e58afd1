//! Workloads as an operator applies and sees them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::{Name, WorkloadUid};
use crate::report::WorkloadStatus;
use crate::workload::WorkloadSpec;

/// Workloads shall be as said. All of them, or none where one is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Apply {
    /// The workloads; others are left alone.
    pub workloads: Vec<WorkloadSpec>,
    /// Say what would follow and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyAnswer {
    /// In the order of the request.
    pub workloads: Vec<Applied>,
}

/// What became of one workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// Its name.
    pub name: Name,
    /// Its id; a dry run of a new one has none.
    #[serde(default)]
    pub uid: Option<WorkloadUid>,
    /// What is other than before.
    pub change: Change,
    /// The host that runs it.
    #[serde(default)]
    pub host: Option<Name>,
    /// Why no host runs it.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What is other than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Created,
    /// It was there and changes.
    Changed,
    /// It was there and was so.
    Unchanged,
}

/// A workload in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadSummary {
    /// Its id.
    pub uid: WorkloadUid,
    /// What it shall be.
    pub spec: WorkloadSpec,
    /// The host that shall run it.
    #[serde(default)]
    pub host: Option<Name>,
    /// Why no host does.
    #[serde(default)]
    pub reason: Option<String>,
    /// What must not change without a replacement, see [`crate::canonical`].
    pub hash: String,
    /// What its host reports of it.
    #[serde(default)]
    pub status: Option<WorkloadStatus>,
    /// When it was applied last, in seconds since 1970.
    pub applied_at: i64,
}

/// Workloads: all, or a page of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Workloads {
    /// By name.
    pub workloads: Vec<WorkloadSummary>,
    /// What to ask for `after` to get the next page; none after the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Name>,
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadDetail {
    /// The workload.
    pub workload: WorkloadSummary,
    /// Whether its host has taken the set that it is in.
    pub host_has_it: bool,
}

/// How much of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LogsQuery {
    /// Lines from the end [default: 100].
    #[serde(default)]
    pub lines: Option<u32>,
}

impl WorkloadSummary {
    /// Whether its host speaks of this spec and of no earlier one. A host that does not say which
    /// it speaks of is known by what runs.
    #[must_use]
    pub fn is_spoken_of(&self) -> bool {
        self.status.as_ref().is_some_and(|status| match status.wanted.as_str() {
            "" => status.hash == self.hash,
            wanted => wanted == self.hash,
        })
    }

    /// Whether its host says that it runs as it shall now.
    #[must_use]
    pub fn is_up_to_date(&self) -> bool {
        self.status.as_ref().is_some_and(|status| status.hash == self.hash)
    }
}
