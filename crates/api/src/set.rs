//! What a host shall run: always the whole set.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::id::{Name, WorkloadUid};
use crate::workload::WorkloadSpec;

/// Workloads that a host has at most, its own and the endpoint's.
pub const MAX_WORKLOADS: usize = 1000;
/// Bytes that a set may have: the answer that carries it has a few more around it.
pub const MAX_SET_BYTES: usize = crate::checkin::MAX_ANSWER_BYTES - (64 << 10);

/// Everything that a host shall run. The empty set is a value like any other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostSet {
    /// The workloads, sorted by uid.
    pub workloads: Vec<Assigned>,
}

/// A workload that a host shall run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Assigned {
    /// Which one it is.
    pub uid: WorkloadUid,
    /// What it is.
    // One that this release does not understand is kept as it came.
    #[serde(with = "crate::workload::unread")]
    #[schemars(with = "WorkloadSpec")]
    pub spec: WorkloadSpec,
    /// Version of each secret that it uses. A secret that is not here does not exist.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_versions: BTreeMap<Name, u64>,
}

impl HostSet {
    /// SHA-256 in hex of the set, by which host and endpoint know that they mean the same one.
    #[must_use]
    pub fn hash(&self) -> String {
        canonical::hash(self)
    }
}

impl Assigned {
    /// What must not change without a replacement, see [`canonical::replacement_hash`].
    #[must_use]
    pub fn replacement_hash(&self) -> String {
        canonical::replacement_hash(&self.spec, &self.secret_versions)
    }
}
