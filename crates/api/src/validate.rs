//! What a spec may say, beyond its shape. The same rules hold for the tools of people, the
//! endpoint and the host.

mod container;
mod vm;

use std::collections::BTreeMap;
use std::fmt;

use crate::workload::{Body, DisconnectPolicy, Kind, Placement, WorkloadSpec};

/// Labels that a workload or host may have.
const MAX_LABELS: usize = 64;
/// Seconds that a grace period may have.
const MAX_GRACE_S: u32 = 3600;
/// Seconds after which a host may stop or give up a workload.
const AFTER_S: std::ops::RangeInclusive<u32> = 10..=604_800;
/// MiB that a workload may ask for: 64 TiB, more than any machine has.
const MAX_MEMORY_MIB: u64 = 64 << 20;

/// One thing that is wrong with a spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecMistake {
    /// Where, as keys and numbers with dots: `container.ports.0.host`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
}

/// Everything that is wrong with a spec; empty when it can be run somewhere.
#[must_use]
pub fn mistakes(spec: &WorkloadSpec) -> Vec<SpecMistake> {
    let mut found = Found::default();
    if let Some(unread) = &spec.unread {
        // Nothing else is known of it.
        found.add("spec", &unread.reason, "it is for another release");
        return found.mistakes;
    }
    if spec.is_sealed() {
        // What it says beside that is what is there for whoever knows nothing of sealing.
        found.add("vm.user_data", "it is sealed by a key that is gone", "apply it again");
        return found.mistakes;
    }
    found.kind(spec);
    found.labels("labels", spec.labels.iter());
    found.placement(&spec.placement);
    found.disconnect(spec);
    if let Some(memory) = spec.resources.memory_mib
        && !(4..=MAX_MEMORY_MIB).contains(&memory)
    {
        found.add("resources.memory_mib", "4 MiB to 64 TiB", "");
    }
    match spec.body() {
        Some(Body::Container(container)) => found.container(container),
        Some(Body::Vm(vm)) => found.vm(vm, &spec.resources),
        None => (),
    }
    found.mistakes
}

impl fmt::Display for SpecMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}

#[derive(Default)]
struct Found {
    mistakes: Vec<SpecMistake>,
}

impl Found {
    fn add(&mut self, path: impl Into<String>, message: &str, hint: &str) {
        let (path, message, hint) = (path.into(), message.to_owned(), hint.to_owned());
        self.mistakes.push(SpecMistake { path, message, hint });
    }

    fn kind(&mut self, spec: &WorkloadSpec) {
        let tables = [("container", spec.container.is_some()), ("vm", spec.vm.is_some())];
        let own = match spec.kind {
            Kind::Container => "container",
            Kind::Vm => "vm",
            Kind::Unknown => {
                return self.add("kind", "this kind is not known here", "`container` or `vm`");
            }
        };
        for (table, is_there) in tables {
            if table == own && !is_there {
                self.add(own, "the table is missing", "`kind` says that it is one");
            } else if table != own && is_there {
                self.add(table, &format!("a {own} has no such table"), "");
            }
        }
    }

    fn labels<'a>(
        &mut self,
        path: &str,
        labels: impl ExactSizeIterator<Item = (&'a String, &'a String)>,
    ) {
        if labels.len() > MAX_LABELS {
            self.add(path, &format!("more than {MAX_LABELS} labels"), "");
        }
        for (key, value) in labels {
            if !is_label(key, value) {
                let hint = "letters, digits, `.`, `_`, `-`, `/`, at most 128 characters";
                self.add(format!("{path}.{key}"), "this is no label", hint);
            }
        }
    }

    fn placement(&mut self, placement: &Placement) {
        self.labels("placement.labels", placement.labels.iter());
    }

    fn disconnect(&mut self, spec: &WorkloadSpec) {
        let wants_time = spec.disconnect.policy != DisconnectPolicy::Keep;
        match spec.disconnect.after_s {
            None if wants_time => {
                self.add("disconnect.after_s", "the policy needs it", "seconds, as 300");
            }
            Some(_) if !wants_time => {
                self.add("disconnect.after_s", "only for `stop_after` and `replace_after`", "");
            }
            Some(after) if !AFTER_S.contains(&after) => {
                self.add("disconnect.after_s", "10 seconds to 7 days", "");
            }
            _ => (),
        }
    }

    fn grace(&mut self, path: &str, grace_s: Option<u32>) {
        if grace_s.is_some_and(|grace| grace > MAX_GRACE_S) {
            self.add(path, &format!("at most {MAX_GRACE_S} seconds"), "");
        }
    }
}

/// Whether these can be labels of a host or workload.
#[must_use]
pub fn are_labels(labels: &BTreeMap<String, String>) -> bool {
    labels.len() <= MAX_LABELS && labels.iter().all(|(key, value)| is_label(key, value))
}

