//! Containers.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::is_default;
use crate::id::Name;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Container {
    /// The image, by tag or digest: `registry.example:5000/web:3`, `docker.io/library/web@sha256:…`
    pub image: String,
    /// Instead of the image's own entrypoint
    #[serde(default, skip_serializing_if = "is_default")]
    pub entrypoint: Vec<String>,
    /// Instead of the image's own command
    #[serde(default, skip_serializing_if = "is_default")]
    pub command: Vec<String>,
    /// Variables, readable by whoever may look at the workload: no place for secrets
    #[serde(default, skip_serializing_if = "is_default")]
    pub environment: BTreeMap<String, String>,
    /// Secrets that it gets, as files or variables
    #[serde(default, skip_serializing_if = "is_default")]
    pub secrets: Vec<SecretUse>,
    /// User, as `1000`, `1000:1000` or a name of the image's
    #[serde(default, skip_serializing_if = "is_default")]
    pub user: Option<String>,
    /// Folder that it starts in
    #[serde(default, skip_serializing_if = "is_default")]
    pub working_dir: Option<String>,
    /// Its network
    #[serde(default, skip_serializing_if = "is_default")]
    pub network: Network,
    /// Ports of the host that lead into it; for `network = "bridge"`
    #[serde(default, skip_serializing_if = "is_default")]
    pub ports: Vec<Port>,
    /// What is mounted in it
    #[serde(default, skip_serializing_if = "is_default")]
    pub volumes: Vec<Volume>,
    /// Devices of the host that it may use; the host's policy must allow them
    #[serde(default, skip_serializing_if = "is_default")]
    pub devices: Vec<Device>,
    /// Processes and threads that it may have
    #[serde(default, skip_serializing_if = "is_default")]
    pub pids_limit: Option<u32>,
    /// Whether its root file system is read-only
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
    /// Whether it has every privilege of the host; the host's policy must allow it
    #[serde(default, skip_serializing_if = "is_default")]
    pub privileged: bool,
    /// Seconds between asking it to end and killing it [default: 10]
    #[serde(default, skip_serializing_if = "is_default")]
    pub stop_grace_s: Option<u32>,
}

/// A secret as a container gets it: as a file, or as a variable where one is named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretUse {
    /// The secret
    pub name: Name,
    /// File on tmpfs that holds it, read-only [default: `/run/secrets/NAME`]
    #[serde(default, skip_serializing_if = "is_default")]
    pub path: Option<String>,
    /// Variable that holds it instead; whoever may look at the container sees it
    #[serde(default, skip_serializing_if = "is_default")]
    pub variable: Option<String>,
}

/// The network of a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A network of the host's containers, behind its address
    #[default]
    Bridge,
    /// The host's own
    Host,
    /// Nothing but loopback
    None,
}

/// A port of the host that leads into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Port {
    /// Port of the host
    pub host: u16,
    /// Port in the container
    pub container: u16,
    /// Its protocol
    #[serde(default, skip_serializing_if = "is_default")]
    pub protocol: Protocol,
    /// The host's address [default: all of them]
    #[serde(default, skip_serializing_if = "is_default")]
    pub address: Option<std::net::IpAddr>,
}

/// The protocol of a port.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// TCP
    #[default]
    Tcp,
    /// UDP
    Udp,
}

/// Something that is mounted in a container: a volume by name, or a path of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Volume {
    /// A volume of this workload on its host; it stays when the container is replaced
    #[serde(default, skip_serializing_if = "is_default")]
    pub name: Option<Name>,
    /// A path of the host; its policy must allow it
    #[serde(default, skip_serializing_if = "is_default")]
    pub host: Option<String>,
    /// Where it is mounted
    pub path: String,
    /// Whether it cannot be written there
    #[serde(default, skip_serializing_if = "is_default")]
    pub read_only: bool,
}

/// A device of the host, as a container sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Device {
    /// Its path on the host, as `/dev/kvm`
    pub host: String,
    /// Its path in the container [default: the same]
    #[serde(default, skip_serializing_if = "is_default")]
    pub path: Option<String>,
}

impl Network {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Host => "host",
            Self::None => "none",
        }
    }
}

impl Protocol {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}
