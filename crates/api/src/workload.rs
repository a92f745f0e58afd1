//! What somebody wants to run: one spec, whatever its kind.
//!
//! On the wire unknown fields are ignored; in files that people write they are mistakes
//! (`basalt_document` sees to it). Absent fields have a default, and only what differs from it is
//! written, so that a later default or field changes nothing that runs.

mod container;
mod private;
mod resources;
pub(crate) mod unread;
mod vm;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::Name;

pub use container::{Container, Device, Network, Port, Protocol, SecretUse, Volume};
pub use private::Seal;
pub use resources::{Cpus, Resources};
pub use unread::Unread;
pub use vm::{DiskFormat, Firmware, Vm, VmDisk, VmNetwork};

/// What somebody wants to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadSpec {
    /// Its name, unique where it is applied
    pub name: Name,
    /// What it is
    pub kind: Kind,
    /// Words to find it by
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
    /// Who goes first when there is not room for all; higher goes first
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: i32,
    /// What follows when it ends by itself
    #[serde(default, skip_serializing_if = "is_default")]
    pub restart: Restart,
    /// What it may take and what is set aside for it
    #[serde(default, skip_serializing_if = "is_default")]
    pub resources: Resources,
    /// Which hosts it may run on; any with room when nothing is said
    #[serde(default, skip_serializing_if = "is_default")]
    pub placement: Placement,
    /// What a host does with it when it hears nothing from the endpoint
    #[serde(default, skip_serializing_if = "is_default")]
    pub disconnect: Disconnect,
    /// For `kind = "container"`
    #[serde(default, skip_serializing_if = "is_default")]
    pub container: Option<Container>,
    /// For `kind = "vm"`
    #[serde(default, skip_serializing_if = "is_default")]
    pub vm: Option<Vm>,
    /// Of another release, and not understood by this one but for name and kind; only within a
    /// set or a ledger
    #[serde(skip)]
    #[schemars(skip)]
    pub unread: Option<Box<Unread>>,
}

/// What a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A container
    Container,
    /// A virtual machine
    Vm,
    /// One that this release does not know; it is never run
    #[serde(other)]
    #[schemars(skip)]
    Unknown,
}

/// What follows when a workload ends by itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// It is started again
    #[default]
    Always,
    /// It is started again unless it ended with 0
    OnFailure,
    /// It has finished
    Never,
}

/// Which hosts a workload may run on. All conditions hold at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placement {
    /// The one host, by name
    #[serde(default, skip_serializing_if = "is_default")]
    pub host: Option<Name>,
    /// Labels that the host must have
    #[serde(default, skip_serializing_if = "is_default")]
    pub labels: BTreeMap<String, String>,
}

/// What a host does with a workload while it hears nothing from the endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disconnect {
    /// What happens
    #[serde(default, skip_serializing_if = "is_default")]
    pub policy: DisconnectPolicy,
    /// After how many seconds; for `stop_after` and `replace_after`
    #[serde(default, skip_serializing_if = "is_default")]
    pub after_s: Option<u32>,
}

/// What happens to a workload whose host hears nothing from the endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisconnectPolicy {
    /// It goes on, and starts from the ledger after a reboot
    #[default]
    Keep,
    /// The host stops it after `after_s`, and starts it again when it hears from the endpoint
    StopAfter,
    /// As `stop_after`, and the endpoint then starts it elsewhere
    ReplaceAfter,
}

/// The part of a spec that its kind is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body<'a> {
    /// A container.
    Container(&'a Container),
    /// A virtual machine.
    Vm(&'a Vm),
}

/// What stands in the place of a value that is not shown.
pub const HIDDEN: &str = "(only root sees this)";

impl WorkloadSpec {
    /// One that says nothing more.
    #[must_use]
    pub fn empty(name: Name, kind: Kind) -> Self {
        Self {
            name,
            kind,
            labels: BTreeMap::new(),
            priority: 0,
            restart: Restart::default(),
            resources: Resources::default(),
            placement: Placement::default(),
            disconnect: Disconnect::default(),
            container: None,
            vm: None,
            unread: None,
        }
    }

    /// The part that its kind is about; none where it is missing or the kind is unknown, which
    /// [`crate::validate::mistakes`] tells.
    #[must_use]
    pub fn body(&self) -> Option<Body<'_>> {
        match self.kind {
            Kind::Container => self.container.as_ref().map(Body::Container),
            Kind::Vm => self.vm.as_ref().map(Body::Vm),
            Kind::Unknown => None,
        }
    }

    /// The same without what may be a secret although it is not declared as one: values of the
    /// environment and user-data, each replaced by [`HIDDEN`].
    #[must_use]
    pub fn without_values(mut self) -> Self {
        let hidden = || HIDDEN.to_owned();
        if let Some(container) = &mut self.container {
            container.environment.values_mut().for_each(|value| *value = hidden());
        }
        if let Some(vm) = &mut self.vm {
            vm.user_data = vm.user_data.take().map(|_| hidden());
        }
        self
    }

    /// The secrets that it uses, by name, without doubles.
    #[must_use]
    pub fn secrets(&self) -> Vec<&Name> {
        let mut names: Vec<&Name> = match self.body() {
            Some(Body::Container(container)) => {
                container.secrets.iter().map(|secret| &secret.name).collect()
            }
            // Beside what is sealed stands no name.
            Some(Body::Vm(_)) if self.is_sealed() => Vec::new(),
            Some(Body::Vm(vm)) => vm.user_data_secret.iter().collect(),
            None => Vec::new(),
        };
        names.sort();
        names.dedup();
        names
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Container => "container",
            Self::Vm => "vm",
            Self::Unknown => "unknown",
        })
    }
}

pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_read_and_write_back_the_same() {
        for text in [
            include_str!("../examples/workload-container.json"),
            include_str!("../examples/workload-vm.json"),
        ] {
            let spec: WorkloadSpec = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string_pretty(&spec).unwrap(), text.trim_end());
            assert_eq!(crate::validate::mistakes(&spec), []);
        }
    }

    #[test]
    fn a_spec_without_values_keeps_their_names() {
        let text = r##"{"name":"a","kind":"vm","container":{"image":"b","environment":{"K":"canary"}},
            "vm":{"disk":{"url":"http://x","sha256":"0","format":"raw"},"user_data":"#canary"}}"##;
        let spec: WorkloadSpec = serde_json::from_str(text).unwrap();
        let shown = serde_json::to_string(&spec.without_values()).unwrap();
        assert!(!shown.contains("canary"), "{shown}");
        let expected = [r#""K":"(only root sees this)""#, r#""user_data":"(only root sees this)""#];
        assert!(expected.iter().all(|part| shown.contains(part)), "{shown}");
    }

    #[test]
    fn only_what_differs_from_the_default_is_written() {
        let text = r#"{"name":"a","kind":"container","container":{"image":"b"}}"#;
        let spec: WorkloadSpec = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&spec).unwrap(), text);
    }

    #[test]
    fn a_kind_or_field_of_a_later_release_is_no_reason_to_lose_the_set() {
        let text = r#"{"name":"a","kind":"function","function":{},"colour":"red"}"#;
        let spec: WorkloadSpec = serde_json::from_str(text).unwrap();
        assert_eq!((spec.kind, spec.body()), (Kind::Unknown, None));
    }
}
