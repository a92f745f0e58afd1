//! What an engine lists and tells becomes instances. Pure, but for the types' deserialisation.
//!
//! The types read what we need and nothing more, and every state that any engine may have.

use std::collections::HashMap;

use basalt_api::workload::Kind;
use hostd_core::instance::{Instance, InstanceState};
use jiff::Timestamp;
use serde::Deserialize;

use super::labels::{self, Labels};

/// The exit code of a program that was killed (128 + SIGKILL).
const KILLED: i32 = 137;

/// A container as an engine lists it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) id: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    labels: Option<HashMap<String, String>>,
    #[serde(default)]
    network_settings: Option<Networks>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Networks {
    #[serde(default)]
    networks: Option<HashMap<String, Option<Attached>>>,
}

#[derive(Debug, Clone, Deserialize)]
struct Attached {
    #[serde(default, rename = "IPAddress")]
    ipv4: String,
    #[serde(default, rename = "GlobalIPv6Address")]
    ipv6: String,
}

/// A container as an engine tells about it alone.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    state: State,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct State {
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    exit_code: i64,
    started_at: String,
    finished_at: String,
}

/// An image as an engine tells about it alone.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct InspectedImage {
    config: Option<ImageConfig>,
    #[serde(default)]
    size: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ImageConfig {
    user: String,
}

/// A container of ours.
#[derive(Debug, Clone)]
pub(super) struct Ours {
    pub(super) id: String,
    pub(super) labels: Labels,
    pub(super) phase: Phase,
    addresses: Vec<String>,
}

/// Whose a listed container is.
#[derive(Debug, Clone)]
pub(super) enum Whose {
    Ours(Ours),
    /// It has our labels and not the name that we give, as one that was made from an image that
    /// somebody made of a container of ours. It is not touched.
    Stranger(String),
    Nobodys,
}

/// Where a container stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Made,
    /// Its processes are made, and wait for their start.
    Initialized,
    /// It runs, and the engine has forgotten that.
    Stray,
    /// It runs or is about to end.
    Alive,
    /// It has processes, and all of them are frozen.
    Paused,
    Ended,
    /// Neither of these, in the engine's word.
    Odd(String),
}

/// What the list does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Details {
    pub(super) started: i64,
    finished: i64,
    code: i32,
    /// Whether it, or something in it, was killed for want of memory.
    pub(super) is_out_of_memory: bool,
}

impl Listed {
    /// The container, where it is ours.
    pub(super) fn ours(self) -> Option<Ours> {
        match self.whose() {
            Whose::Ours(ours) => Some(ours),
            Whose::Stranger(_) | Whose::Nobodys => None,
        }
    }

    pub(super) fn whose(self) -> Whose {
        let Some(labels) = self.labels.as_ref().and_then(labels::read) else {
            return Whose::Nobodys;
        };
        let name = labels::container_name(&labels.name, labels.uid);
        let names = self.names.unwrap_or_default();
        // Docker begins a name with a slash; what follows another one is a link's.
        if !names.iter().any(|one| one.strip_prefix('/').unwrap_or(one) == name) {
            return Whose::Stranger(stranger(&names, &name));
        }
        let networks = self.network_settings.and_then(|settings| settings.networks);
        let attached = networks.into_iter().flatten().filter_map(|(_, attached)| attached);
        let addresses = attached.flat_map(|attached| [attached.ipv4, attached.ipv6]);
        let mut addresses: Vec<String> = addresses.filter(|address| !address.is_empty()).collect();
        addresses.sort();
        Whose::Ours(Ours { id: self.id, labels, phase: Phase::of(&self.state), addresses })
    }
}

/// Says that something has the labels of what we call `ours`, and another name.
fn stranger(names: &[String], ours: &str) -> String {
    let names: Vec<&str> =
        names.iter().map(|name| name.strip_prefix('/').unwrap_or(name)).collect();
    let names = super::client::shown(&names.join("`, `"));
    format!("the container `{names}` has the labels of `{ours}`")
}

