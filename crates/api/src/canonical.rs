//! What makes a running workload another one: a hash over the fields that cannot change in place.
//!
//! The form is versioned and has golden hashes. Absent fields and defaults do not enter it, so
//! that a release with a new field or default replaces nothing that runs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::id::Name;
use crate::workload::{Body, Container, Kind, Resources, Vm, WorkloadSpec};

/// The version that begins every hash.
pub const FORM: u32 = 1;

/// The fields that force a replacement. Those that are not here are the host's own business and
/// live in its ledger: labels, priority, restart, placement, disconnect, grace periods.
#[derive(Serialize)]
struct Fixed<'a> {
    name: &'a Name,
    kind: Kind,
    #[serde(skip_serializing_if = "crate::workload::is_default")]
    resources: Resources,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<Container>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vm: Option<Vm>,
    /// Versions of the secrets that it uses: a new one is a reason to start anew.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    secrets: BTreeMap<&'a Name, u64>,
}

/// The hash of what forces a replacement, as `1-` and 64 hex digits. `secret_versions` are those
/// of the set; others than the spec's own do not enter.
#[must_use]
pub fn replacement_hash(spec: &WorkloadSpec, secret_versions: &BTreeMap<Name, u64>) -> String {
    let (container, vm) = match spec.body() {
        Some(Body::Container(container)) => {
            (Some(Container { stop_grace_s: None, ..container.clone() }), None)
        }
        Some(Body::Vm(vm)) => (None, Some(Vm { stop_grace_s: None, ..vm.clone() })),
        None => (None, None),
    };
    let version = |name: &'_ &Name| secret_versions.get(*name).copied();
    let secrets = spec.secrets().into_iter().filter_map(|name| Some((name, version(&name)?)));
    let fixed = Fixed {
        name: &spec.name,
        kind: spec.kind,
        resources: spec.resources.clone(),
        container,
        vm,
        secrets: secrets.collect(),
    };
    format!("{FORM}-{}", hash(&fixed))
}

/// SHA-256 in hex of a value's canonical text.
#[must_use]
pub fn hash<T: Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    hex::encode(Sha256::digest(text(&value)))
}

/// The canonical text: JSON without blanks, keys in the order of their bytes. Numbers are as
/// `serde_json` writes them.
fn text(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        // A map's order depends on features of serde_json that any crate may switch on.
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            separated(out, ['{', '}'], sorted.into_iter(), |out, (key, value)| {
                let _ = write!(out, "{}:", Value::String(key.clone()));
                write(out, value);
            });
        }
        Value::Array(values) => separated(out, ['[', ']'], values.iter(), write),
        plain => {
            let _ = write!(out, "{plain}");
        }
    }
}

fn separated<T>(
    out: &mut String,
    [open, close]: [char; 2],
    items: impl Iterator<Item = T>,
    mut each: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (number, item) in items.enumerate() {
        if number > 0 {
            out.push(',');
        }
        each(out, item);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> WorkloadSpec {
        serde_json::from_str(include_str!("../examples/workload-container.json")).unwrap()
    }

    fn vm() -> WorkloadSpec {
        serde_json::from_str(include_str!("../examples/workload-vm.json")).unwrap()
    }

    fn versions(version: u64) -> BTreeMap<Name, u64> {
        BTreeMap::from([("db-password".parse().unwrap(), version)])
    }

    /// A change here replaces every workload of every host at its next update.
    #[test]
    fn the_hashes_of_the_examples_never_change() {
        assert_eq!(replacement_hash(&container(), &versions(1)), CONTAINER);
        assert_eq!(replacement_hash(&vm(), &BTreeMap::new()), VM);
    }

    const CONTAINER: &str = "1-8fb09bfb301eef518013a4b457d6e29d706919430b35625260197edf0216c96b";
    const VM: &str = "1-e7064559d92faa45ad5c587e9bc67aecbb2990d7f717259447e83b8dceeae658";

    #[test]
    fn what_changes_in_place_does_not_enter() {
        let hash = |change: fn(&mut WorkloadSpec)| {
            let mut spec = container();
            change(&mut spec);
            replacement_hash(&spec, &versions(1))
        };
        let same = hash(|_| ());
        assert_eq!(hash(|spec| spec.priority = 9), same);
        assert_eq!(hash(|spec| spec.labels.clear()), same);
        assert_eq!(hash(|spec| spec.container.as_mut().unwrap().stop_grace_s = Some(3)), same);
        assert_ne!(hash(|spec| spec.resources.memory_mib = Some(1)), same);
        assert_ne!(hash(|spec| spec.container.as_mut().unwrap().read_only = true), same);
    }

    #[test]
    fn a_new_version_of_a_secret_replaces_only_what_uses_it() {
        assert_ne!(
            replacement_hash(&container(), &versions(1)),
            replacement_hash(&container(), &versions(2))
        );
        assert_eq!(replacement_hash(&vm(), &versions(1)), replacement_hash(&vm(), &versions(2)));
    }

    #[test]
    fn the_canonical_text_has_sorted_keys_and_no_blanks() {
        let value = serde_json::json!({ "b": [1, "x\n"], "a": { "d": null, "c": 0.5 } });
        assert_eq!(text(&value), r#"{"a":{"c":0.5,"d":null},"b":[1,"x\n"]}"#);
    }
}
