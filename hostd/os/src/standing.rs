//! What the host knows of releases, and what became of its updates; kept in `/var`, for it must
//! outlast them.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_api::os;
use basalt_durable::PRIVATE;
use basalt_release::Standing;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::trial::Trial;

/// Events that are kept.
const MAX_EVENTS: usize = 100;

/// There as long as a trial is open: a unit of the image looks for it.
const TRIAL: &str = "trial.json";

const STANDING: &str = "standing.json";
/// Held for the moment in which that is read, changed and written.
const STANDING_LOCK: &str = "standing.lock";
/// What [`os::KARGS_FILE`] is called here.
const KARGS: &str = "kargs.json";
const HISTORY: &str = "history.json";
const WAY_BACK: &str = "rollback.json";
/// What [`os::REBOOT_WISH_FILE`] is called here.
const REBOOT: &str = "reboot.json";
/// What [`os::VERDICT_FILE`] is called here.
const VERDICT: &str = "verdict.json";

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
    /// Why, of a release that was found to be bad.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The last lines of the boot that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) journal: Vec<String>,
}

/// A rollback that was begun; it is history once its boot entry is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WayBack {
    /// The serial of its boot entry.
    pub(crate) serial: u64,
    pub(crate) event: Event,
    /// The host's own kernel arguments in that entry, which are the host's again with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kargs: Option<Vec<String>>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum What {
    /// It was put into the other slot; the next boot is its trial.
    Installed,
    /// The other slot boots next.
    RolledBack,
    /// What runs boots next with other kernel arguments.
    Kargs,
    /// What waited to be tried was taken back.
    Withdrawn,
    /// It proved itself.
    Good,
    /// It did not, and left word of why.
    Bad,
    /// It did not, and nobody knows why.
    Inconclusive,
}

impl Event {
    /// As it is told to others.
    pub(crate) fn told(self) -> os::Event {
        os::Event {
            at: self.at.to_string(),
            what: match self.what {
                What::Installed => "installed".to_owned(),
                What::RolledBack => "rolled_back".to_owned(),
                What::Kargs => "kargs".to_owned(),
                What::Withdrawn => "withdrawn".to_owned(),
                What::Good => "good".to_owned(),
                What::Bad => "bad".to_owned(),
                What::Inconclusive => "inconclusive".to_owned(),
            },
            release: os::Release { version: self.version, commit: self.commit },
            reason: self.reason,
            journal: self.journal,
        }
    }

    pub(crate) fn of(what: What, at: Timestamp, version: &str, commit: &str) -> Self {
        let (version, commit) = (version.to_owned(), commit.to_owned());
        Self { at, what, version, commit, reason: None, journal: Vec::new() }
    }
}

impl Memory {
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// What is known; nothing, on a host that never was updated.
    pub(crate) fn standing(&self) -> Result<Standing> {
        self.read(STANDING)
    }

    /// Changes what is known, as it is at this moment: a host is pinned by another process than the
    /// one that has spent minutes on a download. Nothing is written where `change` fails.
    pub(crate) fn change_standing<T>(
        &self,
        change: impl FnOnce(&mut Standing) -> Result<T>,
    ) -> Result<T> {
        let _alone = self.lock(STANDING_LOCK)?;
        let before = self.standing()?;
        let mut standing = before.clone();
        let changed = change(&mut standing)?;
        if standing != before {
            self.write(STANDING, &standing)?;
        }
        Ok(changed)
    }

    /// Takes no update for this reason, or takes them again.
    pub(crate) fn pin(&self, reason: Option<String>) -> Result<()> {
        self.change_standing(|standing| {
            standing.pinned = reason;
            Ok(())
        })
    }

    /// Forgets what became of a release, by its version or its commit.
    pub(crate) fn clear(&self, release: &str) -> Result<()> {
        let named: Vec<String> = self
            .history()?
            .into_iter()
            .filter(|event| event.version == release)
            .map(|event| event.commit)
            .collect();
        let is_meant = |commit: &String| commit == release || named.contains(commit);
        let told: Option<os::Event> = self.read(VERDICT)?;
        let is_told = told.is_some_and(|told| is_meant(&told.release.commit));
        self.change_standing(|standing| {
            let before = standing.verdicts.len();
            standing.verdicts.retain(|commit, _| !is_meant(commit));
            if standing.verdicts.len() == before && !is_told {
                bail!(
                    "nothing is known of a release `{release}`\nhint: `hostctl os status` lists \
                     what became of releases here"
                );
            }
            Ok(())
        })?;
        if is_told { self.remove(VERDICT) } else { Ok(()) }
    }

    /// The host's own kernel arguments, which proved themselves.
    pub(crate) fn kargs(&self) -> Result<Vec<String>> {
        self.read(KARGS)
    }

    pub(crate) fn keep_kargs(&self, kargs: &[String]) -> Result<()> {
        self.write(KARGS, kargs)
    }

    /// The release that is to be tried, as long as nobody knows what became of it.
    pub(crate) fn trial(&self) -> Result<Option<Trial>> {
        self.read(TRIAL)
    }

    pub(crate) fn keep_trial(&self, trial: &Trial) -> Result<()> {
        self.write(TRIAL, trial)
    }

