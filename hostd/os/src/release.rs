//! What a commit wants on the ESP: its kernel, its initramfs, its boot entry.

use anyhow::{Context, Result, bail};
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
const MODULES: &str = "usr/lib/modules";
const OS_RELEASE: &str = "usr/lib/os-release";

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
    let folder = kernel_folder(repo, commit)?;
    let linux = file(repo, commit, &format!("{folder}/vmlinuz"))?;
    let initrd = file(repo, commit, &format!("{folder}/initramfs.img"))?;
    let release = Release {
        commit: commit.to_owned(),
        title: title(repo, commit)?,
        options: kargs::for_slot(how.slot, &arguments(repo, commit)?, how.kargs).join(" "),
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

fn kernel_folder(repo: &Repo, commit: &str) -> Result<String> {
    let mut with_kernel = Vec::new();
    for version in repo.list_folder(commit, MODULES)? {
        let folder = format!("{MODULES}/{version}");
        if repo.file_size(commit, &format!("{folder}/vmlinuz"))?.is_some() {
            with_kernel.push(folder);
        }
    }
    match &with_kernel[..] {
        [folder] => Ok(folder.clone()),
        [] => bail!("{commit} has no kernel in `/{MODULES}`"),
        many => bail!("{commit} has more than one kernel: {}", many.join(", ")),
    }
}

fn file(repo: &Repo, commit: &str, path: &str) -> Result<Vec<u8>> {
    repo.read_file(commit, path)?.with_context(|| format!("{commit} has no `/{path}`"))
}

/// What the loader's menu shows: the release's own `PRETTY_NAME`.
fn title(repo: &Repo, commit: &str) -> Result<String> {
    let text = file(repo, commit, OS_RELEASE)?;
    let text = String::from_utf8_lossy(&text);
    let title = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    let title = title.map(|title| title.trim_matches(['"', '\'']));
    Ok(title.with_context(|| format!("`/{OS_RELEASE}` of {commit} has no PRETTY_NAME"))?.to_owned())
}

/// The kernel arguments that the image has.
///
/// # Errors
/// A file of them cannot be read.
pub(crate) fn arguments(repo: &Repo, commit: &str) -> Result<Vec<String>> {
    let mut arguments = Vec::new();
    for name in repo.list_folder(commit, kargs::FOLDER)? {
        if !name.ends_with(kargs::SUFFIX) {
            continue;
        }
        let path = format!("{}/{name}", kargs::FOLDER);
        let text = String::from_utf8(file(repo, commit, &path)?)
            .with_context(|| format!("`/{path}` of {commit} is not text"))?;
        arguments.extend(kargs::parse(&text).with_context(|| format!("`/{path}` of {commit}"))?);
    }
    Ok(arguments)
}
