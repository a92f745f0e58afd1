//! One file of the configuration, as a person writes it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use basalt_api::virt::Accel;
use basalt_document::{DocumentError, Mistake, Source, parse_toml};
use basalt_log::Filter;
use basalt_window::Window;
use hostd_core::policy::Policy;
use serde::Deserialize;
use toml::Spanned;

use super::{Config, Machines, Updates};
use crate::registries;
use crate::server::remote::Listen;

/// systemd's watchdog ends a `hostd` that is silent for 30 s, and a round itself may take 15 s:
/// `systemctl` 10, `agetty` 5.
const ROUND_S: RangeInclusive<u64> = 1..=10;
/// `basalt-gate.service` ends the gate after 4 minutes.
const DEADLINE_S: RangeInclusive<u64> = 1..=210;

/// What a file may say; everything may be left out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Layer {
    log: Option<Spanned<String>>,
    round_interval_s: Option<Spanned<u64>>,
    #[serde(default)]
    gate: Gate,
    labels: Option<BTreeMap<String, String>>,
    endpoints: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    policy: PolicyTable,
    #[serde(default)]
    containers: Containers,
    #[serde(default)]
    machines: MachinesTable,
    #[serde(default)]
    registries: registries::Written,
    listen: Option<ListenTable>,
    #[serde(default)]
    updates: UpdatesTable,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdatesTable {
    url: Option<Spanned<String>>,
    ca: Option<Spanned<PathBuf>>,
    tries: Option<Spanned<u32>>,
    windows: Option<Vec<Spanned<String>>>,
}

