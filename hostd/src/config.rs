//! `hostd`'s configuration: the image's layer, the operator's, drop-ins, a credential.
//!
//! A later layer's key replaces an earlier one's. A layer with a mistake is left out whole and
//! reported: `hostd` runs with what is good.

mod layer;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use basalt_api::virt::Accel;
use basalt_window::Window;
use hostd_core::health::BadLayer;
use hostd_core::policy::Policy;

use crate::paths::Paths;
use crate::registries::Registries;
use crate::server::remote::Listen;
use layer::Layer;

pub use layer::is_archive;

/// The credential that is laid over everything else.
pub const CREDENTIAL: &str = "basalt.hostd";

/// What `hostd` and the gate go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What is logged, as `info` or `hostd=debug`.
    pub log: String,
    /// Time between two rounds once all is well.
    pub round_interval: Duration,
    /// Units that must be active for a release on trial to stay.
    pub required_units: Vec<String>,
    /// Units that must be active for the host to be well, and no more.
    pub wanted_units: Vec<String>,
    /// How long a boot may take to prove itself, from the start of the gate.
    pub gate_deadline: Duration,
    /// Labels that the endpoint may place workloads by.
    pub labels: BTreeMap<String, String>,
    /// URLs at which the endpoint is asked, in turn; those of the join string where there are none.
    pub endpoints: Vec<String>,
    /// What workloads may have of the host.
    pub policy: Policy,
    /// The socket of podman's service, or of dockerd.
    pub containers_socket: PathBuf,
    /// Where that engine looks for the certificates of registries.
    pub containers_certs_d: PathBuf,
    /// GiB that an image of a container may have.
    pub max_image_gib: u32,
    /// How virtual machines are run.
    pub machines: Machines,
    /// What is known of registries of images.
    pub registries: Registries,
    /// A port for who reads from elsewhere; none unless somebody asks for it.
    pub listen: Option<Listen>,
    /// Where releases of the system come from.
    pub updates: Updates,
}

/// Where releases of the system come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updates {
    /// The URL of an archive that `basalt publish` made.
    pub url: Option<String>,
    /// A file with the CA of its server, where the system's do not know it.
    pub ca: Option<PathBuf>,
    /// Boots in which a release that the endpoint wants has to prove itself, 1 to 9.
    pub tries: u32,
    /// When the host may reboot, where somebody leaves that to it.
    pub windows: Vec<Window>,
}

impl Default for Updates {
    fn default() -> Self {
        Self { url: None, ca: None, tries: basalt_api::os::TRIES, windows: Vec::new() }
    }
}

/// How virtual machines are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machines {
    /// Which libvirt.
    pub uri: String,
    /// What executes the guests' instructions.
    pub accel: Accel,
    /// GiB that a disk image may have.
    pub max_image_gib: u32,
}

impl Default for Machines {
    fn default() -> Self {
        Self { uri: "qemu:///system".to_owned(), accel: Accel::Auto, max_image_gib: 100 }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            log: "info".to_owned(),
            round_interval: Duration::from_secs(10),
            required_units: Vec::new(),
            wanted_units: Vec::new(),
            gate_deadline: Duration::from_secs(120),
            labels: BTreeMap::new(),
            endpoints: Vec::new(),
            policy: Policy::default(),
            containers_socket: PathBuf::from("/run/podman/podman.sock"),
            containers_certs_d: PathBuf::from("/etc/containers/certs.d"),
            max_image_gib: 100,
            machines: Machines::default(),
            registries: Registries::default(),
            listen: None,
            updates: Updates::default(),
        }
    }
}

/// A configuration and what was left out of it.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// What to go by.
    pub config: Config,
    /// What was left out.
    pub bad: Vec<BadLayer>,
}

/// Reads all layers. `credentials` is systemd's folder of credentials, where there is one.
#[must_use]
pub fn load(paths: &Paths, credentials: Option<&Path>) -> Loaded {
    let mut loaded = Loaded::default();
    loaded.add(&paths.image_config(), Origin::ImageItself);
    let [image, host] = paths.config_drop_ins();
    loaded.add_all(&image, Origin::Image);
    loaded.add(&paths.host_config(), Origin::Host);
    loaded.add_all(&host, Origin::Host);
    if let Some(folder) = credentials {
        loaded.add(&folder.join(CREDENTIAL), Origin::Host);
    }
    loaded
}

