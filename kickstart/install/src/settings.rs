//! What the kickstart says of the host itself: files in its `/etc` and `/var`, and its units.

mod accounts;
mod arrays;
mod clock;
mod enrol;
mod firewall;
mod fstab;
mod network;
mod units;

use std::fmt;

use anyhow::Result;
use basalt_api::enrol::JoinString;
use basalt_api::os::KARGS_FILE;
use basalt_kickstart::model::Kickstart;
use serde::{Serialize, Serializer};

use crate::edge::Edge;
use crate::facts::Facts;
use crate::image::Image;
use crate::plan::{ArrayPlan, DiskPlan, Make, Role};
use crate::problems::Problems;

pub use units::Units;

/// Mode of a file for everybody to read.
const PUBLIC: u32 = 0o644;
/// Mode of a file for its owner only.
const PRIVATE: u32 = 0o600;
/// Who owns what is no user's.
const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// Whom a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's.
    pub gid: u32,
}

/// A change to what the image brings. Paths are the host's, in `/etc` or `/var`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// A folder is there, with this mode, and those above it.
    Folder {
        /// Where.
        path: String,
        /// Its mode.
        mode: u32,
        /// Whose it is.
        owner: Owner,
    },
    /// A file is this, and no other.
    File {
        /// Where.
        path: String,
        /// Its mode.
        mode: u32,
        /// Whose it is.
        owner: Owner,
        /// What is in it.
        text: Text,
    },
    /// A link leads there, in place of whatever is there.
    Link {
        /// Where.
        path: String,
        /// To what.
        to: String,
    },
}

/// What is in a file. It may hold secrets, and is in no log and no JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("(hidden)")
    }
}

impl Change {
    /// Where.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Folder { path, .. } | Self::File { path, .. } | Self::Link { path, .. } => path,
        }
    }

    fn public(path: &str, text: String) -> Self {
        Self::File { path: path.to_owned(), mode: PUBLIC, owner: ROOT, text: Text(text) }
    }

    /// That this host is the machine of this id, as systemd writes it.
    pub(crate) fn machine_id(id: &str) -> Self {
        let (path, text) = ("/etc/machine-id".to_owned(), Text(format!("{id}\n")));
        Self::File { path, mode: 0o444, owner: ROOT, text }
    }

    fn private(path: &str, text: String) -> Self {
        Self::File { path: path.to_owned(), mode: PRIVATE, owner: ROOT, text: Text(text) }
    }
}

/// What the host is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Changes to its files, in the order in which they are made.
    pub changes: Vec<Change>,
    /// Units that are switched on and off.
    pub units: Units,
}

impl Settings {
    /// What the host enrols by, where it is told.
    #[must_use]
    pub fn join(&self) -> Option<JoinString> {
        self.text(enrol::JOIN)?.trim().parse().ok()
    }

    /// The host's name, where it is told one.
    #[must_use]
    pub fn hostname(&self) -> Option<String> {
        Some(self.text(clock::HOSTNAME)?.trim().to_owned())
    }

    fn text(&self, path: &str) -> Option<&str> {
        self.changes.iter().find_map(|change| match change {
            Change::File { path: at, text, .. } if at == path => Some(text.0.as_str()),
            _ => None,
        })
    }
}

/// What settings are made from.
pub(crate) struct Ground<'a> {
    pub(crate) asked: &'a Kickstart,
    pub(crate) image: &'a dyn Image,
    pub(crate) facts: &'a Facts,
    pub(crate) edge: &'a mut dyn Edge,
}

/// All settings, or what is wrong with them in `problems`.
///
/// # Errors
/// The image cannot be read.
pub(crate) fn settings(
    ground: &mut Ground<'_>,
    (disks, arrays): (&[DiskPlan], &[ArrayPlan]),
    problems: &mut Problems,
) -> Result<Settings> {
    let mut settings = Settings::default();
    let changes = &mut settings.changes;
    clock::settings(ground, changes, problems)?;
    fstab::settings(ground, (disks, arrays), changes)?;
    arrays::settings(arrays, changes);
    network::settings(ground, changes, problems);
    accounts::settings(ground, changes, problems)?;
    firewall::settings(ground, changes, problems);
    enrol::settings(ground, changes, problems)?;
    arguments(ground, disks, changes);
    settings.units = units::settings(ground, changes, problems)?;
    Ok(settings)
}

/// What later releases of the host boot with, too; one that was kept may have others.
fn arguments(ground: &Ground<'_>, disks: &[DiskPlan], changes: &mut Vec<Change>) {
    let own = ground.asked.bootloader.as_ref().map(|it| it.append.clone()).unwrap_or_default();
    let mut parts = disks.iter().flat_map(|disk| &disk.parts);
    let keeps_var = parts.any(|part| part.role == Role::Var && part.make == Make::Keep);
    if !own.is_empty() || keeps_var {
        let text = serde_json::Value::from(own).to_string();
        changes.push(Change::private(KARGS_FILE, text));
    }
}