/// All of it or nothing: half of it would be a port without a lock.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenTable {
    address: SocketAddr,
    certificate: Spanned<PathBuf>,
    key: Spanned<PathBuf>,
    client_ca: Spanned<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    host_paths: Option<Vec<Spanned<String>>>,
    privileged: Option<bool>,
    devices: Option<Vec<Spanned<String>>>,
    url_allow: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Containers {
    socket: Option<Spanned<PathBuf>>,
    certs_d: Option<Spanned<PathBuf>>,
    max_image_gib: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct MachinesTable {
    uri: Option<String>,
    accel: Option<Accel>,
    max_image_gib: Option<Spanned<u32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Gate {
    required_units: Option<Vec<Spanned<String>>>,
    wanted_units: Option<Vec<Spanned<String>>>,
    deadline_s: Option<Spanned<u64>>,
}

impl Layer {
    /// Reads and checks it.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, DocumentError> {
        let layer: Self = parse_toml(name, text)?;
        let mistakes = layer.mistakes(Source { name, text });
        if mistakes.is_empty() { Ok(layer) } else { Err(DocumentError { mistakes }) }
    }

    /// Replaces what it says and leaves the rest.
    pub(super) fn lay_over(self, config: &mut Config) {
        if let Some(log) = self.log {
            config.log = log.into_inner();
        }
        if let Some(seconds) = self.round_interval_s {
            config.round_interval = Duration::from_secs(seconds.into_inner());
        }
        if let Some(units) = self.gate.required_units {
            config.required_units = units.into_iter().map(Spanned::into_inner).collect();
        }
        if let Some(units) = self.gate.wanted_units {
            config.wanted_units = units.into_iter().map(Spanned::into_inner).collect();
        }
        if let Some(seconds) = self.gate.deadline_s {
            config.gate_deadline = Duration::from_secs(seconds.into_inner());
        }
        if let Some(labels) = self.labels {
            config.labels = labels;
        }
        if let Some(urls) = self.endpoints {
            config.endpoints = urls.into_iter().map(Spanned::into_inner).collect();
        }
        if let Some(socket) = self.containers.socket {
            config.containers_socket = socket.into_inner();
        }
        if let Some(folder) = self.containers.certs_d {
            config.containers_certs_d = folder.into_inner();
        }
        if let Some(gib) = self.containers.max_image_gib {
            config.max_image_gib = gib.into_inner();
        }
        self.machines.lay_over(&mut config.machines);
        self.policy.lay_over(&mut config.policy);
        config.registries.lay_over(self.registries);
        self.updates.lay_over(&mut config.updates);
        if let Some(ListenTable { address, certificate, key, client_ca }) = self.listen {
            config.listen = Some(Listen {
                address,
                certificate: certificate.into_inner(),
                key: key.into_inner(),
                client_ca: client_ca.into_inner(),
            });
        }
    }

    fn mistakes(&self, source: Source<'_>) -> Vec<Mistake> {
        let mut found = Vec::new();
        if let Some(log) = &self.log
            && let Err(error) = Filter::parse(log.get_ref())
        {
            found.push(source.mistake(log.span(), &error.to_string(), basalt_log::HINT));
        }
        found.extend(out_of(source, self.round_interval_s.as_ref(), &ROUND_S));
        found.extend(out_of(source, self.gate.deadline_s.as_ref(), &DEADLINE_S));
        let sizes = [&self.containers.max_image_gib, &self.machines.max_image_gib];
        for gib in sizes.into_iter().flatten().filter(|gib| *gib.get_ref() == 0) {
            found.push(source.mistake(gib.span(), "no image is so small", "it is in GiB"));
        }
        let units = [&self.gate.required_units, &self.gate.wanted_units];
        let units = units.into_iter().flatten().flatten();
        for unit in units.filter(|unit| !is_unit(unit.as_ref())) {
            let hint = "a unit's name ends with its kind, as `podman.socket`";
            found.push(source.mistake(unit.span(), "this is not the name of a unit", hint));
        }
        let urls = self.endpoints.iter().flatten();
        for url in urls.filter(|url| basalt_https::place(url.get_ref()).is_err()) {
            let hint = "as `https://endpoint.example:8443`";
            found.push(source.mistake(url.span(), "this is no URL of an endpoint", hint));
        }
        found.extend(self.policy.mistakes(source));
        let files = self
            .listen
            .iter()
            .flat_map(|listen| [&listen.certificate, &listen.key, &listen.client_ca].into_iter());
        let paths = [&self.containers.socket, &self.containers.certs_d, &self.updates.ca];
        let paths = paths.into_iter().flatten();
        for path in paths.chain(files).filter(|path| !path.as_ref().is_absolute()) {
            found.push(source.mistake(path.span(), "this is no absolute path", ""));
        }
        found.extend(self.registries.mistakes(source));
        found.extend(self.updates.mistakes(source));
        found
    }
}

impl UpdatesTable {
    fn lay_over(self, updates: &mut Updates) {
        if let Some(url) = self.url {
            updates.url = Some(url.into_inner());
        }
        if let Some(ca) = self.ca {
            updates.ca = Some(ca.into_inner());
        }
        if let Some(tries) = self.tries {
            updates.tries = tries.into_inner();
        }
        if let Some(windows) = self.windows {
            // One that is none was a mistake, and its layer is left out.
            updates.windows = windows.iter().filter_map(|it| it.get_ref().parse().ok()).collect();
        }
    }

    fn mistakes(&self, source: Source<'_>) -> Vec<Mistake> {
        let url = self.url.iter().filter(|url| !is_archive(url.get_ref()));
        let hint = "it begins with `https://`, `http://` or `file:///`";
        let url = url.map(|url| source.mistake(url.span(), "this is no URL of an archive", hint));
        let tries = self.tries.iter().filter(|tries| !(1..=9).contains(tries.get_ref()));
        let tries = tries.map(|tries| source.mistake(tries.span(), "it must be 1 to 9", ""));
        let windows = self.windows.iter().flatten().filter_map(|window| {
            let error = window.get_ref().parse::<Window>().err()?.to_string();
            let (what, hint) = error.split_once("\nhint: ").unwrap_or((&error, ""));
            Some(source.mistake(window.span(), what, hint))
        });
        url.chain(tries).chain(windows).collect()
    }
}

/// Whether it can be the URL of an archive of releases.
pub fn is_archive(url: &str) -> bool {
    ["https://", "http://", "file:///"].iter().any(|scheme| {
        url.strip_prefix(scheme).is_some_and(|rest| !rest.is_empty())
            && !url.contains(|c: char| c.is_whitespace() || c.is_control())
    })
}

impl MachinesTable {
    fn lay_over(self, machines: &mut Machines) {
        if let Some(uri) = self.uri {
            machines.uri = uri;
        }
        if let Some(accel) = self.accel {
            machines.accel = accel;
        }
        if let Some(gib) = self.max_image_gib {
            machines.max_image_gib = gib.into_inner();
        }
    }
}

impl PolicyTable {
    fn lay_over(self, policy: &mut Policy) {
        let plain =
            |list: Vec<Spanned<String>>| list.into_iter().map(Spanned::into_inner).collect();
        if let Some(paths) = self.host_paths {
            policy.host_paths = plain(paths);
        }
        if let Some(privileged) = self.privileged {
            policy.privileged = privileged;
        }
        if let Some(devices) = self.devices {
            policy.devices = plain(devices);
        }
        if let Some(hosts) = self.url_allow {
            policy.url_allow = hosts;
        }
    }

    fn mistakes(&self, source: Source<'_>) -> Vec<Mistake> {
        let paths = self.host_paths.iter().flatten().map(|path| (path, "/"));
        let devices = self.devices.iter().flatten().map(|path| (path, "/dev/"));
        paths
            .chain(devices)
            .filter(|(path, start)| {
                !path.get_ref().starts_with(start) || path.get_ref().contains("/../")
            })
            .map(|(path, start)| {
                let hint = format!("it begins with `{start}` and has no `..`");
                source.mistake(path.span(), "this is no path of that kind", &hint)
            })
            .collect()
    }
}

fn out_of(
    source: Source<'_>,
    value: Option<&Spanned<u64>>,
    range: &RangeInclusive<u64>,
) -> Option<Mistake> {
    let value = value.filter(|value| !range.contains(value.get_ref()))?;
    let message = format!("it must be {} to {} seconds", range.start(), range.end());
    Some(source.mistake(value.span(), &message, ""))
}

/// Whether it can be a unit's name (systemd.unit(5)); not an option of `systemctl`, above all.
fn is_unit(name: &str) -> bool {
    let chars = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    let kinds = ["service", "socket", "target", "mount", "automount", "timer", "path"];
    name.len() < 256
        && !name.starts_with('-')
        && name.chars().all(chars)
        && name
            .rsplit_once('.')
            .is_some_and(|(name, kind)| !name.is_empty() && kinds.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let error = Layer::parse("hostd.toml", text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn what_is_no_unit_is_told_with_its_place() {
        check("[gate]\nrequired_units = [\"--help\"]", "hostd.toml:2:19: this is not the name");
        check("[gate]\nwanted_units = [\"podman\"]", "not the name of a unit");
    }

    #[test]
    fn what_is_no_archive_is_told_with_its_place() {
        for url in ["site", "ftp://a", "https://", "https://a b"] {
            check(&format!("[updates]\nurl = \"{url}\""), "hostd.toml:2:7: this is no URL");
        }
        check("[updates]\nca = \"ca.pem\"", "hostd.toml:2:6: this is no absolute path");
        check("[updates]\ntries = 10", "hostd.toml:2:9: it must be 1 to 9");
        let window = "[updates]\nwindows = [\"02:00-03:00\", \"at night\"]";
        check(window, "hostd.toml:2:27: `at night` is no maintenance window");
        for url in ["https://a", "http://10.0.2.2:80/x", "file:///mnt/site"] {
            assert!(is_archive(url), "{url}");
        }
    }

    #[test]
    fn an_interval_beyond_the_watchdog_is_refused() {
        check("round_interval_s = 11", "1 to 10 seconds");
        check("[gate]\ndeadline_s = 0", "1 to 210 seconds");
    }

    #[test]
    fn a_policy_names_paths_and_devices() {
        check("[policy]\nhost_paths = [\"srv\"]", "it begins with `/`");
        check("[policy]\ndevices = [\"/etc/passwd\"]", "it begins with `/dev/`");
        check("[policy]\nraw_xml = true", "unknown key `raw_xml`");
    }

    #[test]
    fn no_image_may_have_nothing() {
        check("[containers]\nmax_image_gib = 0", "hostd.toml:2:17: no image is so small");
        check("[machines]\nmax_image_gib = 0", "no image is so small");
        let mut config = Config::default();
        let layer = Layer::parse("hostd.toml", "[containers]\nmax_image_gib = 7").unwrap();
        layer.lay_over(&mut config);
        assert_eq!((config.max_image_gib, config.machines.max_image_gib), (7, 100));
    }

    #[test]
    fn a_port_comes_with_its_certificates_or_not_at_all() {
        check("[listen]\naddress = \"0.0.0.0:9443\"\n", "the key `certificate` is missing");
        let files = "certificate = \"c\"\nkey = \"/k\"\nclient_ca = \"/a\"\n";
        let text = format!("[listen]\naddress = \"[::]:9443\"\n{files}");
        check(&text, "hostd.toml:3:15: this is no absolute path");
        check(&text.replace("[::]:9443", "9443"), "socket address");
    }

    #[test]
    fn where_the_endpoint_is_must_be_a_url() {
        for url in ["endpoint.example", "http://endpoint.example", "https://"] {
            let text = format!("endpoints = [\"https://a.example\", {url:?}]");
            check(&text, "hostd.toml:1:35: this is no URL of an endpoint");
        }
    }

    #[test]
    fn a_log_level_that_is_none_is_refused() {
        check("log = \"hostd=loud\"", "no log filter");
    }

    #[test]
    fn fuzz_hostd_toml() {
        let seed = "log = \"info\"\nround_interval_s = 5\nlabels = { zone = \"a\" }\n[gate]\n\
            required_units = [\"a.service\"]\ndeadline_s = 60\n[policy]\nhost_paths = [\"/srv\"]\n\
            privileged = true\n[machines]\naccel = \"tcg\"\n[registries.\"r.example:5000\"]\n\
            ca = \"/etc/ca.pem\"\nusername = \"u\"\npassword_file = \"/etc/p\"\n";
        basalt_fuzz::run_on_text!(&[seed], |text| {
            Layer::parse("hostd.toml", text).map_err(|error| error.to_string())
        });
    }
}
