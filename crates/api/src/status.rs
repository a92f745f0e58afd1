//! How a host is: what `GET /v1/status` answers and `hostctl status --json` prints.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::problem::Problem;

/// How a host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// The host's name.
    pub hostname: String,
    /// Ready, or what keeps it from being so.
    pub state: State,
    /// The image's name, as `base`.
    pub image: String,
    /// The release's version.
    pub version: String,
    /// Hash of everything that the release was built from, 64 hex digits.
    pub build_id: String,
    /// `signed` or `unsigned`.
    pub release: String,
    /// The checksum of the OSTree commit that was booted; none where the root is no deployment.
    #[serde(default)]
    pub commit: Option<String>,
    /// The slot that was booted, `a` or `b`; none where the root is in no slot.
    #[serde(default)]
    pub slot: Option<String>,
    /// Whether the boot has proved itself.
    pub boot: Boot,
    /// Boots that a release on trial may still try after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries_left: Option<u32>,
    /// Seconds since the kernel started.
    pub uptime_s: u64,
    /// The host's own addresses, without those of its containers and guests.
    pub addresses: Vec<Address>,
    /// How often the ledger has been written; none when it cannot be read.
    #[serde(default)]
    pub ledger_sequence: Option<u64>,
    /// How it stands with the endpoint; none where this host has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<EndpointStatus>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// How it stands between a host and its endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// How it is.
    pub state: EndpointState,
    /// This host's name there.
    #[serde(default)]
    pub name: Option<String>,
    /// Why it is so.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Whether a host hears from its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// It has a join string and is not enrolled yet.
    Joining,
    /// It is answered.
    Connected,
    /// It is not answered; what is in the ledger goes on.
    Away,
    /// It is answered and told nothing new, until an operator decides.
    Frozen,
    /// Its state was made on another machine; nothing is started from it.
    Copy,
    /// One that this release does not know.
    #[serde(other)]
    Unknown,
}

/// An address of the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// The network interface, as `ens3`.
    pub interface: String,
    /// The address without a prefix length.
    pub address: String,
}

/// What a host is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing is wrong.
    Ready,
    /// It works, and something is wrong.
    Degraded,
}

/// Whether the boot has proved itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boot {
    /// The loader boots this release from now on.
    Blessed,
    /// The release has not proved itself; a failure leads back to the other one.
    Trial,
    /// The loader's traces cannot be read.
    Unknown,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
        })
    }
}

impl fmt::Display for EndpointState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Connected => "connected",
            Self::Away => "away",
            Self::Frozen => "frozen",
            Self::Copy => "none: this is a copy of another machine's state",
            Self::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blessed => "blessed",
            Self::Trial => "on trial",
            Self::Unknown => "blessed or not is unknown",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_on_the_wire_is_stable() {
        let text = include_str!("../examples/status.json");
        let status: HostStatus = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string_pretty(&status).unwrap(), text.trim_end());
    }
}
