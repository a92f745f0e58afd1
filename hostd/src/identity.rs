//! Who this host is at its endpoint: its key, its certificate, and the machine that both were made
//! on. Each file is whole or not there; the key comes first and is never replaced by a start.

mod switch;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_api::enrol::JoinString;
use basalt_api::id::{HostId, Name};
use basalt_durable::PRIVATE;
use basalt_https::{Identity as TlsIdentity, Trust};
use hostd_core::checkin::{Machine, is_copy};
use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};

use crate::paths::Paths;

/// The identity's folder.
#[derive(Debug, Clone)]
pub struct Store {
    folder: PathBuf,
    /// Where the endpoint is, whatever the join string said.
    endpoints: Vec<String>,
}

/// Who this host is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// Its id.
    pub host_id: HostId,
    /// Its name.
    pub name: Name,
    /// The endpoint's URLs as the join string had them.
    urls: Vec<String>,
    /// Those that the host's configuration has instead. Its own, so not kept.
    #[serde(skip)]
    endpoints: Vec<String>,
    /// Its certificate, in PEM.
    pub certificate: String,
    /// The CAs that it trusts, in PEM.
    pub ca: String,
    /// `/etc/machine-id` when it was enrolled.
    machine_id: String,
    /// The firmware's UUID then.
    #[serde(default)]
    dmi_uuid: Option<String>,
    /// SHA-256 of the secret that it was enrolled by, in hex: a copy must not redeem it again.
    #[serde(default)]
    join_sha256: Option<String>,
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This host is not enrolled.
    Nothing,
    /// It is.
    Enrolled(Box<Enrolled>),
    /// The state was made on another machine.
    Copy(Box<Enrolled>),
}

impl Store {
    /// The one of a host.
    #[must_use]
    pub fn of(paths: &Paths) -> Self {
        Self { folder: paths.identity(), endpoints: Vec::new() }
    }

    /// The same at an endpoint that is here, whatever the join string says; where it says nothing,
    /// that holds.
    #[must_use]
    pub fn at(self, endpoints: Vec<String>) -> Self {
        Self { endpoints, ..self }
    }

    /// The URLs to redeem a join string at, in turn.
    #[must_use]
    pub fn urls<'a>(&'a self, join: &'a JoinString) -> &'a [String] {
        if self.endpoints.is_empty() { &join.urls } else { &self.endpoints }
    }

    /// Reads it.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn read(&self, machine: &Machine) -> Result<Found> {
        let Some(enrolled) = self.read_file("enrolled.json")? else { return Ok(Found::Nothing) };
        let is_copy = enrolled.is_of_another(machine);
        let enrolled = Box::new(enrolled);
        Ok(if is_copy { Found::Copy(enrolled) } else { Found::Enrolled(enrolled) })
    }

    fn read_file(&self, name: &str) -> Result<Option<Enrolled>> {
        let path = self.folder.join(name);
        let text = basalt_durable::read(&path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let Some(text) = text else { return Ok(None) };
        let damaged = || format!("`{}` is damaged", path.display());
        let enrolled: Enrolled = serde_json::from_slice(&text).with_context(damaged)?;
        Ok(Some(Enrolled { endpoints: self.endpoints.clone(), ..enrolled }))
    }

    /// The host's key, made and on the disk before anybody hears of it.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn key(&self) -> Result<KeyPair> {
        self.key_in("key.pem")
    }

    fn key_in(&self, name: &str) -> Result<KeyPair> {
        let path = self.folder.join(name);
        let name = || format!("`{}`", path.display());
        let there = basalt_durable::read(&path);
        if let Some(pem) = there.with_context(|| format!("cannot read {}", name()))? {
            let pem = String::from_utf8_lossy(&pem);
            return KeyPair::from_pem(&pem).with_context(|| format!("{} holds no key", name()));
        }
        let key = KeyPair::generate().context("cannot make a key")?;
        make_private(&self.folder)?;
        basalt_durable::write(&path, key.serialize_pem().as_bytes(), PRIVATE)
            .with_context(|| format!("cannot write {}", name()))?;
        Ok(key)
    }

    /// Notes a changed identity.
    ///
    /// # Errors
    /// It cannot be written; the one before still holds.
    pub fn write(&self, enrolled: &Enrolled) -> Result<()> {
        self.write_file("enrolled.json", enrolled)
    }

    fn write_file(&self, name: &str, enrolled: &Enrolled) -> Result<()> {
        make_private(&self.folder)?;
        let path = self.folder.join(name);
        let text = serde_json::to_vec_pretty(enrolled)?;
        basalt_durable::write(&path, &text, PRIVATE)
            .with_context(|| format!("cannot write `{}`", path.display()))
    }
}

impl Enrolled {
    fn is_of_another(&self, machine: &Machine) -> bool {
        let then = Machine { machine_id: self.machine_id.clone(), dmi_uuid: self.dmi_uuid.clone() };
        is_copy(&then, machine)
    }

    /// The endpoint's URLs, tried in turn.
    #[must_use]
    pub fn urls(&self) -> &[String] {
        if self.endpoints.is_empty() { &self.urls } else { &self.endpoints }
    }

    /// The same with another certificate, and the CAs that are trusted from now on.
    #[must_use]
    pub fn with_certificate(&self, certificate: String, ca: String) -> Self {
        Self { certificate, ca, ..self.clone() }
    }

    /// What TLS needs.
    #[must_use]
    pub fn tls(&self, key: &KeyPair) -> (Trust, TlsIdentity) {
        let identity =
            TlsIdentity { certificate: self.certificate.clone(), key: key.serialize_pem() };
        (Trust::Ca(self.ca.clone()), identity)
    }
}

/// A request for a certificate, signed by the key. Who the host is, the endpoint decides.
///
/// # Errors
/// It cannot be signed.
pub fn signing_request(key: &KeyPair) -> Result<String> {
    let request = CertificateParams::default().serialize_request(key);
    request.and_then(|request| request.pem()).context("cannot sign a request for a certificate")
}

/// What tells this machine from others.
#[must_use]
pub fn machine(paths: &Paths) -> Machine {
    let read = |path: &Path| fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
    Machine {
        machine_id: read(&paths.machine_id()).unwrap_or_default(),
        dmi_uuid: read(&paths.dmi_uuid()).filter(|uuid| !uuid.is_empty()),
    }
}

fn make_private(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make the folder `{}`", folder.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_private() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::of(&Paths::under(root.path()));
        let first = store.key().unwrap().serialize_pem();
        assert_eq!(store.key().unwrap().serialize_pem(), first);
        let path = root.path().join("var/lib/hostd/identity/key.pem");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_request_is_signed_by_the_hosts_key() {
        let key = KeyPair::generate().unwrap();
        let pem = signing_request(&key).unwrap();
        let request = rcgen::CertificateSigningRequestParams::from_pem(&pem).unwrap();
        assert_eq!(
            rcgen::PublicKeyData::der_bytes(&request.public_key),
            rcgen::PublicKeyData::der_bytes(&key)
        );
    }
}