/// Who wrote a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// The image's first layer, which must be there.
    ImageItself,
    Image,
    Host,
}

impl Loaded {
    fn add(&mut self, path: &Path, origin: Origin) {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error)
                if error.kind() == io::ErrorKind::NotFound && origin != Origin::ImageItself =>
            {
                return;
            }
            Err(error) => return self.leave_out(path, origin, error.to_string()),
        };
        match Layer::parse(&path.display().to_string(), &text) {
            Ok(layer) => layer.lay_over(&mut self.config),
            Err(error) => self.leave_out(path, origin, error.to_string()),
        }
    }

    fn add_all(&mut self, folder: &Path, origin: Origin) {
        match drop_ins(folder) {
            Ok(files) => files.iter().for_each(|file| self.add(file, origin)),
            Err(error) => self.leave_out(folder, origin, error.to_string()),
        }
    }

    fn leave_out(&mut self, path: &Path, origin: Origin, message: String) {
        let name = path.display().to_string();
        self.bad.push(BadLayer { name, message, is_of_image: origin != Origin::Host });
    }
}

/// The `*.toml` of a folder by name; none where there is no folder.
fn drop_ins(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads files given as (path, text) under a root of their own.
    fn load_files(files: &[(&str, &str)]) -> Loaded {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        load(&Paths::under(root.path()), Some(&root.path().join("credentials")))
    }

    const IMAGE: (&str, &str) =
        ("usr/lib/basalt/hostd.toml", "[gate]\nrequired_units = [\"podman.socket\"]\n");

    #[test]
    fn a_later_layer_replaces_a_key_and_leaves_the_others() {
        let loaded = load_files(&[
            IMAGE,
            ("etc/basalt/hostd.toml", "round_interval_s = 5\n"),
            ("etc/basalt/hostd.toml.d/20-b.toml", "round_interval_s = 9\n"),
            ("etc/basalt/hostd.toml.d/10-a.toml", "round_interval_s = 8\n"),
            (
                "etc/basalt/hostd.toml.d/30-c.toml",
                "[updates]\nurl = \"https://a\"\nca = \"/ca\"\ntries = 5\n\
                 windows = [\"Sat 02:00-05:00 UTC\"]\n",
            ),
            (
                "credentials/basalt.hostd",
                "[gate]\ndeadline_s = 5\n[registries.\"r:5000\"]\n[updates]\nurl = \"https://b\"\n",
            ),
        ]);
        assert!(loaded.config.registries.get("r:5000").is_some());
        assert_eq!(loaded.bad, []);
        assert_eq!(loaded.config.round_interval, Duration::from_secs(9));
        assert_eq!(loaded.config.gate_deadline, Duration::from_secs(5));
        assert_eq!(loaded.config.required_units, ["podman.socket"]);
        let windows = vec!["Sat 02:00-05:00 UTC".parse().unwrap()];
        let (url, ca) = (Some("https://b".into()), Some("/ca".into()));
        let updates = Updates { url, ca, tries: 5, windows };
        assert_eq!(loaded.config.updates, updates);
    }

    #[test]
    fn the_image_that_we_ship_brings_a_good_layer() {
        let text = include_str!("../../images/base/usr/lib/basalt/hostd.toml");
        let loaded = load_files(&[("usr/lib/basalt/hostd.toml", text)]);
        assert_eq!(loaded.bad, []);
        assert!(loaded.config.required_units.contains(&"podman.socket".to_owned()));
    }

    #[test]
    fn a_bad_layer_is_left_out_whole_and_named() {
        let text = "round_interval_s = 5\nlogg = \"debug\"\n";
        let loaded = load_files(&[IMAGE, ("etc/basalt/hostd.toml", text)]);
        assert_eq!(loaded.config.round_interval, Config::default().round_interval);
        let [bad] = loaded.bad.as_slice() else { panic!("{:?}", loaded.bad) };
        assert!(bad.name.ends_with("etc/basalt/hostd.toml") && !bad.is_of_image);
        assert!(bad.message.contains("did you mean `log`?"), "{}", bad.message);
    }

    #[test]
    fn an_image_without_its_layer_is_bad() {
        let loaded = load_files(&[]);
        assert!(matches!(loaded.bad.as_slice(), [bad] if bad.is_of_image));
    }
}
