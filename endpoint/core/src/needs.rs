//! What a workload needs of a host.

use std::collections::BTreeSet;
use std::net::IpAddr;

use basalt_api::capacity::feature;
use basalt_api::workload::{Body, Network, Port, Protocol, WorkloadSpec};

/// Bytes around a spec in a set, without secrets: its uid and names of fields, rounded up.
const AROUND: usize = 128;
/// Bytes of a secret's name and version: the longest of each, and what is around them.
const SECRET: usize = 96;

/// A port of a host that a workload takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostPort {
    number: u16,
    protocol: Protocol,
    /// All of the host's where none is named.
    address: Option<IpAddr>,
}

/// What a workload needs of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Thousandths of processors.
    pub milli_cpus: u64,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// What the host's release must be able to do.
    pub features: BTreeSet<&'static str>,
    /// Devices.
    pub devices: BTreeSet<String>,
    /// Ports.
    pub ports: Vec<HostPort>,
    /// Bytes that it takes in its host's set, not less.
    pub bytes: usize,
}

impl Needs {
    /// What `spec` needs.
    #[must_use]
    pub fn of(spec: &WorkloadSpec) -> Self {
        let mut needs = Self {
            milli_cpus: spec.resources.cpus.unwrap_or_default().milli().into(),
            memory_mib: spec.resources.memory_mib.unwrap_or(0),
            bytes: bytes(spec),
            ..Self::default()
        };
        match spec.body() {
            Some(Body::Container(container)) => {
                needs.features.insert(feature::CONTAINER);
                needs.devices =
                    container.devices.iter().map(|device| device.host.clone()).collect();
                if container.network == Network::Bridge {
                    needs.ports = container.ports.iter().map(HostPort::of).collect();
                }
            }
            Some(Body::Vm(_)) => {
                needs.features.insert(feature::VM);
            }
            None => (),
        }
        if !spec.secrets().is_empty() {
            needs.features.insert(feature::SECRETS);
        }
        needs
    }
}

/// The spec, and around it a uid and the versions of its secrets.
fn bytes(spec: &WorkloadSpec) -> usize {
    // What cannot be written cannot be sent either, so it fits nowhere.
    let spec_bytes = serde_json::to_vec(spec).map_or(usize::MAX >> 1, |text| text.len());
    spec_bytes + AROUND + spec.secrets().len() * SECRET
}

impl HostPort {
    fn of(port: &Port) -> Self {
        Self { number: port.host, protocol: port.protocol, address: port.address }
    }

    /// Whether both cannot be taken on one host.
    #[must_use]
    pub fn clashes(&self, other: &Self) -> bool {
        let is_same_address = match (self.address, other.address) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        };
        is_same_address && (self.number, self.protocol) == (other.number, other.protocol)
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.as_str())
    }
}