    pub(crate) fn forget_trial(&self) -> Result<()> {
        self.remove(TRIAL)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// What `hostd` tells of the release that was tried last.
    pub(crate) fn keep_verdict(&self, verdict: &os::Event) -> Result<()> {
        self.write(VERDICT, verdict)
    }

    /// That the boot `boot_id` shall end in a window, if somebody wished that.
    pub(crate) fn reboot_wish(&self, boot_id: &str) -> Result<Option<os::RebootWish>> {
        let wish: Option<os::RebootWish> = self.read(REBOOT)?;
        Ok(wish.filter(|wish| wish.boot_id == boot_id))
    }

    /// From now on somebody wishes that.
    pub(crate) fn wish_reboot(&self, wish: &os::RebootWish) -> Result<()> {
        self.write(REBOOT, wish)
    }

    /// Nobody does any more.
    pub(crate) fn forget_reboot_wish(&self) -> Result<()> {
        self.remove(REBOOT)
    }

    /// What is over, the oldest first. What was done for a trial that is open is in its own file
    /// until then, so that no cut leaves the one without the other.
    pub(crate) fn history(&self) -> Result<Vec<Event>> {
        self.read(HISTORY)
    }

    /// Writes down what was done, unless that is written.
    pub(crate) fn note(&self, event: &Event) -> Result<()> {
        let mut events = self.history()?;
        if events.contains(event) {
            return Ok(());
        }
        events.push(event.clone());
        self.keep_history(&events)
    }

    /// Writes down what was done and what became of it, at once. After a cut that is asked for once
    /// more, at another moment; it is written once.
    pub(crate) fn note_end(&self, begun: Event, end: Event) -> Result<()> {
        let mut events = self.history()?;
        match events.iter().rposition(|event| *event == begun) {
            None => events.push(begun),
            Some(at) => {
                let is_end = |event: &Event| (event.what, &event.commit) == (end.what, &end.commit);
                if events[at..].iter().any(is_end) {
                    return Ok(());
                }
            }
        }
        events.push(end);
        self.keep_history(&events)
    }

    fn keep_history(&self, events: &[Event]) -> Result<()> {
        let old = events.len().saturating_sub(MAX_EVENTS);
        self.write(HISTORY, &events[old..])
    }

    /// The way back to the other slot that was begun last.
    pub(crate) fn way_back(&self) -> Result<Option<WayBack>> {
        self.read(WAY_BACK)
    }

    pub(crate) fn keep_way_back(&self, way_back: &WayBack) -> Result<()> {
        self.write(WAY_BACK, way_back)
    }

    pub(crate) fn forget_way_back(&self) -> Result<()> {
        self.remove(WAY_BACK)
    }

    /// Waits until nobody else holds this lock, which is held as long as the file lives.
    fn lock(&self, name: &str) -> Result<File> {
        let path = self.0.join(name);
        let doing = || format!("cannot lock `{}`", path.display());
        fs::create_dir_all(&self.0).with_context(doing)?;
        let file = File::create(&path).with_context(doing)?;
        flock(&file, FlockOperation::LockExclusive).with_context(doing)?;
        Ok(file)
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
    use basalt_release::Verdict;

    use super::*;

    fn keep(memory: &Memory, standing: &Standing) {
        let change = |known: &mut Standing| {
            known.clone_from(standing);
            Ok(())
        };
        memory.change_standing(change).unwrap();
    }

    #[test]
    fn what_is_known_is_changed_by_one_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::at(dir.path());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let change = |standing: &mut Standing| {
                            standing.sequence += 1;
                            Ok(())
                        };
                        memory.change_standing(change).unwrap();
                    }
                });
            }
        });
        assert_eq!(memory.standing().unwrap().sequence, 20);
        memory
            .change_standing(|standing| {
                standing.sequence = 7;
                Err::<(), _>(anyhow::anyhow!("no"))
            })
            .unwrap_err();
        assert_eq!(memory.standing().unwrap().sequence, 20, "what fails changes nothing");
    }

    #[test]
    fn what_is_kept_is_there_later_and_the_oldest_events_go() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::at(&dir.path().join("os"));
        assert_eq!(memory.standing().unwrap(), Standing::default());
        let standing = Standing { sequence: 7, pinned: Some("why".into()), ..Default::default() };
        keep(&memory, &standing);
        assert_eq!(memory.standing().unwrap(), standing);
        for number in 0..=MAX_EVENTS {
            let version = number.to_string();
            let (at, commit) = (Timestamp::UNIX_EPOCH, "ab".repeat(32));
            memory.note(&Event::of(What::Installed, at, &version, &commit)).unwrap();
        }
        let history = memory.history().unwrap();
        assert_eq!((history.len(), history[0].version.as_str()), (MAX_EVENTS, "1"));
    }

    #[test]
    fn what_became_of_a_release_is_forgotten_by_its_version_or_its_commit() {
        let dir = tempfile::tempdir().unwrap();
        let memory = Memory::at(dir.path());
        let at = Timestamp::UNIX_EPOCH;
        let (one, two) = ("11".repeat(32), "22".repeat(32));
        memory.note(&Event::of(What::Installed, at, "1", &one)).unwrap();
        let verdicts = [one.clone(), two.clone()].map(|it| (it, Verdict::Inconclusive { at }));
        let standing = Standing { verdicts: verdicts.into(), ..Default::default() };
        keep(&memory, &standing);
        memory.clear("1").unwrap();
        assert_eq!(memory.standing().unwrap().verdicts.into_keys().collect::<Vec<_>>(), [&*two]);
        assert!(memory.clear("1").unwrap_err().to_string().contains("nothing is known"));
        memory.clear(&two).unwrap();
        assert!(memory.standing().unwrap().verdicts.is_empty());
    }

    #[test]
    fn a_damaged_file_is_told_and_not_taken_for_none() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("standing.json"), "{").unwrap();
        let error = format!("{:#}", Memory::at(dir.path()).standing().unwrap_err());
        assert!(error.contains("standing.json` is damaged\nhint: move it away"), "{error}");
    }
}
