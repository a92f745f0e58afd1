//! What a commit wants on the ESP: its kernel, its initramfs, its boot entry.

use anyhow::Result;
use basalt_api::os;
use basalt_deploy::Repo;
use basalt_release::Manifest;
use basalt_sysroot::boot_file::Kind;
use basalt_sysroot::kargs;
use basalt_sysroot::slot::Slot;
use basalt_sysroot::update::{Deployment, Release};

use crate::esp::place;

/// The name under which the repository keeps where it gets its commits.
pub(crate) const REMOTE: &str = "basalt";

/// A release whose commit is in the repository, with what it boots from.
pub(crate) struct Incoming {
    /// What the repository knows the commit under: `remote:ref`.
    pub(crate) refspec: String,
    pub(crate) release: Release,
    pub(crate) linux: Vec<u8>,
    pub(crate) initrd: Vec<u8>,
}

/// How a release is installed.
pub(crate) struct How<'a> {
    pub(crate) slot: Slot,
    pub(crate) tries: u32,
    /// The host's own kernel arguments.
    pub(crate) kargs: &'a [String],
}

/// Reads out of its commit what it boots from.
///
/// # Errors
/// The commit lacks something, or cannot be read.
pub(crate) fn read(repo: &Repo, manifest: &Manifest, how: &How<'_>) -> Result<Incoming> {
    read_commit(repo, &manifest.commit, format!("{REMOTE}:{}", manifest.ref_name), how)
}

/// The same for a commit that is known under this `refspec`.
///
/// # Errors
/// As of [`read`].
pub(crate) fn read_commit(
    repo: &Repo,
    commit: &str,
    refspec: String,
    how: &How<'_>,
) -> Result<Incoming> {
    let folder = repo.kernel_folder(commit)?;
    let linux = repo.needed(commit, &format!("{folder}/vmlinuz"))?;
    let initrd = repo.needed(commit, &format!("{folder}/initramfs.img"))?;
    let release = Release {
        commit: commit.to_owned(),
        title: repo.title(commit)?,
        options: kargs::for_slot(how.slot, &repo.kernel_arguments(commit)?, how.kargs).join(" "),
        linux: place(Kind::Linux, &linux),
        initrd: place(Kind::Initrd, &initrd),
        tries: how.tries,
    };
    Ok(Incoming { refspec, release, linux, initrd })
}

/// What a deployment is of.
///
/// # Errors
/// Its commit cannot be read.
pub(crate) fn of(repo: &Repo, deployment: &Deployment) -> Result<os::Release> {
    let known = repo.describe(&deployment.commit)?;
    let version = known.and_then(|it| it.version).unwrap_or_default();
    Ok(os::Release { version, commit: deployment.commit.clone() })
}
