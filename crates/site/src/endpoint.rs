//! A real `basalt-endpoint`, and its operator.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use crate::service::{Service, free_port};

/// How long a question may take that waits for nobody.
const ASK: Duration = Duration::from_secs(60);

/// An endpoint with its data in a folder.
#[derive(Debug)]
pub struct Endpoint {
    programs: PathBuf,
    data: PathBuf,
    log: PathBuf,
    address: SocketAddr,
    /// As hosts reach it.
    url: String,
    service: Option<Service>,
}

impl Endpoint {
    /// Starts one on a free port of loopback, with `programs` as the folder of ours; hosts reach
    /// it by the name or address `seen_as`.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start(programs: &Path, folder: &Path, seen_as: &str) -> Result<Self> {
        let address = free_port()?;
        let mut endpoint = Self {
            programs: programs.to_owned(),
            data: folder.join("endpoint"),
            log: folder.join("endpoint.log"),
            address,
            url: format!("https://{seen_as}:{}", address.port()),
            service: None,
        };
        endpoint.start_again()?;
        Ok(endpoint)
    }

    /// Ends it, as a power cut would.
    pub fn stop(&mut self) {
        self.service = None;
    }

    /// Starts it where it was before, with what it knew.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        self.stop();
        let cmd = Cmd::new(self.programs.join("basalt-endpoint"))
            .arg("--data")
            .arg(&self.data)
            .args(["--listen", &self.address.to_string(), "--advertise", &self.url]);
        self.service = Some(Service::start(cmd, self.address, &self.log)?);
        Ok(())
    }

    /// What `basaltctl` needs in its environment to speak with it.
    ///
    /// # Errors
    /// Its folder cannot be read.
    pub fn environment(&self) -> Result<[(&'static str, String); 3]> {
        let path = self.data.join("ca.sha256");
        let fingerprint = fs::read_to_string(&path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let token = self.data.join("operator.token").display().to_string();
        Ok([
            ("BASALT_URL", format!("https://{}", self.address)),
            ("BASALT_CA_FINGERPRINT", fingerprint.trim().to_owned()),
            ("BASALT_TOKEN_FILE", token),
        ])
    }

    /// `basaltctl`, as its operator calls it.
    ///
    /// # Errors
    /// As [`environment`](Self::environment).
    pub fn ctl<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Cmd> {
        let cmd = Cmd::new(self.programs.join("basaltctl")).args(args).deadline(ASK);
        Ok(self.environment()?.into_iter().fold(cmd, |cmd, (name, value)| cmd.env(name, value)))
    }

    /// A join string for one host; it is a secret.
    ///
    /// # Errors
    /// The endpoint does not answer.
    pub fn join_string(&self) -> Result<String> {
        let created = self.ctl(["token", "create"])?.run()?;
        Ok(created.stdout_text())
    }
}
