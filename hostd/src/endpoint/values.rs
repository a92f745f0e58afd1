//! Values of secrets: fetched once for each version, kept encrypted, so that a host starts its
//! workloads after a reboot while the endpoint is away.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use async_trait::async_trait;
use basalt_api::fault::Fault;
use basalt_api::id::Name;
use basalt_api::ledger::Ledger;
use basalt_api::secret::{self, SecretValue};
use basalt_api::set::Assigned;
use basalt_durable::PRIVATE;
use basalt_https::{Client, HttpsError};
use hyper::{Method, StatusCode};
use rcgen::KeyPair;
use tokio::sync::{Mutex, watch};

use super::SHORT;
use crate::books::Known;
use crate::identity::Enrolled;
use crate::secrets::Secrets;
use crate::vault::Vault;

/// Asks the endpoint for values, and keeps them.
pub struct EndpointSecrets {
    folder: PathBuf,
    vault: Vault,
    ask: std::sync::Mutex<Option<Whom>>,
    line: Mutex<Option<Line>>,
}

/// Whom to ask.
#[derive(Clone)]
struct Whom {
    enrolled: Enrolled,
    /// The host's key in PEM.
    key: String,
}

/// A connection that served, or the lack of one.
struct Line {
    /// Who asks by it.
    enrolled: Enrolled,
    /// Which of its URLs it leads to.
    turn: usize,
    client: Option<Client>,
}

/// Why one of the endpoint's URLs gave no value.
enum Failure {
    /// It does not answer, or cannot: another one may.
    Next(anyhow::Error),
    /// The endpoint refuses.
    Refused(anyhow::Error),
}

impl EndpointSecrets {
    /// Keeps them in `folder`, under a key beside them.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        let vault = Vault::at(folder.clone());
        Self { folder, vault, ask: std::sync::Mutex::default(), line: Mutex::default() }
    }

    /// Says whom to ask from now on.
    pub(super) fn ask_with(&self, enrolled: &Enrolled, key: &KeyPair) {
        let mut ask = self.ask.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if ask.as_ref().is_none_or(|known| known.enrolled != *enrolled) {
            *ask = Some(Whom { enrolled: enrolled.clone(), key: key.serialize_pem() });
        }
    }

    async fn value(&self, name: &Name, version: u64) -> Result<Vec<u8>> {
        if let Some(kept) = self.kept(name, version)? {
            return Ok(kept);
        }
        let value = self.fetch(name, version).await?;
        self.keep(name, version, &value)?;
        Ok(value)
    }

    /// Asks the endpoint at its URLs in turn, each once.
    async fn fetch(&self, name: &Name, version: u64) -> Result<Vec<u8>> {
        let ask = self.ask.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let Some(Whom { enrolled, key }) = ask else {
            bail!(
                "its value is not here yet, and the endpoint was not heard since `hostd` started"
            );
        };
        let key = KeyPair::from_pem(&key)?;
        let mut line = self.line.lock().await;
        let known = line.take().filter(|line| line.enrolled == enrolled);
        let mut now = known.unwrap_or(Line { enrolled, turn: 0, client: None });
        let mut last = None;
        for _ in 0..now.enrolled.urls().len() {
            match now.ask(&key, name, version).await {
                Ok(value) => {
                    *line = Some(now);
                    return Ok(value);
                }
                Err(Failure::Refused(error)) => {
                    *line = Some(now);
                    return Err(error);
                }
                Err(Failure::Next(error)) => {
                    tracing::warn!(url = now.url(), "cannot fetch a secret: {error:#}");
                    last = Some(error);
                    now = Line { turn: now.turn + 1, client: None, ..now };
                }
            }
        }
        // The next question begins where this one ended.
        *line = Some(now);
        Err(last.context("the endpoint has no URL")?)
    }

    fn kept(&self, name: &Name, version: u64) -> Result<Option<Vec<u8>>> {
        let path = self.path(name, version);
        let bytes = basalt_durable::read(&path)
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let Some(bytes) = bytes else { return Ok(None) };
        // What cannot be opened is fetched again.
        Ok(self.vault.unlock(&label(name, version), &bytes).ok())
    }

    fn keep(&self, name: &Name, version: u64, value: &[u8]) -> Result<()> {
        let bytes = self.vault.lock(&label(name, version), value)?;
        let path = self.path(name, version);
        basalt_durable::write(&path, &bytes, PRIVATE)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
        self.drop_older(name, version);
        Ok(())
    }

    /// The version before stays: what runs by it may have to start again.
    fn drop_older(&self, name: &Name, version: u64) {
        self.drop(|kept, number| kept == name.as_str() && number + 1 < version);
    }

    /// Removes the values of secrets that nobody here uses any more. Blocks.
    pub fn keep_only(&self, used: &BTreeSet<Name>) {
        self.drop(|kept, _| !used.iter().any(|name| name.as_str() == kept));
    }

    /// Removes values as soon as nothing in the ledger uses their secrets. For ever.
    pub async fn follow(self: Arc<Self>, mut books: watch::Receiver<Known>) {
        let mut before = None;
        loop {
            // A ledger that is lost or has no set yet says nothing about what is used.
            let known = books.borrow_and_update().clone();
            let used = known.filter(|known| known.assigned.is_some()).map(|known| used(&known));
            if used.is_some() && used != before {
                let (secrets, names) = (Arc::clone(&self), used.clone().unwrap_or_default());
                let dropped = tokio::task::spawn_blocking(move || secrets.keep_only(&names));
                let _ = dropped.await;
                before = used;
            }
            if books.changed().await.is_err() {
                return;
            }
        }
    }

    /// Removes values by name and version.
    fn drop(&self, is_over: impl Fn(&str, u64) -> bool) {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries {
            let file = entry.file_name();
            let label = file.to_str().and_then(|file| file.rsplit_once('.'));
            let Some((name, Ok(version))) = label.map(|(name, number)| (name, number.parse()))
            else {
                continue;
            };
            if !is_over(name, version) {
                continue;
            }
            if let Err(error) = basalt_durable::remove(&entry.path()) {
                tracing::warn!(%error, "cannot remove a value of a secret");
            }
        }
    }

    fn path(&self, name: &Name, version: u64) -> PathBuf {
        self.folder.join(label(name, version))
    }
}

