//! What is on a host's disk before an update.

use std::fmt;
use std::str::FromStr;

use crate::boot_file::BootFile;
use crate::entry::{BootEntry, EntryName};
use crate::slot::Slot;

/// The disk, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The entry that this boot came from, as it is named now.
    pub running: EntryName,
    /// All of Basalt's entries, the running one too.
    pub entries: Vec<FoundEntry>,
    /// All boot files.
    pub files: Vec<FoundFile>,
    /// Where the slots' links lead: slot a, slot b.
    pub links: [Option<Deployment>; 2],
    /// Everything that is deployed, in whichever state.
    pub deployments: Vec<Deployment>,
}

/// A boot entry's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundEntry {
    /// Its name.
    pub name: EntryName,
    /// What it says; `None` where it is cut off or garbled.
    pub content: Option<BootEntry>,
}

/// A kernel or an initramfs on the ESP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundFile {
    /// Its place, which names what it should hold.
    pub place: BootFile,
    /// Whether it holds that.
    pub whole: bool,
}

/// A deployment, by the name of its folder: `<commit>.<number>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Deployment {
    /// Its commit, 64 hex digits.
    pub commit: String,
    /// Tells deployments of one commit apart.
    pub number: u32,
}

/// A name that is none of libostree's deployments.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a deployment, such as `<64 hex digits>.0`")]
pub struct InvalidDeployment(pub String);

impl Found {
    /// Where the link of this slot leads.
    #[must_use]
    pub fn link(&self, slot: Slot) -> Option<&Deployment> {
        let [a, b] = &self.links;
        match slot {
            Slot::A => a.as_ref(),
            Slot::B => b.as_ref(),
        }
    }

    /// The slot that does not run.
    #[must_use]
    pub fn idle(&self) -> Slot {
        self.running.slot.other()
    }

    /// What the loader would choose before the running entry: it waits to be tried. Half an entry
    /// boots nothing.
    pub(super) fn waits(&self, slot: Slot) -> Option<EntryName> {
        let running = self.running;
        let mut whole = self.of(slot).filter(|it| it.content.is_some()).map(|it| it.name);
        whole.find(|name| name.serial > running.serial && !name.is_exhausted())
    }

    /// The names of all entries.
    pub(super) fn names(&self) -> Vec<EntryName> {
        self.entries.iter().map(|entry| entry.name).collect()
    }

    /// The entries of this slot.
    pub(super) fn of(&self, slot: Slot) -> impl Iterator<Item = &FoundEntry> {
        self.entries.iter().filter(move |entry| entry.name.slot == slot)
    }
}

impl FoundEntry {
    /// Whether it boots with this file.
    pub(super) fn needs(&self, file: BootFile) -> bool {
        self.content.as_ref().is_some_and(|content| {
            [&content.linux, &content.initrd].into_iter().any(|path| *path == file.to_string())
        })
    }
}

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.commit, self.number)
    }
}

impl FromStr for Deployment {
    type Err = InvalidDeployment;

    fn from_str(text: &str) -> Result<Self, InvalidDeployment> {
        let invalid = || InvalidDeployment(text.to_owned());
        let (commit, number) = text.split_once('.').ok_or_else(invalid)?;
        let is_checksum = commit.len() == 64
            && commit.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let plain = number == "0" || number.starts_with(|digit: char| matches!(digit, '1'..='9'));
        if !is_checksum || !plain || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid());
        }
        let number = number.parse().map_err(|_| invalid())?;
        Ok(Self { commit: commit.to_owned(), number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployments_name_is_its_commit_and_a_number() {
        let commit = "0a".repeat(32);
        for number in [0, 7, u32::MAX] {
            let deployment = Deployment { commit: commit.clone(), number };
            assert_eq!(deployment.to_string().parse(), Ok(deployment));
        }
        for text in [
            "",
            ".0",
            "abc.0",
            &commit,
            &format!("{commit}."),
            &format!("{commit}.01"),
            &format!("{commit}.4294967296"),
            &format!("{commit}.0.origin"),
            &format!("{}.0", "0A".repeat(32)),
            &format!("{commit}.+1"),
        ] {
            assert_eq!(text.parse::<Deployment>(), Err(InvalidDeployment(text.to_owned())));
        }
    }
}