impl Phase {
    /// By the words of Docker (`created` …) and those that podman has beyond them.
    fn of(state: &str) -> Self {
        match state {
            "created" | "configured" => Self::Made,
            "initialized" => Self::Initialized,
            "running" | "restarting" | "stopping" => Self::Alive,
            "paused" => Self::Paused,
            "exited" | "stopped" => Self::Ended,
            other => Self::Odd(other.to_owned()),
        }
    }

    /// Whether the list alone tells what there is to know.
    pub(super) fn needs_details(&self) -> bool {
        matches!(self, Self::Alive | Self::Paused | Self::Ended)
    }

    /// Whether it has processes that run for it.
    pub(super) fn has_processes(&self) -> bool {
        matches!(self, Self::Alive | Self::Paused | Self::Stray)
    }

    /// Whether the engine says that it has no process at all.
    pub(super) fn is_said_to_be_empty(&self) -> bool {
        matches!(self, Self::Made | Self::Ended)
    }
}

impl Inspected {
    pub(super) fn details(&self) -> Details {
        Details {
            started: seconds(&self.state.started_at),
            finished: seconds(&self.state.finished_at),
            code: i32::try_from(self.state.exit_code).unwrap_or(-1),
            is_out_of_memory: self.state.oom_killed,
        }
    }
}

impl InspectedImage {
    /// The user that it runs as where nobody says another one.
    pub(super) fn user(&self) -> &str {
        self.config.as_ref().map_or("", |config| config.user.as_str())
    }

    /// Bytes that it has on the disk.
    pub(super) fn size(&self) -> u64 {
        self.size
    }
}

impl Details {
    /// Whether it was killed and the engine does not say for what.
    pub(super) fn is_killed_for_no_reason(&self) -> bool {
        self.code == KILLED && !self.is_out_of_memory
    }
}

/// Seconds since 1970 of a time in RFC 3339; 0 where there is none, as for what never ended.
fn seconds(time: &str) -> i64 {
    time.parse::<Timestamp>().map_or(0, |time| time.as_second().max(0))
}

impl Ours {
    /// The instance. Without details it vanished, or could not be asked, since it was listed.
    pub(super) fn instance(self, details: Result<Option<Details>, String>) -> Instance {
        let state = match (&self.phase, details) {
            (Phase::Odd(word), _) => {
                InstanceState::Broken { reason: format!("the container is `{word}`") }
            }
            (Phase::Stray, _) => {
                let reason = "its engine has forgotten what runs of it".to_owned();
                InstanceState::Stray { reason }
            }
            // That it runs is known from the list, and only since when is not.
            (Phase::Alive, Err(_)) => InstanceState::Running { since: 0 },
            (Phase::Paused, Err(_)) => paused(0),
            (Phase::Made | Phase::Initialized, Err(reason)) => InstanceState::Broken { reason },
            (Phase::Ended, Err(reason)) => InstanceState::Unknown { reason },
            (Phase::Alive, Ok(Some(details))) => InstanceState::Running { since: details.started },
            (Phase::Paused, Ok(Some(details))) => paused(details.started),
            (Phase::Ended, Ok(Some(details))) => ended(&details),
            (
                Phase::Made | Phase::Initialized | Phase::Alive | Phase::Paused | Phase::Ended,
                Ok(_),
            ) => InstanceState::Made,
        };
        let Labels { uid, owner, hash, name, .. } = self.labels;
        let (kind, addresses) = (Kind::Container, self.addresses);
        Instance { uid, name, kind, owner, hash, state, addresses, lacks: None }
    }
}

/// No engine tells since when: the beginning of its run tells this one from another.
fn paused(started: i64) -> InstanceState {
    let reason = "somebody paused its container".to_owned();
    InstanceState::Paused { at: started, reason, may_resume: true }
}

fn ended(details: &Details) -> InstanceState {
    let note = match (details.is_out_of_memory, details.code) {
        (true, KILLED) => Some("killed: out of memory"),
        (true, _) => Some("out of memory: something in it was killed"),
        (false, KILLED) => Some("killed"),
        (false, _) => None,
    };
    let (code, at) = (Some(details.code), details.finished);
    InstanceState::Ended { code, at, note: note.map(str::to_owned) }
}

#[cfg(test)]
mod tests;
