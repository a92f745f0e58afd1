//! The check-in: how a host asks what it shall run, and says how it is.
//!
//! `POST /v1/hosts/self/checkin` is a long poll over mTLS. Who asks is known from the client's
//! certificate and from nothing else.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::capacity::HostFacts;
use crate::id::{Lineage, WorkloadUid};
use crate::report::WorkloadStatus;
use crate::set::HostSet;

/// The path.
pub const CHECKIN_PATH: &str = "/v1/hosts/self/checkin";
/// Where a frozen host sends the set of its ledger that the endpoint asked for.
pub const SET_PATH: &str = "/v1/hosts/self/set";
/// Where a host sends the end of a log that the endpoint asked for, as text.
pub const LOGS_PATH: &str = "/v1/hosts/self/logs/{ticket}";
/// The version of the protocol that this release speaks.
pub const PROTOCOL: u32 = 1;
/// Bytes that a request may have, but for the one that carries a set.
pub const MAX_REQUEST_BYTES: usize = 1 << 20;
/// Bytes that an answer may have.
pub const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Seconds that the host waits beyond `wait_s` before it gives up.
pub const PATIENCE_S: u64 = 10;
/// Bytes of a log that are taken; more is cut off at the beginning by the host.
pub const MAX_LOG_BYTES: usize = 512 << 10;

/// The path for one log.
#[must_use]
pub fn logs_path(ticket: Uuid) -> String {
    format!("/v1/hosts/self/logs/{ticket}")
}

/// What a host says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckinRequest {
    /// [`PROTOCOL`] of the host.
    pub protocol: u32,
    /// What it can do, see [`crate::capacity::feature`].
    #[serde(default)]
    pub features: Vec<String>,
    /// The kernel's random id of this boot.
    pub boot_id: String,
    /// Rises, and is on the host's disk, with every start of `hostd`. A lower one than was seen
    /// comes from a copy of the host.
    pub session: u64,
    /// The history that the host follows; none before its first set.
    #[serde(default)]
    pub lineage: Option<Lineage>,
    /// The generation that is in its ledger.
    pub observed_generation: u64,
    /// The generation that everything runs by.
    pub applied_generation: u64,
    /// Hash of the set in its ledger, see [`HostSet::hash`]; empty before the first one.
    #[serde(default)]
    pub set_hash: String,
    /// Workloads that are other than they were last reported to be. Whole, one entry each.
    #[serde(default)]
    pub changes: Vec<WorkloadStatus>,
    /// Workloads that were reported and are gone.
    #[serde(default)]
    pub gone: Vec<WorkloadUid>,
    /// Whether `changes` is everything there is: what it does not name is gone.
    #[serde(default)]
    pub is_full: bool,
    /// What the host is, where that is new to the endpoint.
    #[serde(default)]
    pub facts: Option<HostFacts>,
    /// The set in its ledger, once the endpoint asked for it by [`Action::ReportSet`] and has no
    /// [`SET_PATH`], as the release before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<HostSet>,
}

/// The set in a host's ledger, with where in which history it is from: as in its check-ins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedSet {
    /// The history.
    pub lineage: Lineage,
    /// The generation.
    pub generation: u64,
    /// The set's hash, as it came with the set.
    pub set_hash: String,
    /// The set.
    pub set: HostSet,
}

/// What the endpoint answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckinAnswer {
    /// The history that the generation belongs to.
    pub lineage: Lineage,
    /// The generation of the host's set.
    pub generation: u64,
    /// The set's hash.
    pub set_hash: String,
    /// The set, where the host's is older.
    #[serde(default)]
    pub set: Option<HostSet>,
    /// How long the next poll is held at most, in seconds.
    pub wait_s: u64,
    /// How long the endpoint takes the host for present after this, in seconds.
    pub lease_s: u64,
    /// The endpoint's clock, seconds since 1970.
    pub server_time: i64,
    /// What else it wants of the host.
    #[serde(default)]
    pub actions: Vec<Action>,
}

/// Something that the endpoint wants of a host besides its set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Report everything in the next check-in: the endpoint does not know this host's workloads.
    ReportAll,
    /// No set is sent until an operator decides: the host is ahead of the endpoint's database.
    Frozen,
    /// Send the set of the ledger to [`SET_PATH`], so that an operator may decide to keep it.
    ReportSet,
    /// Send the end of a workload's log to [`logs_path`].
    SendLogs {
        /// What the endpoint knows the answer by.
        ticket: Uuid,
        /// The workload.
        uid: WorkloadUid,
        /// Lines from the end.
        lines: u32,
    },
    /// Ask for a new certificate.
    RenewCertificate,
    /// One that this release does not know, and leaves alone.
    #[serde(other)]
    Unknown,
}
