//! Image definitions: what a person writes in `images/*.toml`, checked before anything else runs.
//!
//! A definition is read together with those it inherits from, merged, checked as a whole, and only
//! then used. Every mistake names the file, line and column it stands at.

mod check;
mod load;
mod merge;
mod raw;
mod size;

use std::path::PathBuf;
use std::str::FromStr;

use serde::Serialize;

pub use load::DefinitionError;
pub use size::Size;

/// A definition that was checked, with everything it inherits.
#[derive(Debug, Clone, Serialize)]
pub struct Definition {
    /// Name of the image, as `base`.
    pub name: String,
    /// The OSTree ref that names its commits.
    pub ostree_ref: String,
    /// What is built beside the commit.
    pub formats: Vec<Format>,
    /// Names of Debian packages; what they depend on comes with them.
    pub packages: Vec<String>,
    /// Where the packages come from.
    pub debian: Debian,
    /// What of the packages stays out.
    pub tree: Tree,
    /// The kernel and its modules.
    pub kernel: Kernel,
    /// The initramfs.
    pub initramfs: Initramfs,
    /// What a live system has beside the image.
    pub live: Live,
    /// Units to enable, disable and mask.
    pub units: Units,
    /// System users.
    pub users: Vec<User>,
    /// System groups.
    pub groups: Vec<Group>,
    /// Folders laid over the tree, absolute.
    pub overlay: Overlay,
    /// Sizes of the disk image.
    pub disk: DiskSizes,
}

/// What a build makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// A disk image.
    Raw,
    /// The same disk, compressed, as QEMU reads it.
    Qcow2,
    /// A kernel, an initrd and a root that is fetched: a system that boots without a disk.
    Live,
    /// The same on a medium: a disc, or a stick that it is written to.
    Iso,
}

impl Format {
    /// Whether it takes a live system.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Live | Self::Iso)
    }
}

/// A word that is no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the format `{0}` is not known; known are `raw`, `qcow2`, `live` and `iso`")]
pub struct UnknownFormat(pub String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Self, UnknownFormat> {
        match word {
            "raw" => Ok(Self::Raw),
            "qcow2" => Ok(Self::Qcow2),
            "live" => Ok(Self::Live),
            "iso" => Ok(Self::Iso),
            other => Err(UnknownFormat(other.to_owned())),
        }
    }
}

/// Debian's archive.
#[derive(Debug, Clone, Serialize)]
pub struct Debian {
    /// As `trixie`.
    pub suite: String,
    /// As `main`.
    pub components: Vec<String>,
    /// URL of a mirror.
    pub mirror: String,
    /// More suites of the same mirror, as `trixie-updates`.
    pub extra_suites: Vec<String>,
    /// URL of a mirror of the security archive; adds the suite `SUITE-security`.
    pub security_mirror: Option<String>,
    /// URL of a mirror that keeps what the others have dropped, by date.
    pub snapshot_mirror: Option<String>,
    /// File with the keys that sign the archive.
    pub keyring: PathBuf,
}

/// dpkg's filters, as `path-exclude` and `path-include` take them.
#[derive(Debug, Clone, Serialize)]
pub struct Tree {
    /// Patterns of paths to leave out.
    pub exclude: Vec<String>,
    /// Patterns of paths to keep although they are excluded.
    pub include: Vec<String>,
}

/// The kernel and its modules.
#[derive(Debug, Clone, Serialize)]
pub struct Kernel {
    /// Arguments, beside those that select a slot and its root.
    pub arguments: Vec<String>,
    /// Modules loaded at every boot.
    pub modules: Vec<String>,
    /// Modules never loaded by themselves.
    pub blacklist: Vec<String>,
    /// Modules in the initramfs.
    pub drivers: Vec<String>,
    /// Folders of modules left out, as `kernel/sound`.
    pub remove: Vec<String>,
}

/// The initramfs.
#[derive(Debug, Clone, Serialize)]
pub struct Initramfs {
    /// dracut modules.
    pub modules: Vec<String>,
}

/// What a live system has beside the image. None of it is in the commit.
#[derive(Debug, Clone, Serialize)]
pub struct Live {
    /// dracut modules of its initrd, beside those of the initramfs.
    pub modules: Vec<String>,
    /// Kernel modules in its initrd, beside the drivers of the initramfs.
    pub drivers: Vec<String>,
    /// Programs in its `live/bin`, from where the host programs are.
    pub programs: Vec<String>,
    /// Folders laid over its `live`, absolute.
    pub root: Vec<PathBuf>,
    /// Folders laid over the tree before its initrd is made, absolute.
    pub initramfs: Vec<PathBuf>,
}

/// Units to enable, disable and mask.
#[derive(Debug, Clone, Serialize)]
pub struct Units {
    /// Enabled, whatever their preset.
    pub enable: Vec<String>,
    /// Disabled, although their package enables them; their sockets may still start them.
    pub disable: Vec<String>,
    /// Never started.
    pub mask: Vec<String>,
}

/// A system user with an id that never changes. None has a password.
#[derive(Debug, Clone, Serialize)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Id of the first group.
    pub gid: u32,
    /// What the account is for.
    pub comment: String,
    /// Home folder.
    pub home: String,
    /// Login shell.
    pub shell: String,
}

/// A system group with an id that never changes.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// Name.
    pub name: String,
    /// Group id.
    pub gid: u32,
    /// Users in it beside those whose first group it is.
    pub members: Vec<String>,
}

/// Folders laid over the tree, absolute.
#[derive(Debug, Clone, Serialize)]
pub struct Overlay {
    /// Laid last.
    pub root: Vec<PathBuf>,
    /// Laid before the initramfs is made; only these reach it.
    pub initramfs: Vec<PathBuf>,
}

/// Sizes of the disk image.
#[derive(Debug, Clone, Serialize)]
pub struct DiskSizes {
    /// The whole disk; what is left behind the root becomes /var on the first boot.
    pub size: Size,
    /// The EFI system partition.
    pub esp: Size,
    /// The root, which holds two versions of the system.
    pub root: Size,
    /// The least that must be left for /var.
    pub var_min: Size,
}

impl Definition {
    /// One line about it, for people.
    #[must_use]
    pub fn summary(&self) -> String {
        format!(
            "{} from Debian {}, {} packages named, disk of {}",
            self.name,
            self.debian.suite,
            self.packages.len(),
            self.disk.size
        )
    }
}

#[cfg(test)]
pub(crate) use tests::example;

#[cfg(test)]
mod tests;
