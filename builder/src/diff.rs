//! `basalt diff`: what changed between two builds.

mod packages;
mod paths;

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use basalt_deploy::Repo;
use serde::Serialize;

use crate::manifest::Manifest;
use crate::progress::Progress;
pub use packages::Packages;
pub use paths::Paths;

/// dpkg's database, where an image has it.
const DPKG_STATUS: &str = "usr/lib/sysimage/dpkg/status";
/// One folder for each kernel.
const MODULES: &str = "usr/lib/modules";

/// Whether the delta is made to be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeltaSize {
    /// It takes as long as publishing it.
    Measured,
    /// It is not.
    NotAsked,
}

/// What changed.
#[derive(Debug, Serialize)]
pub struct Diff {
    /// Debian packages.
    pub packages: Packages,
    /// Kernels before and after.
    pub kernel: Kernels,
    /// Files, links and folders.
    pub files: Paths,
    /// Bytes of the static delta, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta_bytes: Option<u64>,
}

/// Releases of the kernel, as `6.12.118+deb13-amd64`.
#[derive(Debug, Serialize)]
pub struct Kernels {
    /// Before.
    pub old: Vec<String>,
    /// After.
    pub new: Vec<String>,
}

/// Compares two builds in one repository.
///
/// # Errors
/// One of them is not there, or cannot be read.
pub fn diff(
    repo: &Path,
    old: &str,
    new: &str,
    delta: DeltaSize,
    progress: Progress,
) -> Result<Diff> {
    let opened = Repo::open(repo).with_context(|| {
        format!("no builds in `{}`\nhint: name their repository with `--repo`", repo.display())
    })?;
    let find = |name: &str| commit(&opened, repo, name);
    let (old, new) = (find(old)?, find(new)?);
    let packages = |commit: &str| -> Result<String> {
        let status = opened.read_file(commit, DPKG_STATUS)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&status).into_owned())
    };
    let delta_bytes = match delta {
        DeltaSize::NotAsked => None,
        DeltaSize::Measured => {
            let step = progress.step("delta");
            let work = tempfile::tempdir().context("no room for the delta")?;
            let bytes = opened.measure_delta(&old, &new, work.path())?;
            step.finish(&format!("{} kB", bytes / 1000));
            Some(bytes)
        }
    };
    Ok(Diff {
        packages: Packages::between(&packages(&old)?, &packages(&new)?),
        kernel: Kernels {
            old: opened.list_folder(&old, MODULES)?,
            new: opened.list_folder(&new, MODULES)?,
        },
        files: Paths::between(&opened.paths(&old)?, &opened.paths(&new)?),
        delta_bytes,
    })
}

/// The commit of a build's folder, of a ref, or itself.
fn commit(repo: &Repo, path: &Path, name: &str) -> Result<String> {
    let commit = match Manifest::read(Path::new(name)) {
        Some(manifest) => manifest.commit,
        None if is_checksum(name) => name.to_owned(),
        None => repo.resolve(name)?.with_context(|| {
            format!(
                "`{name}` is neither the folder of a build nor a ref of `{}`\nhint: `basalt \
                 build` prints its folder, as `out/base/1`",
                path.display()
            )
        })?,
    };
    if repo.has(&commit)? {
        return Ok(commit);
    }
    bail!(
        "`{}` does not have the commit {commit} of `{name}`\nhint: name the repository that was \
         built to with `--repo`",
        path.display()
    )
}

/// How much changed, in one line.
fn summary(changed: usize, added: usize, removed: usize) -> String {
    format!("{changed} changed, {added} added, {removed} removed")
}

fn is_checksum(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Diff {
    /// As people read it; every file by its name with `files`.
    #[must_use]
    pub fn text(&self, files: bool) -> String {
        let mut text = format!("packages  {}\n", self.packages.summary());
        self.packages.list(&mut text);
        let kernel = |kernels: &[String]| kernels.join(", ");
        let (old, new) = (kernel(&self.kernel.old), kernel(&self.kernel.new));
        let kernel =
            if old == new { format!("{old}, unchanged") } else { format!("{old} → {new}") };
        // Writing to a string does not fail.
        let _ = writeln!(text, "kernel    {kernel}");
        let _ = writeln!(text, "files     {}", self.files.summary());
        if files {
            self.files.list(&mut text);
        }
        if let Some(bytes) = self.delta_bytes {
            let _ = writeln!(text, "delta     {} kB", bytes.div_ceil(1000));
        }
        text
    }
}
