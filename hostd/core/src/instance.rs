//! What a runtime has of ours, as it was seen.

use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::workload::Kind;

/// A container or a virtual machine that carries our labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The workload that it was made for.
    pub uid: WorkloadUid,
    /// The workload's name.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// Whose it is.
    pub owner: Owner,
    /// What it was made from ([`basalt_api::canonical::replacement_hash`]).
    pub hash: String,
    /// How it is.
    pub state: InstanceState,
    /// Its own addresses, where the runtime knows them.
    pub addresses: Vec<String>,
    /// What it cannot be started again without, where that is gone. It takes nothing from how it
    /// ended: what has finished needs no part.
    pub lacks: Option<String>,
}

/// Whose an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Somebody applied it on the host itself.
    Local,
    /// The endpoint assigned it to the host that had this id.
    Host(HostId),
}

/// How an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstanceState {
    /// It was made and never started.
    Made,
    /// It runs.
    Running {
        /// Since when, in seconds since 1970.
        since: i64,
    },
    /// It has its memory and stands still, as a guest whose disk cannot be written to.
    Paused {
        /// Since when, in seconds since 1970.
        at: i64,
        /// Why, as `the host's disk is full`.
        reason: String,
        /// Whether to let it go on may help.
        may_resume: bool,
    },
    /// It runs, and its runtime has forgotten that: nobody would hear of its end. It is ended, and
    /// made anew where it shall run.
    Stray {
        /// What is known of it.
        reason: String,
    },
    /// It ran and ended, by itself or because it was asked to.
    Ended {
        /// The exit code of a container; a virtual machine has 0 when its guest shut down.
        code: Option<i32>,
        /// When, in seconds since 1970.
        at: i64,
        /// More about it, as `killed: out of memory`.
        note: Option<String>,
    },
    /// It has ended, and the runtime cannot say how, for this reason.
    Unknown {
        /// What the runtime says.
        reason: String,
    },
    /// Nothing but what it wrote: its container is gone, and volumes of it are still there. For who
    /// wants it, it is not there.
    DataOnly,
    /// It is there and neither runs nor can be started, as after a cut while it was made. It is
    /// removed and made anew.
    Broken {
        /// What the runtime says.
        reason: String,
    },
}

impl InstanceState {
    /// Whether it has processes: what it takes of the host is taken.
    #[must_use]
    pub fn has_processes(&self) -> bool {
        matches!(self, Self::Running { .. } | Self::Paused { .. } | Self::Stray { .. })
    }
}
