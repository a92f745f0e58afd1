//! Brings a commit over the network.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ostree::gio::{self, Cancellable};
use ostree::glib::VariantDict;
use ostree::prelude::CancellableExt;
use ostree::{AsyncProgress, RepoRemoteChange};

use crate::DeployError;
use crate::error::Doing;
use crate::patience::{Patience, Watch};
use crate::repo::{NEVER, Repo, not_utf8};

/// The slowest download that is still waited for, in bytes a second, and for how long.
const SLOWEST: (u32, u32) = (1000, 60);
/// Times that libostree asks for a file again, beside the first.
const RETRIES: u32 = 3;
/// Between two looks at a download that says nothing.
const TICK: Duration = Duration::from_millis(200);

/// Where a host gets its commits, and by which keys it knows them.
#[derive(Debug, Clone, Copy)]
pub struct Remote<'a> {
    /// The name that the repository keeps it under.
    pub name: &'a str,
    /// The archive's URL.
    pub url: &'a str,
    /// Files with the public keys that may sign a commit.
    pub keyrings: &'a [PathBuf],
    /// A file with the CA that vouches for the archive's server; the system's when there is none.
    pub ca: Option<&'a Path>,
    /// A repository on this machine that may have some of it already.
    pub beside: Option<&'a Path>,
    /// How long a download may take.
    pub patience: Patience,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Bytes that came over the wire.
    pub bytes: u64,
    /// Bytes that the delta has; 0 as long as that is not known, or where there is no delta.
    pub of: u64,
    /// Files that came and that are known to be missing, for a download without a delta.
    pub files: (u32, u32),
}

impl Repo {
    /// Brings `commit` over from `remote`, by a static delta from what is here where there is one,
    /// and points the remote's ref `ref_name` at it. Nothing of it is believed before its
    /// signature is. May be cut anywhere: the next call takes up what came.
    ///
    /// # Errors
    /// The archive cannot be reached, is too slow, lacks something or holds something else, the
    /// signature is not by one of the keys, or the disk is full.
    pub fn pull(
        &self,
        remote: &Remote<'_>,
        ref_name: &str,
        commit: &str,
        told: impl Fn(Transfer),
    ) -> Result<(), DeployError> {
        self.fetch(remote, Wanted { ref_name, commit, only: &[] }, told)
    }

    /// As [`pull`](Self::pull), of these paths of `commit` and no others; a path that ends in `/.`
    /// brings what is called so in that folder, and none of the files. The rest is missing as if a
    /// pull had been cut off.
    ///
    /// # Errors
    /// As of [`pull`](Self::pull).
    pub fn pull_parts(
        &self,
        remote: &Remote<'_>,
        ref_name: &str,
        commit: &str,
        only: &[&str],
    ) -> Result<(), DeployError> {
        self.fetch(remote, Wanted { ref_name, commit, only }, |_| ())
    }

    fn fetch(
        &self,
        remote: &Remote<'_>,
        wanted: Wanted<'_>,
        told: impl Fn(Transfer),
    ) -> Result<(), DeployError> {
        let Wanted { ref_name, commit, only } = wanted;
        let fetch = Fetch {
            repo: self.path().to_owned(),
            name: remote.name.to_owned(),
            url: remote.url.to_owned(),
            keyrings: remote.keyrings.to_owned(),
            ca: remote.ca.map(Path::to_owned),
            beside: remote.beside.map(Path::to_owned),
            only: only.iter().map(|path| (*path).to_owned()).collect(),
            patience: remote.patience,
            ref_name: ref_name.to_owned(),
            commit: commit.to_owned(),
        };
        let (says, hears) = channel();
        let cancellable = Cancellable::new();
        let cancel = cancellable.clone();
        // libostree's call goes on waiting although it was cancelled. So nobody waits for it: it is
        // left behind, and ends with this process.
        thread::spawn(move || {
            let done = fetch.run(&says, &cancel);
            // Who has given up does not hear it.
            let _ = says.send(Said::Done(done));
        });
        listen(&hears, remote, told).inspect_err(|_| cancellable.cancel())
    }

    /// Writes down where the archive is and by which keys its commits are known.
    fn know(&self, remote: &Remote<'_>) -> Result<(), DeployError> {
        let text = |path: &Path| path.to_str().map(str::to_owned).ok_or_else(|| not_utf8(path));
        let options = VariantDict::new(None);
        options.insert("gpg-verify", true);
        options.insert("gpg-verify-summary", false);
        let keyrings: Result<Vec<String>, _> = remote.keyrings.iter().map(|it| text(it)).collect();
        // A list in a key file.
        options.insert("gpgkeypath", keyrings?.join(";"));
        if let Some(ca) = remote.ca {
            options.insert("tls-ca-path", text(ca)?);
        }
        let doing = || format!("write down the remote `{}`", remote.name);
        let change = |change, options| {
            let (sysroot, url) = (None::<&gio::File>, Some(remote.url));
            self.inner.remote_change(sysroot, change, remote.name, url, options, NEVER)
        };
        // What an earlier one was told must not linger.
        change(RepoRemoteChange::DeleteIfExists, None).doing(doing)?;
        change(RepoRemoteChange::Add, Some(&options.end())).doing(doing)
    }
}