/// Whether this can be one label.
#[must_use]
pub fn is_label(key: &str, value: &str) -> bool {
    is_word(key, 1) && is_word(value, 0)
}

fn is_word(text: &str, at_least: usize) -> bool {
    let is_good = |c: u8| c.is_ascii_alphanumeric() || b"._-/".contains(&c);
    (at_least..=128).contains(&text.len()) && text.bytes().all(is_good)
}

/// Whether it is an absolute path without `..`, doubled slashes and control characters.
fn is_path(text: &str) -> bool {
    text.len() <= 1024
        && text.starts_with('/')
        && !text.contains("//")
        && !text.chars().any(char::is_control)
        && text.split('/').all(|part| part != ".." && part != ".")
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Checks the container example with `value` laid over it.
    fn check(value: Value, expected: &[&str]) {
        check_over(include_str!("../examples/workload-container.json"), value, expected);
    }

    /// Checks the VM example with `value` laid over it.
    fn check_vm(value: Value, expected: &[&str]) {
        check_over(include_str!("../examples/workload-vm.json"), value, expected);
    }

    fn check_over(example: &str, value: Value, expected: &[&str]) {
        let mut spec: Value = serde_json::from_str(example).unwrap();
        lay_over(&mut spec, value);
        let spec: WorkloadSpec = serde_json::from_value(spec).unwrap();
        let found: Vec<String> = mistakes(&spec).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    fn lay_over(base: &mut Value, value: Value) {
        match (base, value) {
            (Value::Object(base), Value::Object(value)) => {
                for (key, value) in value {
                    lay_over(base.entry(key).or_insert(Value::Null), value);
                }
            }
            (base, value) => *base = value,
        }
    }

    #[test]
    fn the_table_must_be_that_of_the_kind() {
        check(
            json!({ "kind": "vm" }),
            &[
                "container: a vm has no such table",
                "vm: the table is missing (`kind` says that it is one)",
            ],
        );
        check(
            json!({ "kind": "function" }),
            &["kind: this kind is not known here (`container` or `vm`)"],
        );
    }

    #[test]
    fn a_time_belongs_to_the_policies_that_have_one() {
        let after = |policy: &str, after: Value| json!({ "disconnect": { "policy": policy, "after_s": after } });
        check(
            after("keep", json!(60)),
            &["disconnect.after_s: only for `stop_after` and `replace_after`"],
        );
        check(
            after("stop_after", json!(null)),
            &["disconnect.after_s: the policy needs it (seconds, as 300)"],
        );
        check(after("replace_after", json!(1)), &["disconnect.after_s: 10 seconds to 7 days"]);
    }

    #[test]
    fn ports_and_volumes_are_checked_one_by_one() {
        check(
            json!({ "container": {
                "ports": [{ "host": 80, "container": 80 }, { "host": 80, "container": 81 }],
                "volumes": [{ "path": "/a/../b", "name": "x" }, { "path": "/b" }],
            }}),
            &[
                "container.ports.1.host: port 80/tcp of the host is taken by another entry",
                "container.volumes.0.path: this is no absolute path without `..`",
                "container.volumes.1: either `name` or `host` says what is mounted",
            ],
        );
    }

    #[test]
    fn ports_need_a_bridge() {
        check(
            json!({ "container": { "network": "host" } }),
            &[
                "container.ports: only for `network = \"bridge\"` (with `host` every port is the host's)",
            ],
        );
    }

    #[test]
    fn what_is_no_image_or_variable_is_refused() {
        check(
            json!({ "container": { "image": "-v /:/x", "environment": { "A=B": "c" } } }),
            &[
                "container.image: this is no image (as `registry.example:5000/web:3` or `…/web@sha256:…`)",
                "container.environment.A=B: this is no name of a variable",
            ],
        );
    }

    #[test]
    fn a_vm_has_whole_processors_memory_and_one_source() {
        check_vm(
            json!({ "resources": { "cpus": 1.5, "memory_mib": null },
                    "vm": { "disk": { "file": "/x", "sha256": "AB" }, "user_data_secret": "s" } }),
            &[
                "resources.cpus: a virtual machine has whole processors, at most 512",
                "resources.memory_mib: a virtual machine must say how much memory it has",
                "vm.disk: either `url` or `file` says where the image is",
                "vm.disk.sha256: this is no SHA-256 (64 lower-case hex digits)",
                "vm.user_data_secret: there is `user_data` already",
            ],
        );
    }

    #[test]
    fn an_image_comes_by_http_only() {
        for url in ["ftp://x/y", "file:///etc/shadow", "http://", "http://a b/"] {
            check_vm(
                json!({ "vm": { "disk": { "url": url } } }),
                &["vm.disk.url: this is no `http://` or `https://` URL"],
            );
        }
    }
}
