//! What a container may say.

use std::collections::HashSet;

use super::{Found, is_path};
use crate::workload::{Container, Network, Port, SecretUse, Volume};

/// Entries that a list may have.
const MAX_ENTRIES: usize = 256;
/// Bytes of arguments and variables together; the kernel takes not much more (execve(2)).
const MAX_ARGUMENT_BYTES: usize = 128 << 10;

impl Found {
    pub(super) fn container(&mut self, container: &Container) {
        if !is_image(&container.image) {
            let hint = "as `registry.example:5000/web:3` or `…/web@sha256:…`";
            self.add("container.image", "this is no image", hint);
        }
        self.arguments(container);
        self.secrets(&container.secrets);
        self.ports(container.network, &container.ports);
        self.volumes(&container.volumes);
        for (number, device) in container.devices.iter().enumerate() {
            let paths = [Some(&device.host), device.path.as_ref()];
            if paths.into_iter().flatten().any(|path| !path.starts_with("/dev/") || !is_path(path))
            {
                self.add(format!("container.devices.{number}"), "paths are below `/dev/`", "");
            }
        }
        if container.working_dir.as_ref().is_some_and(|path| !is_path(path)) {
            self.add("container.working_dir", "this is no absolute path without `..`", "");
        }
        if container.user.as_ref().is_some_and(|user| !is_user(user)) {
            self.add("container.user", "this is no user", "as `1000`, `1000:1000` or `www-data`");
        }
        if container.pids_limit == Some(0) {
            self.add("container.pids_limit", "with 0 nothing could start", "");
        }
        self.grace("container.stop_grace_s", container.stop_grace_s);
    }

    fn arguments(&mut self, container: &Container) {
        let arguments = container.entrypoint.iter().chain(&container.command);
        let variables = container.environment.iter();
        let bytes = arguments.clone().map(String::len).sum::<usize>()
            + variables.clone().map(|(key, value)| key.len() + value.len()).sum::<usize>();
        if bytes > MAX_ARGUMENT_BYTES {
            let message = format!("command and environment have over {MAX_ARGUMENT_BYTES} bytes");
            self.add("container", &message, "hand large data over in a volume");
        }
        if arguments.clone().any(|argument| argument.contains('\0')) {
            self.add("container.command", "an argument has a zero byte", "");
        }
        for (key, value) in variables {
            if !is_variable(key) || value.contains('\0') {
                let path = format!("container.environment.{key}");
                self.add(path, "this is no name of a variable", "");
            }
        }
    }

    fn secrets(&mut self, secrets: &[SecretUse]) {
        let mut targets = HashSet::new();
        for (number, secret) in secrets.iter().enumerate() {
            let path = format!("container.secrets.{number}");
            match (&secret.path, &secret.variable) {
                (Some(_), Some(_)) => self.add(&path, "either `path` or `variable`", ""),
                (Some(file), None) if !is_path(file) => {
                    self.add(&path, "this is no absolute path without `..`", "");
                }
                (None, Some(name)) if !is_variable(name) => {
                    self.add(&path, "this is no name of a variable", "");
                }
                _ => (),
            }
            let default = format!("/run/secrets/{}", secret.name);
            let target = secret.path.as_ref().or(secret.variable.as_ref()).unwrap_or(&default);
            if !targets.insert(target.clone()) {
                self.add(path, &format!("`{target}` is taken by another secret"), "");
            }
        }
        self.length("container.secrets", secrets.len());
    }

    fn ports(&mut self, network: Network, ports: &[Port]) {
        if network != Network::Bridge && !ports.is_empty() {
            let hint = "with `host` every port is the host's";
            self.add("container.ports", "only for `network = \"bridge\"`", hint);
        }
        let mut taken = HashSet::new();
        for (number, port) in ports.iter().enumerate() {
            let path = format!("container.ports.{number}");
            if port.host == 0 || port.container == 0 {
                self.add(&path, "a port is 1 to 65535", "");
            }
            if !taken.insert((port.address, port.host, port.protocol)) {
                let (number, protocol) = (port.host, port.protocol.as_str());
                let message =
                    format!("port {number}/{protocol} of the host is taken by another entry");
                self.add(format!("{path}.host"), &message, "");
            }
        }
        self.length("container.ports", ports.len());
    }

    fn volumes(&mut self, volumes: &[Volume]) {
        let mut paths = HashSet::new();
        for (number, volume) in volumes.iter().enumerate() {
            let path = format!("container.volumes.{number}");
            if !is_path(&volume.path) || volume.path == "/" {
                let path = format!("{path}.path");
                self.add(path, "this is no absolute path without `..`", "");
            }
            if volume.name.is_some() == volume.host.is_some() {
                self.add(&path, "either `name` or `host` says what is mounted", "");
            }
            if volume.host.as_ref().is_some_and(|host| !is_path(host)) {
                let path = format!("{path}.host");
                self.add(path, "this is no absolute path without `..`", "");
            }
            if !paths.insert(&volume.path) {
                self.add(path, "something else is mounted there", "");
            }
        }
        self.length("container.volumes", volumes.len());
    }

    fn length(&mut self, path: &str, entries: usize) {
        if entries > MAX_ENTRIES {
            self.add(path, &format!("at most {MAX_ENTRIES} entries"), "");
        }
    }
}

/// Whether engines take it for an image's reference (the grammar of distribution/reference).
fn is_image(text: &str) -> bool {
    let is_good = |c: u8| c.is_ascii_alphanumeric() || b"._-/:@".contains(&c);
    let begins_well = text.bytes().next().is_some_and(|c| c.is_ascii_alphanumeric());
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let is_digest = |digest: &str| digest.strip_prefix("sha256:").is_some_and(super::is_sha256);
    begins_well
        && text.len() <= 512
        && text.bytes().all(is_good)
        && !name.contains("//")
        && !name.ends_with(['/', ':'])
        && digest.is_none_or(is_digest)
}

fn is_variable(text: &str) -> bool {
    (1..=256).contains(&text.len()) && !text.contains(['=', '\0', '\n'])
}

fn is_user(text: &str) -> bool {
    let is_good = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() <= 2
        && parts.iter().all(|part| {
            (1..=64).contains(&part.len()) && part.bytes().all(is_good) && !part.starts_with('-')
        })
}
