//! The image under test: the folder that `basalt build` made.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Names the folder with `manifest.json` and the disk.
pub const VARIABLE: &str = "BASALT_IMAGE_DIR";

/// A built image.
#[derive(Debug, Clone)]
pub struct Image {
    /// Its disk.
    pub disk: PathBuf,
    /// Its version.
    pub version: String,
    /// The checksum of its OSTree commit.
    pub commit: String,
    /// The hash of what it was built from.
    pub build_id: String,
}

#[derive(Deserialize)]
struct Manifest {
    version: String,
    commit: String,
    build_id: String,
    disk: Disk,
}

#[derive(Deserialize)]
struct Disk {
    file: String,
}

/// What the manifest says of what was built in this folder.
///
/// # Errors
/// There is none, or it does not say that.
pub fn manifest<T: DeserializeOwned>(folder: &Path) -> Result<T> {
    let path = folder.join("manifest.json");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot understand `{}`", path.display()))
}

impl Image {
    /// The image that the environment names.
    ///
    /// # Errors
    /// It names none, or one without a manifest.
    pub fn from_env() -> Result<Self> {
        let folder = std::env::var_os(VARIABLE)
            .with_context(|| format!("{VARIABLE} must name a folder as `out/base/1`"))?;
        Self::read(Path::new(&folder))
    }

    /// The one in this folder.
    ///
    /// # Errors
    /// It has no manifest.
    pub fn read(folder: &Path) -> Result<Self> {
        let Manifest { version, commit, build_id, disk } = manifest(folder)?;
        Ok(Self { disk: folder.join(disk.file), version, commit, build_id })
    }

    /// The same on a new disk that has this one's content until it is written.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn on(&self, disk: &Path) -> Result<Self> {
        let of =
            if self.disk.extension().is_some_and(|end| end == "qcow2") { "qcow2" } else { "raw" };
        let create = Cmd::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", of, "-b"]);
        create.arg(fs::canonicalize(&self.disk)?).arg(disk).run()?;
        Ok(Self { disk: disk.to_owned(), ..self.clone() })
    }
}
