//! Hosts as an operator sees them.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Change;
use crate::capacity::HostFacts;
use crate::id::{HostId, Name, WorkloadUid};
use crate::report::WorkloadStatus;
use crate::workload::Kind;

/// The name that no host has: paths say `self` for whoever asks.
pub const RESERVED_HOST_NAME: &str = "self";

/// How a host is to the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// It enrolled and has not checked in yet.
    Unseen,
    /// It checks in.
    Present,
    /// It has not checked in for longer than its lease.
    Lost,
    /// It is silent and its certificate has expired: it may only renew.
    CertExpired,
    /// It checks in with a history that the endpoint does not know: it is frozen until an operator
    /// decides.
    Ahead,
    /// One that this release does not know.
    #[serde(other)]
    Unknown,
}

/// A host in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostSummary {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub name: Name,
    /// How it is.
    pub state: HostState,
    /// What an operator should know, a sentence each.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Whether it gets nothing new.
    pub cordoned: bool,
    /// Labels of its token and of its own configuration.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What its release can do.
    #[serde(default)]
    pub features: Vec<String>,
    /// What it has and runs, as it said last.
    #[serde(default)]
    pub facts: Option<HostFacts>,
    /// The generation that it shall have.
    pub generation: u64,
    /// The generation that is in its ledger.
    pub observed_generation: u64,
    /// The generation that everything on it runs by.
    pub applied_generation: u64,
    /// Workloads that are assigned to it.
    pub workloads: u32,
    /// When it was heard last, in seconds since 1970; none since the endpoint started.
    #[serde(default)]
    pub seen_at: Option<i64>,
    /// When its certificate expires, in seconds since 1970.
    pub certificate_expires_at: i64,
}

/// Hosts: all, or a page of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hosts {
    /// By name.
    pub hosts: Vec<HostSummary>,
    /// What to ask for `after` to get the next page; none after the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Name>,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostDetail {
    /// The host.
    pub host: HostSummary,
    /// What it reports of workloads, its own local ones and orphans among them.
    pub workloads: Vec<WorkloadStatus>,
}

/// How a host is removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemoveQuery {
    /// Also where it still runs workloads.
    #[serde(default)]
    pub force: bool,
}

/// An operator decides for a frozen host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Resync {
    /// Whose set counts.
    pub keep: Keep,
    /// Where it is the host's: which one, as [`Claims::set_hash`] named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_hash: Option<String>,
}

/// What a frozen host's set claims, for an operator who may keep it. It is only what the host
/// says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claims {
    /// Which set it is: its hash.
    pub set_hash: String,
    /// Its workloads.
    pub workloads: Vec<Claim>,
    /// Workloads that were to be on the host, which does not have them: nobody runs them until they
    /// are applied again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked: Vec<Name>,
}

/// A workload that a host's set claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// Its id.
    pub uid: WorkloadUid,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// Whether the endpoint knows it, and knows it so.
    pub change: Change,
    /// The host that it was assigned to until now, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moves_from: Option<Name>,
    /// The secrets whose values the host gets for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Name>,
}

/// Whose set counts after a resync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// What the host runs goes on; the endpoint takes it over.
    Host,
    /// The host gets what the endpoint's database says.
    Endpoint,
}

impl HostState {
    const ALL: [Self; 5] =
        [Self::Unseen, Self::Present, Self::Lost, Self::CertExpired, Self::Ahead];

    /// The word for it, as on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unseen => "unseen",
            Self::Present => "present",
            Self::Lost => "lost",
            Self::CertExpired => "cert_expired",
            Self::Ahead => "ahead",
            Self::Unknown => "unknown",
        }
    }

    /// What a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|state| state.as_str() == word).unwrap_or(Self::Unknown)
    }
}

impl fmt::Display for HostState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