/// What is brought.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    ref_name: &'a str,
    commit: &'a str,
    /// All of it where this is empty.
    only: &'a [&'a str],
}

/// All that the call needs, for a thread of its own.
struct Fetch {
    repo: PathBuf,
    name: String,
    url: String,
    keyrings: Vec<PathBuf>,
    ca: Option<PathBuf>,
    beside: Option<PathBuf>,
    only: Vec<String>,
    patience: Patience,
    ref_name: String,
    commit: String,
}

/// What is heard of it.
enum Said {
    /// How far it is, whether it waits for the server, and a number that changes with what came.
    Progress(Transfer, bool, u64),
    Done(Result<(), DeployError>),
}

impl Fetch {
    fn remote(&self) -> Remote<'_> {
        Remote {
            name: &self.name,
            url: &self.url,
            keyrings: &self.keyrings,
            ca: self.ca.as_deref(),
            beside: self.beside.as_deref(),
            patience: self.patience,
        }
    }

    fn run(&self, says: &Sender<Said>, cancellable: &Cancellable) -> Result<(), DeployError> {
        let repo = Repo::open(&self.repo)?;
        repo.know(&self.remote())?;
        let options = VariantDict::new(None);
        options.insert("refs", vec![self.ref_name.clone()]);
        // The release manifest says which commit it is, whatever the ref says by now.
        options.insert("override-commit-ids", vec![self.commit.clone()]);
        options.insert("gpg-verify", true);
        options.insert("gpg-verify-summary", false);
        options.insert("n-network-retries", RETRIES);
        options.insert("low-speed-limit-bytes", SLOWEST.0);
        options.insert("low-speed-time-seconds", SLOWEST.1);
        if let Some(beside) = &self.beside {
            let beside = beside.to_str().ok_or_else(|| not_utf8(beside))?;
            options.insert("localcache-repos", vec![beside.to_owned()]);
        }
        if !self.only.is_empty() {
            options.insert("subdirs", self.only.clone());
        }
        // A delta has all of what it is a delta of.
        options.insert("disable-static-deltas", self.beside.is_some() || !self.only.is_empty());
        let progress = AsyncProgress::new();
        let says = says.clone();
        progress.connect_changed(move |progress| {
            let (is_waiting, count) = life(progress);
            let _ = says.send(Said::Progress(transfer(progress), is_waiting, count));
        });
        let (options, cancellable) = (options.end(), Some(cancellable));
        let pulled =
            repo.inner.pull_with_options(&self.name, &options, Some(&progress), cancellable);
        progress.finish();
        pulled.doing(|| format!("get {} from `{}`", self.commit, self.url))
    }
}

/// Listens until it is done, or for as long as there is patience.
fn listen(
    hears: &Receiver<Said>,
    remote: &Remote<'_>,
    told: impl Fn(Transfer),
) -> Result<(), DeployError> {
    let given_up = |why| DeployError::GivenUp { url: remote.url.to_owned(), why };
    let mut watch = Watch::new(remote.patience, Instant::now());
    loop {
        match hears.recv_timeout(TICK) {
            Ok(Said::Done(done)) => return done,
            Ok(Said::Progress(transfer, is_waiting, count)) => {
                watch.hear(is_waiting, count, Instant::now());
                told(transfer);
            }
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => {
                let ended = io::Error::other("the thread ended");
                return Err(ended).doing(|| format!("get anything from `{}`", remote.url));
            }
        }
        if let Some(why) = watch.verdict(Instant::now()) {
            return Err(given_up(why));
        }
    }
}

/// What libostree counts, under its names.
fn transfer(progress: &AsyncProgress) -> Transfer {
    Transfer {
        bytes: progress.uint64("bytes-transferred"),
        of: progress.uint64("total-delta-part-size"),
        files: (progress.uint("fetched"), progress.uint("requested")),
    }
}

/// Whether it waits for the server, and a number that changes whenever something came.
fn life(progress: &AsyncProgress) -> (bool, u64) {
    let waits = progress.uint("outstanding-fetches") > 0;
    let done = ["fetched", "metadata-fetched", "fetched-delta-parts", "outstanding-writes"];
    let done: u64 = done.into_iter().map(|name| u64::from(progress.uint(name))).sum();
    (waits, progress.uint64("bytes-transferred").wrapping_add(done))
}
