//! What this host allows workloads, whoever asks. The endpoint cannot lift it.

use basalt_api::workload::{Body, Container, Vm, WorkloadSpec};

/// What workloads may have of the host. Nothing, unless its operator says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Folders of the host that may be mounted, or below which disk images may lie.
    pub host_paths: Vec<String>,
    /// Whether containers may be privileged.
    pub privileged: bool,
    /// Devices that containers may have, by path.
    pub devices: Vec<String>,
    /// Hosts (and `host:port`) from which images may be fetched although their address is the
    /// host's own, loopback or link-local.
    pub url_allow: Vec<String>,
}

impl Policy {
    /// Why a workload must not run here; none when it may.
    #[must_use]
    pub fn refusal(&self, spec: &WorkloadSpec) -> Option<String> {
        match spec.body()? {
            Body::Container(container) => self.container(container),
            Body::Vm(vm) => self.vm(vm),
        }
    }

    fn container(&self, container: &Container) -> Option<String> {
        if container.privileged && !self.privileged {
            return Some(denied("privileged containers", "privileged = true"));
        }
        for volume in &container.volumes {
            if let Some(path) = volume.host.as_deref().filter(|path| !self.allows_path(path)) {
                let key = format!("host_paths = [\"{path}\"]");
                return Some(denied(&format!("the host's path `{path}`"), &key));
            }
        }
        let device =
            container.devices.iter().find(|device| !self.devices.contains(&device.host))?;
        let key = format!("devices = [\"{}\"]", device.host);
        Some(denied(&format!("the device `{}`", device.host), &key))
    }

    fn vm(&self, vm: &Vm) -> Option<String> {
        let file = vm.disk.file.as_deref().filter(|file| !self.allows_path(file))?;
        Some(denied(&format!("the host's file `{file}`"), &format!("host_paths = [\"{file}\"]")))
    }

    /// Whether a path is one of the allowed ones or lies below it.
    fn allows_path(&self, path: &str) -> bool {
        self.host_paths.iter().any(|allowed| {
            let allowed = allowed.trim_end_matches('/');
            path.strip_prefix(allowed).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

fn denied(what: &str, key: &str) -> String {
    format!("this host does not allow {what} (hostd.toml: [policy] {key})")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(policy: &Policy, container: &Value, expected: Option<&str>) {
        let mut table = json!({ "image": "a" });
        table.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        let spec = json!({ "name": "x", "kind": "container", "container": table });
        let spec: WorkloadSpec = serde_json::from_value(spec).unwrap();
        let refusal = policy.refusal(&spec);
        match expected {
            None => assert_eq!(refusal, None),
            Some(words) => assert!(refusal.as_deref().unwrap().contains(words), "{refusal:?}"),
        }
    }

    #[test]
    fn nothing_of_the_host_is_allowed_unless_its_operator_says_so() {
        let none = Policy::default();
        check(&none, &json!({}), None);
        check(&none, &json!({ "privileged": true }), Some("privileged = true"));
        check(&none, &json!({ "devices": [{ "host": "/dev/kvm" }] }), Some("`/dev/kvm`"));
        let volume = json!({ "volumes": [{ "host": "/srv/a", "path": "/a" }] });
        check(&none, &volume, Some("host_paths = [\"/srv/a\"]"));
    }

    #[test]
    fn what_is_allowed_is_allowed_and_nothing_beside_it() {
        let policy = Policy {
            host_paths: vec!["/srv/".to_owned()],
            privileged: true,
            devices: vec!["/dev/kvm".to_owned()],
            url_allow: Vec::new(),
        };
        let volume = |path: &str| json!({ "volumes": [{ "host": path, "path": "/a" }] });
        check(&policy, &volume("/srv"), None);
        check(&policy, &volume("/srv/a"), None);
        check(&policy, &volume("/srvother"), Some("`/srvother`"));
        check(&policy, &json!({ "privileged": true }), None);
        check(&policy, &json!({ "devices": [{ "host": "/dev/fuse" }] }), Some("`/dev/fuse`"));
    }

    #[test]
    fn a_disk_image_of_the_host_is_a_path_of_the_host() {
        let text = include_str!("../../../crates/api/examples/workload-vm.json");
        let mut spec: WorkloadSpec = serde_json::from_str(text).unwrap();
        let policy = Policy { host_paths: vec!["/images".to_owned()], ..Policy::default() };
        assert_eq!(policy.refusal(&spec), None);
        let disk = &mut spec.vm.as_mut().unwrap().disk;
        (disk.url, disk.file) = (None, Some("/etc/shadow".to_owned()));
        assert!(policy.refusal(&spec).unwrap().contains("`/etc/shadow`"));
        spec.vm.as_mut().unwrap().disk.file = Some("/images/a.qcow2".to_owned());
        assert_eq!(policy.refusal(&spec), None);
    }
}
