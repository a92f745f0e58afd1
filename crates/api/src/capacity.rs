//! What a host has to give, and what its release can do.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rollout::OsUpdate;
use crate::workload::Cpus;

/// What a host has to give to workloads, its own needs taken off.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Capacity {
    /// Processors.
    #[serde(with = "number")]
    #[schemars(with = "f64")]
    pub cpus: Cpus,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk for workloads in MiB: the whole file system that they lie on.
    pub disk_mib: u64,
    /// Of it, free now.
    pub disk_free_mib: u64,
    /// Devices that workloads may want, by path, as `/dev/kvm`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
    /// What workloads set aside of it now, the host's own local ones among them.
    #[serde(default)]
    pub taken: Taken,
}

/// What workloads set aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Taken {
    /// Processors.
    #[serde(with = "number")]
    #[schemars(with = "f64")]
    pub cpus: Cpus,
    /// Memory in MiB.
    pub memory_mib: u64,
}

/// What a host is, as far as placement and operators care.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostFacts {
    /// What it has to give.
    pub capacity: Capacity,
    /// The operating system's version, slot and state.
    pub os: OsFacts,
    /// Labels from the host's own configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// The system that a host booted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OsFacts {
    /// The image's name, as `base`.
    #[serde(default)]
    pub image: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// The commit that it was booted from.
    #[serde(default)]
    pub commit: Option<String>,
    /// The slot.
    #[serde(default)]
    pub slot: Option<String>,
    /// `blessed`, `trial` or `unknown`.
    #[serde(default)]
    pub boot: String,
    /// `ready` or `degraded`.
    #[serde(default)]
    pub state: String,
    /// What is wrong, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// How far it is with the release that its set names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub update: Option<OsUpdate>,
}

/// Processors that may also be none, as on a host that runs nothing; no workload may ask for none.
mod number {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::workload::Cpus;

    pub(super) fn serialize<S: Serializer>(cpus: &Cpus, out: S) -> Result<S::Ok, S::Error> {
        cpus.serialize(out)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(inner: D) -> Result<Cpus, D::Error> {
        let number = f64::deserialize(inner)?;
        if number == 0.0 {
            return Ok(Cpus::default());
        }
        Cpus::try_from(number).map_err(D::Error::custom)
    }
}

/// What a release can do beyond the first one. A workload that needs a feature which its host does
/// not name is refused for that host.
pub mod feature {
    /// It runs containers.
    pub const CONTAINER: &str = "container";
    /// It runs virtual machines.
    pub const VM: &str = "vm";
    /// It hands secrets to workloads.
    pub const SECRETS: &str = "secrets";
    /// It sends the end of a workload's log when the endpoint asks for it.
    pub const LOGS: &str = "logs";
    /// It takes the release that its set names.
    pub const OS: &str = "os";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_runs_nothing_can_say_so() {
        let facts = HostFacts::default();
        let text = serde_json::to_string(&facts).unwrap();
        assert_eq!(serde_json::from_str::<HostFacts>(&text).unwrap(), facts);
        assert!(serde_json::from_str::<Taken>(r#"{"cpus": -1, "memory_mib": 0}"#).is_err());
    }
}
