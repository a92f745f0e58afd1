//! Brings the locked packages into the cache: from the cache, the mirror, or the snapshot mirror.

mod resolve;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;

use super::{Archive, Lock, LockedPackage};
use crate::cache::Cache;
use crate::definition::Debian;
use crate::fingerprint::sha256_of_file;
use crate::progress::Step;

/// Downloads at a time: enough to hide a mirror's latency, few enough to be polite.
const WORKERS: usize = 4;
/// Times a package is asked for from one address before the next address is tried.
const TRIES: u32 = 3;
/// The slowest download that is still waited for, in bytes a second.
const SLOWEST: u64 = 50_000;
/// Packages that no address could be reached for, before the others are not tried at all: without
/// a network each of hundreds would be waited for.
const UNREACHABLE: usize = 4;

/// Packages that no address has any more.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.text())]
pub struct MissingPackages {
    /// Each with the reasons, one an address.
    pub packages: Vec<(LockedPackage, Vec<String>)>,
    /// How many more were not tried, because too many could not be reached.
    pub not_tried: usize,
}

impl MissingPackages {
    fn text(&self) -> String {
        let mut lines = Vec::new();
        for (package, reasons) in &self.packages {
            lines.push(format!("cannot get `{} {}`:", package.name, package.version));
            lines.extend(reasons.iter().map(|reason| format!("  {reason}")));
        }
        if self.not_tried > 0 {
            lines.push(format!("{} more packages were not tried", self.not_tried));
        }
        lines.push(
            "hint: check the network; when a mirror has dropped a version, set \
             `debian.snapshot_mirror`, or build once with `--update` to take the present ones"
                .to_owned(),
        );
        lines.join("\n")
    }
}

/// Gets packages over the network.
pub struct Fetcher<'a> {
    debian: &'a Debian,
    agent: ureq::Agent,
    patience: Duration,
}

impl<'a> Fetcher<'a> {
    /// A fetcher for a definition's mirrors. `patience` bounds finding a mirror's address,
    /// connecting, waiting for an answer and for each piece of a package, and, beside what the
    /// size allows, the whole download.
    #[must_use]
    pub fn new(debian: &'a Debian, patience: Duration) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_resolve(Some(patience))
            .timeout_connect(Some(patience))
            .timeout_per_read(Some(patience))
            .timeout_recv_response(Some(patience))
            .max_idle_connections_per_host(WORKERS)
            .user_agent(concat!("basalt/", env!("CARGO_PKG_VERSION")))
            .build();
        let resolver = resolve::Remembering::new(DefaultResolver::default());
        let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), resolver);
        Self { debian, agent, patience }
    }

    /// Makes every package of `lock` lie in the cache with the right hash.
    ///
    /// # Errors
    /// [`MissingPackages`] when some cannot be had; other errors when the cache cannot be written.
    pub fn fetch(&self, lock: &Lock, cache: &Cache, step: &Step) -> Result<()> {
        let wanted = missing(lock, cache, step)?;
        let total = wanted.iter().map(|package| package.size).sum();
        let (next, done) = (AtomicUsize::new(0), AtomicU64::new(0));
        let unreachable = AtomicUsize::new(0);
        let failures = Mutex::new(Vec::new());
        let broken = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(|| {
                    while unreachable.load(Ordering::Relaxed) < UNREACHABLE
                        && let Some(package) = wanted.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let count = |bytes| {
                            step.bytes(done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
                        };
                        match self.fetch_one(package, lock.resolved, cache, &count) {
                            Ok(Ok(())) => (),
                            Ok(Err(missing)) => {
                                unreachable
                                    .fetch_add(missing.unreachable.into(), Ordering::Relaxed);
                                push(&failures, ((*package).clone(), missing.reasons));
                            }
                            Err(error) => {
                                *broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
                                    Some(error);
                                return;
                            }
                        }
                    }
                });
            }
        });
        if let Some(error) = broken.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner)
        {
            return Err(error);
        }
        let mut packages = failures.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        packages.sort();
        let not_tried = wanted.len().saturating_sub(next.into_inner());
        if packages.is_empty() {
            return Ok(());
        }
        Err(MissingPackages { packages, not_tried }.into())
    }

    /// `Ok(Err(missing))` when no address gives it; `Err` when the cache cannot take it.
    fn fetch_one(
        &self,
        package: &LockedPackage,
        resolved: u64,
        cache: &Cache,
        count: &dyn Fn(u64),
    ) -> Result<Result<(), Missing>> {
        let mut missing = Missing::default();
        for address in addresses(self.debian, package, resolved) {
            for attempt in 1..=TRIES {
                match self.download(&address, package, cache, count) {
                    Ok(()) => return Ok(Ok(())),
                    Err(Failure::Cache(error)) => {
                        let doing = || format!("cannot store `{}` in the cache", package.name);
                        return Err(error).with_context(doing);
                    }
                    Err(Failure::Gone(reason)) => {
                        missing.reasons.push(format!("{address}: {reason}"));
                        break;
                    }
                    Err(Failure::Transient(reason)) if attempt == TRIES => {
                        missing.unreachable = true;
                        missing.reasons.push(format!("{address}: {reason}"));
                    }
                    Err(Failure::Transient(_)) => {
                        std::thread::sleep(Duration::from_millis(200) * attempt.pow(2));
                    }
                }
            }
        }
        Ok(Err(missing))
    }

    fn download(
        &self,
        address: &str,
        package: &LockedPackage,
        cache: &Cache,
        count: &dyn Fn(u64),
    ) -> Result<(), Failure> {
        let allowed = self.patience + Duration::from_secs(package.size / SLOWEST);
        let request = self.agent.get(address).config().timeout_global(Some(allowed)).build();
        let mut response = request.call().map_err(|error| refusal(&error))?;
        // One byte more than expected is enough to know that it is another file.
        let mut body = response.body_mut().as_reader().take(package.size + 1);
        // Among the work under way, where what a cut build leaves goes at the next one.
        let mut file = tempfile::NamedTempFile::new_in(cache.tmp()).map_err(Failure::Cache)?;
        let (hash, length) = copy_hashed(&mut body, file.as_file_mut(), count)?;
        if length != package.size || hash != package.sha256 {
            let reason = format!("it is another file than the lock says (SHA-256 {hash})");
            return Err(Failure::Gone(reason));
        }
        file.as_file().sync_all().map_err(Failure::Cache)?;
        let to = cache.package(&package.sha256);
        basalt_durable::rename(&file.into_temp_path(), &to).map_err(Failure::Cache)
    }
}

