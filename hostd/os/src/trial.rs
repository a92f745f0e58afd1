//! What became of the release that was tried last: it is told from what the loader left of its
//! boot entry, and why it failed from what a failed boot left in the firmware and on the disk.

use std::fs;
use std::path::Path;

use basalt_release::Verdict;
use basalt_sysroot::entry::EntryName;
use basalt_sysroot::loader::Failure;
use basalt_sysroot::update::FoundEntry;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::standing::{Event, What};

/// Where systemd puts what a kernel said last.
pub(crate) const PSTORE: &str = "/var/lib/systemd/pstore";
/// Where the kernel tells of watchdogs.
pub(crate) const WATCHDOGS: &str = "/sys/class/watchdog";
/// `WDIOF_CARDRESET` of `linux/watchdog.h`: the last reset was the watchdog's.
const CARD_RESET: u32 = 0x20;
/// What is told of a release whose boot a watchdog ended.
const HUNG: &str = "it hung: a watchdog reset the host";
const PANIC: &str = "Kernel panic - not syncing:";
/// Bytes of one such file that are looked through, and how many files.
const MAX_PSTORE: (u64, usize) = (1 << 20, 200);

/// A release that was put into the idle slot, to be tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// The serial of its boot entry.
    pub(crate) serial: u64,
    pub(crate) version: String,
    pub(crate) commit: String,
    /// When it was put there.
    pub(crate) at: Timestamp,
    /// The boot in which it was put there, by the kernel's id.
    pub(crate) boot_id: String,
    /// The host's own kernel arguments, where these are what is tried, and no release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kargs: Option<Vec<String>>,
    /// The digest of the running `/etc` that was brought into a release; see
    /// [`digest`](crate::etc::digest).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) etc: Option<String>,
}

/// How its trial goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// It is not over.
    Open,
    /// It proved itself.
    Good,
    /// Its tries are gone, and something else runs.
    Failed,
    /// It never came to it: its entry was not written, or replaced.
    None,
}

impl Trial {
    /// What was done for it, as the history has it.
    pub(crate) fn event(&self) -> Event {
        let event = |what| Event::of(what, self.at, &self.version, &self.commit);
        match &self.kargs {
            None => event(What::Installed),
            Some(kargs) => Event { reason: Some(crate::kargs::named(kargs)), ..event(What::Kargs) },
        }
    }

    /// How it goes, by the entries of now; `running` is the one of this boot.
    pub(crate) fn course(&self, running: EntryName, entries: &[FoundEntry]) -> Course {
        let own = entries.iter().find(|it| it.name.serial == self.serial && it.content.is_some());
        match own.map(|entry| entry.name) {
            None => Course::None,
            Some(name) if name.is_blessed() => Course::Good,
            Some(name) if name.is_exhausted() && running.serial != self.serial => Course::Failed,
            Some(_) => Course::Open,
        }
    }
}

/// What a failed boot left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// What the host itself wrote down.
    pub(crate) failure: Option<Failure>,
    /// The kernel's last words.
    pub(crate) panic: Option<String>,
    /// Whether a watchdog says that it reset the host.
    pub(crate) is_reset_by_watchdog: bool,
}

impl Evidence {
    /// A trial that failed is bad for what it left; without anything it may have been the power.
    pub(crate) fn verdict(self, at: Timestamp) -> Verdict {
        let text = self.failure.map(|failure| failure.text).filter(|text| !text.is_empty());
        let hung = self.is_reset_by_watchdog.then(|| HUNG.to_owned());
        match text.or(self.panic).or(hung) {
            Some(reason) => Verdict::Bad { at, reason },
            None => Verdict::Inconclusive { at },
        }
    }
}

/// What a kernel said when it panicked, not before `since`; the newest.
pub(crate) fn panic_since(folder: &Path, since: Timestamp) -> Option<String> {
    let (max_bytes, max_files) = MAX_PSTORE;
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).into_iter().flatten().take(max_files) {
        let Ok(about) = entry.metadata() else { continue };
        let Some(changed) = about.modified().ok().and_then(|it| Timestamp::try_from(it).ok())
        else {
            continue;
        };
        if !about.is_file() || about.len() > max_bytes || changed < since {
            continue;
        }
        let text = fs::read(entry.path()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let words = text.lines().find_map(|line| line.find(PANIC).map(|at| line[at..].to_owned()));
        found.extend(words.map(|words| (changed, words)));
    }
    found.into_iter().max().map(|(_, words)| words)
}

