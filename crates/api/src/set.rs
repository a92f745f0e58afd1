//! What a host shall run: always the whole set.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::id::{Name, WorkloadUid};
use crate::rollout::OsTarget;
use crate::workload::{Seal, WorkloadSpec};

/// Workloads that a host has at most, its own and the endpoint's.
pub const MAX_WORKLOADS: usize = 1000;
/// Bytes that a set may have: the answer that carries it has a few more around it.
pub const MAX_SET_BYTES: usize = crate::checkin::MAX_ANSWER_BYTES - (64 << 10);

/// Everything that a host shall run. The empty set is a value like any other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostSet {
    /// The workloads, sorted by uid.
    pub workloads: Vec<Assigned>,
    /// The release that it shall run; only for hosts with [`feature::OS`](crate::capacity::feature::OS).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os: Option<OsTarget>,
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

    /// Whether something private stands in it as it is.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.workloads.iter().any(|one| one.spec.is_clear())
    }

    /// Whether something private of it is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.workloads.iter().any(|one| one.spec.is_sealed())
    }

    /// The same as it may lie on a disk.
    ///
    /// # Errors
    /// Those of `by`.
    pub fn sealed<S: Seal>(&self, by: &S) -> Result<Self, S::Error> {
        Ok(Self { workloads: sealed(&self.workloads, by)?, os: self.os.clone() })
    }

    /// The same as it was before it was sealed, as far as that can be opened.
    #[must_use]
    pub fn opened<S: Seal>(self, by: &S) -> Self {
        Self { workloads: opened(self.workloads, by), os: self.os }
    }
}

pub(crate) fn sealed<S: Seal>(all: &[Assigned], by: &S) -> Result<Vec<Assigned>, S::Error> {
    let seal = |one: &Assigned| Ok(Assigned { spec: one.spec.sealed(one.uid, by)?, ..one.clone() });
    all.iter().map(seal).collect()
}

pub(crate) fn opened<S: Seal>(all: Vec<Assigned>, by: &S) -> Vec<Assigned> {
    let open = |one: Assigned| Assigned { spec: one.spec.opened(one.uid, by), ..one };
    all.into_iter().map(open).collect()
}

impl Assigned {
    /// What must not change without a replacement, see [`canonical::replacement_hash`].
    #[must_use]
    pub fn replacement_hash(&self) -> String {
        canonical::replacement_hash(&self.spec, &self.secret_versions)
    }
}
