//! All of it together, for hosts in QEMU on this machine.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::endpoint::Endpoint;
use crate::guest;
use crate::image::{Image, hash};
use crate::registry::{PASSWORD, Registry, USER};
use crate::web::Web;

/// By this address QEMU's own router leads its guests to this machine's loopback.
const SEEN_AS: &str = "10.0.2.2";
/// The repository and tag of the image in the registry.
const REPOSITORY: (&str, &str) = ("shop/web", "1");
/// Where systemd puts what is given to hostd.
const CREDENTIALS: &str = "/run/credentials/hostd.service";
/// Says that it is up, serves a page, and ends when it is asked to.
const SERVE: &str = "echo web is up; httpd -p 80 -h /srv; trap 'exit 0' TERM; sleep 2000000 & wait";

/// Where a site finds and puts its things.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// A folder of its own, which is there.
    pub folder: &'a Path,
    /// Where `basalt-endpoint` and `basaltctl` lie.
    pub programs: &'a Path,
    /// Where the guest's disk is kept for the next time.
    pub cache: &'a Path,
}

/// An endpoint, a registry and a web server, and what is in them.
#[derive(Debug)]
pub struct Site {
    /// Tells hosts what to run.
    pub endpoint: Endpoint,
    folder: PathBuf,
    registry: Registry,
    _web: Web,
    /// The image of the guest's disk.
    disk_url: String,
    disk_sha256: String,
}

impl Site {
    /// Starts everything. It ends when the returned value is dropped, or with this thread.
    ///
    /// # Errors
    /// A program is missing or does not come up.
    pub fn start(place: &Place<'_>) -> Result<Self> {
        // Absolute, for services that run elsewhere.
        let folder = fs::canonicalize(place.folder)
            .with_context(|| format!("cannot find `{}`", place.folder.display()))?;
        let endpoint = Endpoint::start(place.programs, &folder, SEEN_AS)?;
        let registry = Registry::start(&folder, SEEN_AS)?;
        registry.fill(REPOSITORY.0, REPOSITORY.1, &Image::tiny("-")?)?;
        let web = Web::start(&folder)?;
        let disk = guest::disk(place.cache)?;
        let bytes = fs::read(&disk).with_context(|| format!("cannot read `{}`", disk.display()))?;
        let disk_url = format!("http://{SEEN_AS}:{}{}", web.port(), web.serve("guest.raw", &disk)?);
        let disk_sha256 = hash(&bytes);
        Ok(Self { endpoint, folder, registry, _web: web, disk_url, disk_sha256 })
    }

    /// What a new host is given as systemd credentials, name and text: the join string, and what
    /// `hostd` must know of the registry.
    ///
    /// # Errors
    /// The endpoint does not answer.
    pub fn credentials(&self) -> Result<[(&'static str, String); 4]> {
        let ca = self.registry.ca();
        let ca =
            fs::read_to_string(&ca).with_context(|| format!("cannot read `{}`", ca.display()))?;
        let config = format!(
            "[registries.\"{}\"]\nca = \"{CREDENTIALS}/basalt.registry-ca\"\n\
             username = \"{USER}\"\npassword_file = \"{CREDENTIALS}/basalt.registry-password\"\n",
            self.registry.host
        );
        Ok([
            ("basalt.join", self.endpoint.join_string()?),
            ("basalt.hostd", config),
            ("basalt.registry-ca", ca),
            ("basalt.registry-password", PASSWORD.to_owned()),
        ])
    }

    /// Writes the file of a container that serves a page at this port of its host, and says first
    /// that [it is up](Self::WEB_UP).
    ///
    /// # Errors
    /// It cannot be written.
    pub fn container(&self, name: &str, port: u16) -> Result<PathBuf> {
        let (repository, tag) = REPOSITORY;
        let image = format!("{}/{repository}:{tag}", self.registry.host);
        self.write(
            name,
            &format!(
                "name = \"{name}\"\nkind = \"container\"\n[resources]\nmemory_mib = 64\n\
                 [container]\nimage = \"{image}\"\ncommand = [\"sh\", \"-c\", \"{SERVE}\"]\n\
                 ports = [{{ host = {port}, container = 80 }}]\n"
            ),
        )
    }

    /// What the container says first.
    pub const WEB_UP: &'static str = "web is up";

    /// Writes the file of a virtual machine whose guest says on its console that
    /// [it is up](guest::UP).
    ///
    /// By its BIOS: where QEMU 7.2 emulated the host, a guest that booted by UEFI once ended the
    /// emulator, which failed an assertion in `tcg_handle_interrupt`. Why is not known.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn machine(&self, name: &str) -> Result<PathBuf> {
        let Self { disk_url, disk_sha256, .. } = self;
        self.write(
            name,
            &format!(
                "name = \"{name}\"\nkind = \"vm\"\n[resources]\ncpus = 1\nmemory_mib = 256\n\
                 [vm]\nfirmware = \"bios\"\nstop_grace_s = 30\n\
                 [vm.disk]\nurl = \"{disk_url}\"\nsha256 = \"{disk_sha256}\"\nformat = \"raw\"\n"
            ),
        )
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.join(format!("{name}.toml"));
        fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        Ok(path)
    }
}
