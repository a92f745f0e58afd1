//! What the host knows of releases, and what became of its updates; kept in `/var`, for it must
//! outlast them.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_durable::PRIVATE;
use basalt_release::Standing;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Events that are kept.
const MAX_EVENTS: usize = 100;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct Memory(PathBuf);

/// Something that was done to the system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    pub(crate) at: Timestamp,
    pub(crate) what: What,
    /// The version that it was about.
    pub(crate) version: String,
    /// Its commit, 64 hex digits.
    pub(crate) commit: String,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// It was put into the other slot; the next boot is its trial.
    Installed,
    /// The other slot boots next.
    RolledBack,
}

impl Memory {
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// What is known; nothing, on a host that never was updated.
    pub(crate) fn standing(&self) -> Result<Standing> {
        self.read("standing.json")
    }

    pub(crate) fn keep_standing(&self, standing: &Standing) -> Result<()> {
        self.write("standing.json", standing)
    }

    /// The oldest first.
    pub(crate) fn history(&self) -> Result<Vec<Event>> {
        self.read("history.json")
    }

    pub(crate) fn note(&self, event: Event) -> Result<()> {
        let mut events = self.history()?;
        events.push(event);
        let old = events.len().saturating_sub(MAX_EVENTS);
        self.write("history.json", &events[old..])
    }

    fn read<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T> {
        let path = self.0.join(name);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(T::default()),
            bytes => bytes.with_context(|| format!("cannot read `{}`", path.display()))?,
        };
        // Without it an old manifest could be played again: a person has to look.
        serde_json::from_slice(&bytes).with_context(|| {
            format!(
                "`{}` is damaged\nhint: move it away; the host then forgets which releases were \
                 bad here and how new the newest was",
                path.display()
            )
        })
    }

    fn write<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<()> {
        let path = self.0.join(name);
        let doing = || format!("cannot write `{}`", path.display());
        fs::create_dir_all(&self.0).with_context(doing)?;
        let mut bytes = serde_json::to_vec_pretty(value).with_context(doing)?;
        bytes.push(b'\n');
        basalt_durable::write(&path, &bytes, PRIVATE).with_context(doing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_there_later_and_the_oldest_events_go() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::at(&dir.path().join("os"));
        assert_eq!(memory.standing().unwrap(), Standing::default());
        let standing = Standing { sequence: 7, pinned: Some("why".into()), ..Default::default() };
        memory.keep_standing(&standing).unwrap();
        assert_eq!(memory.standing().unwrap(), standing);
        for number in 0..=MAX_EVENTS {
            let version = number.to_string();
            let (at, commit) = (Timestamp::UNIX_EPOCH, "ab".repeat(32));
            memory.note(Event { at, what: What::Installed, version, commit }).unwrap();
        }
        let history = memory.history().unwrap();
        assert_eq!((history.len(), history[0].version.as_str()), (MAX_EVENTS, "1"));
    }

    #[test]
    fn a_damaged_file_is_told_and_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("standing.json"), "{").unwrap();
        let error = format!("{:#}", Memory::at(dir.path()).standing().unwrap_err());
        assert!(error.contains("standing.json` is damaged\nhint: move it away"), "{error}");
    }
}