/// Why a package cannot be had.
#[derive(Debug, Default)]
struct Missing {
    /// One for each address.
    reasons: Vec<String>,
    /// Whether an address did not answer as a server should, where another day might help.
    unreachable: bool,
}

enum Failure {
    /// This address will not give it, however often it is asked.
    Gone(String),
    /// It may at the next try.
    Transient(String),
    /// The cache cannot take it.
    Cache(io::Error),
}

fn refusal(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::StatusCode(code) if (400..500).contains(code) && *code != 429 => {
            Failure::Gone(format!("the server answered {code}"))
        }
        other => Failure::Transient(other.to_string()),
    }
}

fn copy_hashed(
    from: &mut impl Read,
    to: &mut File,
    count: &dyn Fn(u64),
) -> Result<(String, u64), Failure> {
    let mut hash = Sha256::new();
    let mut length = 0;
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = from.read(&mut buffer).map_err(|error| Failure::Transient(error.to_string()))?;
        if read == 0 {
            return Ok((hex::encode(hash.finalize()), length));
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read]).map_err(Failure::Cache)?;
        length += read as u64;
        count(read as u64);
    }
}

/// The packages that the cache does not have whole. A damaged file is removed.
fn missing<'l>(lock: &'l Lock, cache: &Cache, step: &Step) -> Result<Vec<&'l LockedPackage>> {
    let mut wanted = Vec::new();
    for package in &lock.packages {
        let path = cache.package(&package.sha256);
        let doing = || format!("cannot read `{}`", path.display());
        match is_whole(&path, package) {
            Ok(true) => continue,
            Ok(false) => {
                step.say(&format!("`{}` is damaged in the cache; getting it again", package.name));
                fs::remove_file(&path).with_context(doing)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(error).with_context(doing),
        }
        wanted.push(package);
    }
    Ok(wanted)
}

fn is_whole(path: &Path, package: &LockedPackage) -> io::Result<bool> {
    Ok(fs::metadata(path)?.len() == package.size && sha256_of_file(path)? == package.sha256)
}

/// Where a package can be had, the likeliest first.
fn addresses(debian: &Debian, package: &LockedPackage, resolved: u64) -> Vec<String> {
    let join = |base: &str, path: &str| format!("{}/{}", base.trim_end_matches('/'), encode(path));
    let mirror = match package.archive {
        Archive::Debian => Some(debian.mirror.as_str()),
        Archive::Security => debian.security_mirror.as_deref(),
    };
    let mut addresses: Vec<String> =
        mirror.iter().map(|mirror| join(mirror, &package.path)).collect();
    if let Some(snapshot) = &debian.snapshot_mirror
        && let Ok(day) = snapshot_name(resolved)
    {
        let snapshot = match package.archive {
            Archive::Debian => snapshot.trim_end_matches('/').to_owned(),
            // snapshot.debian.org keeps the security archive beside the main one.
            Archive::Security => format!("{}-security", snapshot.trim_end_matches('/')),
        };
        addresses.push(join(&format!("{snapshot}/{day}"), &package.path));
    }
    addresses
}

/// The name under which a snapshot mirror keeps the archive as it was: `20261123T071700Z`.
fn snapshot_name(seconds: u64) -> Result<String> {
    let Ok(seconds) = i64::try_from(seconds) else { bail!("time out of range") };
    let time = jiff::Timestamp::from_second(seconds)?;
    Ok(time.strftime("%Y%m%dT%H%M%SZ").to_string())
}

/// Percent-encodes what a URL path may not carry as it is.
fn encode(path: &str) -> String {
    path.chars()
        .map(|c| match c {
            '+' => "%2b".to_owned(),
            '~' => "%7e".to_owned(),
            '%' => "%25".to_owned(),
            ' ' => "%20".to_owned(),
            _ => c.to_string(),
        })
        .collect()
}

fn push<T>(list: &Mutex<Vec<T>>, item: T) {
    list.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(item);
}

#[cfg(test)]
mod tests;