impl Line {
    fn url(&self) -> &str {
        let urls = self.enrolled.urls();
        urls.get(self.turn % urls.len().max(1)).map_or("", String::as_str)
    }

    async fn ask(&mut self, key: &KeyPair, name: &Name, version: u64) -> Result<Vec<u8>, Failure> {
        let next = |error: HttpsError| Failure::Next(error.into());
        let client = match self.client.take() {
            Some(client) => client,
            None => super::client(&self.enrolled, self.url(), key).map_err(next)?,
        };
        let client = self.client.insert(client);
        let path = secret::path(name, version);
        let answer = client.ask(Method::GET, &path, bytes::Bytes::new(), SHORT).await;
        let answer = answer.map_err(next)?;
        if answer.status != StatusCode::OK {
            let said = match serde_json::from_slice::<Fault>(&answer.body) {
                Ok(fault) => anyhow!("{fault}"),
                Err(_) => anyhow!("the endpoint answers `{}`", answer.status),
            };
            let is_ill = answer.status.is_server_error();
            return Err(if is_ill { Failure::Next(said) } else { Failure::Refused(said) });
        }
        let value = serde_json::from_slice::<SecretValue>(&answer.body).ok();
        let value = value.and_then(|value| value.bytes());
        value.context("the endpoint's answer is no secret").map_err(Failure::Next)
    }
}

/// The secrets of everything that is wanted, or may be again.
fn used(ledger: &Ledger) -> BTreeSet<Name> {
    let assigned = ledger.assigned.iter().flat_map(|known| &known.set.workloads);
    let all = assigned.chain(&ledger.local).chain(&ledger.forgotten);
    all.flat_map(|one| one.spec.secrets().into_iter().cloned()).collect()
}

fn label(name: &Name, version: u64) -> String {
    format!("{name}.{version}")
}

#[async_trait]
impl Secrets for EndpointSecrets {
    async fn values(&self, assigned: &Assigned) -> Result<BTreeMap<Name, Vec<u8>>, String> {
        let mut values = BTreeMap::new();
        for name in assigned.spec.secrets() {
            let Some(version) = assigned.secret_versions.get(name) else {
                return Err(format!("there is no secret `{name}`"));
            };
            let value = self.value(name, *version).await;
            let value = value.map_err(|error| format!("the secret `{name}`: {error:#}"))?;
            values.insert(name.clone(), value);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn kept(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn what_the_set_names_no_more_is_dropped_and_what_it_names_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Arc::new(EndpointSecrets::new(folder.path().to_owned()));
        for name in ["one", "other"] {
            secrets.keep(&name.parse().unwrap(), 1, b"value").unwrap();
        }
        let text = r#"{"sequence":1,"boot_id":"b","assigned":{"generation":1,"hash":"h",
            "lineage":"00000000-0000-0000-0000-000000000001","set":{"workloads":[{
            "uid":"00000000-0000-0000-0000-000000000002","spec":{"name":"a","kind":"container",
            "container":{"image":"a","secrets":[{"name":"one"}]}}}]}}}"#;
        let named: Ledger = serde_json::from_str(text).unwrap();
        let (tell, books) = watch::channel(None);
        let following = tokio::spawn(Arc::clone(&secrets).follow(books));
        tell.send_replace(Some(Arc::new(Ledger::default())));
        tokio::task::yield_now().await;
        assert_eq!(kept(folder.path()), ["key", "one.1", "other.1"]);
        tell.send_replace(Some(Arc::new(named)));
        drop(tell);
        following.await.unwrap();
        assert_eq!(kept(folder.path()), ["key", "one.1"]);
    }

    #[test]
    fn old_versions_go_over_gaps_and_what_nobody_uses_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = EndpointSecrets::new(folder.path().to_owned());
        let (one, other) = ("one".parse().unwrap(), "other".parse().unwrap());
        for version in [1, 2, 5] {
            secrets.keep(&one, version, b"value").unwrap();
        }
        secrets.keep(&other, 1, b"value").unwrap();
        assert_eq!(kept(folder.path()), ["key", "one.5", "other.1"]);
        secrets.keep(&one, 6, b"value").unwrap();
        assert_eq!(kept(folder.path()), ["key", "one.5", "one.6", "other.1"]);
        secrets.keep_only(&BTreeSet::from([other]));
        assert_eq!(kept(folder.path()), ["key", "other.1"]);
    }
}
