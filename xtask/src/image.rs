//! Makes our programs and, with them, the image `base`, as a user would.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use serde::Deserialize;

use crate::program::{self, Output};
use crate::session::{self, Session};

const DEADLINE: Duration = Duration::from_secs(3600);
/// What an image needs, its builder and the programs of its host, and who tells hosts what to run.
const PACKAGES: [&str; 5] =
    ["basalt-builder", "hostd", "hostd-virt", "hostd-os", "basalt-endpoint"];

/// What is made of an image, in the words of `basalt build --format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formats {
    /// What its definition says.
    Own,
    /// A disk, and a live system beside it.
    WithLive,
    /// The same, and the live system on a medium.
    WithMedium,
}

/// An image that was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) commit: String,
    /// `signed` or `unsigned`.
    pub(crate) release: String,
    /// Folder of the disk and its manifest.
    pub(crate) folder: PathBuf,
    /// The disk's file.
    pub(crate) disk: PathBuf,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// Bytes that it takes; the rest are holes.
    pub(crate) allocated: u64,
}

/// The part of `manifest.json` that is used here.
#[derive(Debug, Deserialize)]
struct Manifest {
    name: String,
    version: String,
    commit: String,
    release: String,
    disk: Disk,
}

#[derive(Debug, Deserialize)]
struct Disk {
    file: String,
    size: u64,
    allocated: u64,
}

/// Compiles them with all tests, where tests run as well: these programs have other features, and
/// an image of the others would be another one.
pub(crate) fn compile_with_tests(session: &Session) -> Result<()> {
    session.progress.heading("programs and tests");
    let cmd = Cmd::new(session::cargo())
        .args(["build", "--release", "--workspace", "--all-targets"])
        .current_dir(&session.root);
    program::run(session, cmd, Output::Shown, DEADLINE).map(|_| ())
}

/// Compiles the programs.
pub(crate) fn compile(session: &Session) -> Result<()> {
    session.progress.heading("programs");
    let packages = PACKAGES.iter().flat_map(|package| ["--package", package]);
    let cmd = Cmd::new(session::cargo())
        .args(["build", "--release"])
        .args(packages)
        .current_dir(&session.root);
    program::run(session, cmd, Output::Shown, DEADLINE).map(|_| ())
}

/// Builds the image from the caches; `basalt build` shows how far it is.
pub(crate) fn build(session: &Session, formats: Formats) -> Result<Image> {
    session.progress.heading("image");
    let out = session.out();
    let formats: &[&str] = match formats {
        Formats::Own => &[],
        Formats::WithLive => &["--format", "raw,live"],
        Formats::WithMedium => &["--format", "raw,live,iso"],
    };
    let cmd = Cmd::new(session.program("basalt"))
        .args(["build", "images/base.toml", "--locked", "--json"])
        .args(formats)
        .arg("--out")
        .arg(&out)
        .current_dir(&session.root);
    let manifest = program::run(session, cmd, Output::StdoutKept, DEADLINE)?.join("\n");
    let manifest: Manifest = serde_json::from_str(&manifest)
        .context("cannot read what `basalt build --json` printed")?;
    let folder = out.join(&manifest.name).join(&manifest.version);
    Ok(Image {
        name: manifest.name,
        version: manifest.version,
        commit: manifest.commit,
        release: manifest.release,
        disk: folder.join(manifest.disk.file),
        folder,
        size: manifest.disk.size,
        allocated: manifest.disk.allocated,
    })
}
