//! What ran on a host, remembered from boot to boot beside the ledger, as JSON.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::id::WorkloadUid;

/// Bytes that the file may have; more is damage.
pub const MAX_BYTES: u64 = 1 << 20;

/// What ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ran {
    /// The boot that it was written in, the kernel's `boot_id`.
    pub boot_id: String,
    /// Whether that boot has proved itself.
    pub is_good: bool,
    /// What runs in that boot.
    pub ran: BTreeSet<WorkloadUid>,
    /// What has to run again in that boot, for it ran before.
    pub before: BTreeSet<WorkloadUid>,
}
