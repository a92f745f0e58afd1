//! What `hostctl` and `hostd` say to each other over the local socket.

use serde::{Deserialize, Serialize};

use crate::id::{Name, WorkloadUid};
use crate::report::WorkloadStatus;
use crate::workload::WorkloadSpec;

/// Lists the workloads (GET), or applies some (POST).
pub const WORKLOADS_PATH: &str = "/v1/workloads";
/// Numbers for Prometheus.
pub const METRICS_PATH: &str = "/v1/metrics";
/// Tells what would be done now.
pub const PLAN_PATH: &str = "/v1/plan";
/// Tells what happened; `?after=N` after that event, `&follow=true` and what happens from now on.
pub const EVENTS_PATH: &str = "/v1/events";
/// Bytes that a request may have.
pub const MAX_REQUEST_BYTES: usize = 4 << 20;

/// Every workload of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadList {
    /// How each is, by name.
    pub workloads: Vec<WorkloadStatus>,
}

/// A workload with what it is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadDescription {
    /// How it is.
    pub status: WorkloadStatus,
    /// What it shall be; none for one that is on its way out or another host's.
    #[serde(default)]
    pub spec: Option<WorkloadSpec>,
    /// What happened to it, as far as it is remembered.
    #[serde(default)]
    pub events: Vec<Event>,
}

/// Workloads that the host itself shall run. One of a name that is known is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// The workloads.
    pub workloads: Vec<WorkloadSpec>,
    /// Whether only to say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What came of it, for each in the same order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyAnswer {
    /// One for each.
    pub results: Vec<ApplyResult>,
}

/// What came of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyResult {
    /// Its name.
    pub name: Name,
    /// Its uid; that of a new one is not known in a dry run.
    #[serde(default)]
    pub uid: Option<WorkloadUid>,
    /// `created`, `changed` or `unchanged`.
    pub result: String,
}

/// An orphan becomes one of the host's own workloads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptRequest {
    /// What it shall be; none for what it was, where that is still known.
    #[serde(default)]
    pub spec: Option<WorkloadSpec>,
}

/// What would be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanAnswer {
    /// A line for each workload with something to do, as `web: prepare, create, start`.
    pub plan: Vec<String>,
    /// What is being done already, in the same form.
    pub under_way: Vec<String>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Rises by one; begins anew with `hostd`.
    pub number: u64,
    /// When, in seconds since 1970.
    pub at: i64,
    /// To which workload.
    pub workload: Name,
    /// To which one of this name.
    pub uid: WorkloadUid,
    /// What.
    pub message: String,
}
