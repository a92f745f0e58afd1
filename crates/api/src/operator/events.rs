//! What happened, and who asked for it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Name;

/// Something happened. Only transitions are events, never that all is as before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Rises with every event.
    pub id: i64,
    /// When, in seconds since 1970.
    pub at: i64,
    /// What kind it is, as `host_lost`.
    pub kind: String,
    /// The host that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Name>,
    /// The workload that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Name>,
    /// What happened, in a sentence.
    pub message: String,
}

/// Events, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Events {
    /// The events.
    pub events: Vec<Event>,
    /// What to ask for `after` next time.
    pub next: i64,
    /// Whether some between `after` and the first are no longer kept.
    #[serde(default)]
    pub some_are_gone: bool,
}

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventsQuery {
    /// Only those with a higher id; without it the last ones.
    #[serde(default)]
    pub after: Option<i64>,
    /// Seconds to wait for one where there is none, at most 60.
    #[serde(default)]
    pub wait_s: Option<u64>,
}

/// An operator's write. It stands in the log before it acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Rises with every entry.
    pub id: i64,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Who.
    pub who: String,
    /// From which address.
    pub from: String,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
    /// What was answered; none where the endpoint ended before it could answer.
    #[serde(default)]
    pub status: Option<u16>,
}

/// The last entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditLog {
    /// The newest first.
    pub entries: Vec<AuditEntry>,
}