/// Whether a watchdog says that the host's last reset was its own. Not every one keeps that.
pub(crate) fn is_reset_by_watchdog(folder: &Path) -> bool {
    let says = |entry: fs::DirEntry| {
        let status = fs::read_to_string(entry.path().join("bootstatus")).ok()?;
        status.trim().parse::<u32>().ok()
    };
    let mut statuses = fs::read_dir(folder).into_iter().flatten().flatten().filter_map(says);
    statuses.any(|status| status & CARD_RESET != 0)
}

#[cfg(test)]
mod tests {
    use basalt_sysroot::entry::BootEntry;

    use super::*;

    fn name(text: &str) -> EntryName {
        format!("basalt-{text}.conf").parse().unwrap()
    }

    fn trial() -> Trial {
        let (version, commit) = ("2".to_owned(), "2b".repeat(32));
        let (at, boot_id) = (Timestamp::UNIX_EPOCH, String::new());
        Trial { serial: 2, version, commit, at, boot_id, kargs: None, etc: None }
    }

    #[track_caller]
    fn check(running: &str, names: &str, expected: Course) {
        let entry = |text: &str| {
            let content = BootEntry {
                title: String::new(),
                serial: name(text).serial,
                linux: String::new(),
                initrd: String::new(),
                options: String::new(),
            };
            FoundEntry { name: name(text), content: Some(content) }
        };
        let entries: Vec<_> = names.split(' ').map(entry).collect();
        assert_eq!(trial().course(name(running), &entries), expected);
    }

    #[test]
    fn a_trial_is_over_when_its_entry_is_blessed_or_exhausted_and_left() {
        check("1-a", "1-a 2-b+3", Course::Open);
        check("2-b+2-1", "1-a 2-b+2-1", Course::Open);
        check("2-b+0-3", "1-a 2-b+0-3", Course::Open);
        check("2-b", "1-a 2-b", Course::Good);
        check("3-a", "3-a 2-b", Course::Good);
        check("1-a", "1-a 2-b+0-3", Course::Failed);
        check("1-a", "1-a", Course::None);
        check("1-a", "1-a 3-b+3", Course::None);
    }

    #[test]
    fn half_an_entry_was_never_tried() {
        let half = FoundEntry { name: name("2-b+3"), content: None };
        assert_eq!(trial().course(name("1-a"), &[half]), Course::None);
    }

    #[test]
    fn what_left_no_word_is_no_reason_to_call_a_release_bad() {
        let at = Timestamp::UNIX_EPOCH;
        let failure = |text: &str| Some(Failure { boot_id: None, text: text.into() });
        let bad = |reason: &str| Verdict::Bad { at, reason: reason.into() };
        let verdict = |failure, panic: Option<&str>, is_reset_by_watchdog| {
            let panic = panic.map(str::to_owned);
            Evidence { failure, panic, is_reset_by_watchdog }.verdict(at)
        };
        assert_eq!(verdict(failure("the gate"), Some("panic"), true), bad("the gate"));
        assert_eq!(verdict(failure(""), Some("panic"), true), bad("panic"));
        assert_eq!(verdict(failure(""), None, true), bad(HUNG));
        assert_eq!(verdict(None, None, false), Verdict::Inconclusive { at });
        assert_eq!(verdict(failure(""), None, false), Verdict::Inconclusive { at });
    }

    #[test]
    fn a_watchdog_that_reset_the_host_is_heard() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_reset_by_watchdog(&dir.path().join("none")));
        // One whose driver does not know, one that was opened and one that the power went from.
        for (name, status) in [("watchdog0", "0\n"), ("watchdog1", "256\n"), ("watchdog2", "2\n")] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("bootstatus"), status).unwrap();
        }
        fs::create_dir(dir.path().join("watchdog3")).unwrap();
        assert!(!is_reset_by_watchdog(dir.path()));
        fs::write(dir.path().join("watchdog1/bootstatus"), "288\n").unwrap();
        assert!(is_reset_by_watchdog(dir.path()));
    }

    #[test]
    fn the_last_words_of_a_kernel_are_found_where_they_are_new() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("1764000000/001");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("dmesg.txt"), "<0>[ 1.0] Kernel panic - not syncing: why\n").unwrap();
        fs::write(folder.join("other"), [0xff; 10]).unwrap();
        let words = Some("Kernel panic - not syncing: why".to_owned());
        assert_eq!(panic_since(dir.path(), Timestamp::UNIX_EPOCH), words);
        assert_eq!(panic_since(dir.path(), Timestamp::MAX), None);
        assert_eq!(panic_since(&dir.path().join("none"), Timestamp::UNIX_EPOCH), None);
    }
}
