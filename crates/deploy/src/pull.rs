//! Brings a commit over the network.

use std::path::{Path, PathBuf};

use ostree::gio;
use ostree::glib::VariantDict;
use ostree::{AsyncProgress, RepoRemoteChange};

use crate::DeployError;
use crate::error::Doing;
use crate::repo::{NEVER, Repo, not_utf8};

/// The slowest download that is still waited for, in bytes a second, and for how long.
const SLOWEST: (u32, u32) = (1000, 60);
/// Times that libostree asks for a file again, beside the first.
const RETRIES: u32 = 3;

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
        told: impl Fn(Transfer) + 'static,
    ) -> Result<(), DeployError> {
        self.know(remote)?;
        let options = VariantDict::new(None);
        options.insert("refs", vec![ref_name.to_owned()]);
        // The release manifest says which commit it is, whatever the ref says by now.
        options.insert("override-commit-ids", vec![commit.to_owned()]);
        options.insert("gpg-verify", true);
        options.insert("gpg-verify-summary", false);
        options.insert("n-network-retries", RETRIES);
        options.insert("low-speed-limit-bytes", SLOWEST.0);
        options.insert("low-speed-time-seconds", SLOWEST.1);
        let progress = AsyncProgress::new();
        progress.connect_changed(move |progress| told(transfer(progress)));
        let pulled =
            self.inner.pull_with_options(remote.name, &options.end(), Some(&progress), NEVER);
        progress.finish();
        pulled.doing(|| format!("get {commit} from `{}`", remote.url))
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

/// What libostree counts, under its names.
fn transfer(progress: &AsyncProgress) -> Transfer {
    Transfer {
        bytes: progress.uint64("bytes-transferred"),
        of: progress.uint64("total-delta-part-size"),
        files: (progress.uint("fetched"), progress.uint("requested")),
    }
}
