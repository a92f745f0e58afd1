//! What `hostd` and `hostd-virt` say to each other over a socketpair.
//!
//! `hostd` sends [`Request`]s, `hostd-virt` answers each one, in whatever order they are done, and
//! tells what happens meanwhile. The first request is [`Ask::Begin`]. Both are of one release.

mod frame;
mod place;
mod secret;

use serde::{Deserialize, Serialize};

use crate::id::{HostId, Name, WorkloadUid};
use crate::workload::Vm;

pub use frame::{BadFrame, Frames, MAX_MESSAGE, MAX_REQUEST, frame};
pub use place::{images, machine, serial_log, serial_logs};
pub use secret::Secret;

/// What `hostd` asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Comes back with the answer.
    pub id: u64,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked. Every request may be repeated; what carries no metadata of ours is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Says how things are done from here on.
    Begin(Settings),
    /// Everything of ours.
    Observe,
    /// Fetches and verifies the image unless it is here.
    Prepare(Machine),
    /// Makes a machine and does not start it.
    Create(Machine),
    /// Starts one that does not run, or lets one go on that is paused.
    Start(WorkloadUid),
    /// Asks it to shut down, and switches it off when the grace is over.
    Stop {
        /// Which one.
        uid: WorkloadUid,
        /// Seconds that it may take.
        grace_s: u32,
    },
    /// Removes one that does not run.
    Remove {
        /// Which one.
        uid: WorkloadUid,
        /// Whether its disk goes too.
        disk: Disk,
    },
    /// The one who asked for this request waits no longer; a download ends.
    Cancel(u64),
}

/// What becomes of a machine's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disk {
    /// It stays for the machine that replaces this one.
    Keep,
    /// It goes too.
    Delete,
}

/// How things are done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Which libvirt, as `qemu:///system`.
    pub uri: String,
    /// Folder of images and of machines' disks. Others may pass through it: QEMU is another user.
    pub state: String,
    /// Folder on tmpfs for what guests are told at their first start; it may hold secrets.
    pub seeds: String,
    /// What executes the guests' instructions.
    pub accel: Accel,
    /// Hosts, as `NAME`, `NAME:PORT` or an address, that images may come from wherever they are.
    pub url_allow: Vec<String>,
    /// Folders of the host that images may lie below.
    #[serde(default)]
    pub host_paths: Vec<String>,
    /// Bytes that an image may have.
    pub max_image_bytes: u64,
    /// Seconds after which a download that brings nothing is given up.
    pub idle_s: u32,
}

/// What executes the guests' instructions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accel {
    /// The processor where it can, else an emulator.
    #[default]
    Auto,
    /// The processor.
    Kvm,
    /// QEMU's emulator: slow, and everywhere.
    Tcg,
}

/// A machine to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The workload, and the id that libvirt knows it by.
    pub uid: WorkloadUid,
    /// The workload's name.
    pub name: Name,
    /// The host that it was assigned to; none where somebody applied it on the host itself.
    pub owner: Option<HostId>,
    /// What it is made from, see [`crate::canonical::replacement_hash`].
    pub hash: String,
    /// Its processors.
    pub vcpus: u32,
    /// Its memory.
    pub memory_mib: u64,
    /// Everything else.
    pub vm: Vm,
    /// User-data that came as a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<Secret>,
}

/// What `hostd-virt` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// The answer to a request.
    Done {
        /// The request.
        id: u64,
        /// What came of it.
        result: Result<Reply, Refusal>,
    },
    /// A request that takes long has come further.
    Progress {
        /// The request.
        id: u64,
    },
    /// Something may have changed without a request.
    Changed,
}

/// What came of a request that succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// It is so now.
    Ok,
    /// Everything of ours.
    Seen(Vec<Seen>),
}

/// A machine of ours as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The workload.
    pub uid: WorkloadUid,
    /// The workload's name.
    pub name: Name,
    /// The host that it was assigned to.
    pub owner: Option<HostId>,
    /// What it was made from.
    pub hash: String,
    /// How it is.
    pub state: SeenState,
    /// Its addresses, as far as the host gave them.
    pub addresses: Vec<String>,
    /// What one that has ended cannot be started again without, where that is gone.
    #[serde(default)]
    pub lacks: Option<String>,
}

/// How a machine is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeenState {
    /// It was never started.
    Made,
    /// It runs.
    Running {
        /// Since when, in seconds since 1970.
        since: i64,
    },
    /// It has power, and its guest stands still until somebody lets it go on.
    Paused {
        /// Since when, in seconds since 1970.
        at: i64,
        /// Why, for a person.
        reason: String,
        /// Whether to let it go on may help.
        may_resume: bool,
    },
    /// It does not run any more.
    Ended {
        /// 0 when its guest shut down.
        code: Option<i32>,
        /// When, in seconds since 1970.
        at: i64,
        /// More about it.
        note: Option<String>,
    },
    /// It lacks a part without which it cannot start.
    Broken {
        /// What it lacks.
        reason: String,
    },
}

/// Why a request did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of failure it is.
    pub kind: RefusalKind,
    /// What failed, in one sentence for a person. No secret is in it.
    pub message: String,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// libvirt does not answer: nothing is known.
    Unavailable,
    /// This machine cannot be made or started as it is.
    Workload,
    /// There is no such machine.
    NotThere,
}

impl Refusal {
    /// A machine that cannot be made or started as it is.
    #[must_use]
    pub fn workload(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Workload, message: message.into() }
    }

    /// A libvirt that does not answer.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { kind: RefusalKind::Unavailable, message: message.into() }
    }
}
