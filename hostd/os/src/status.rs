//! What is told of a host's system: its slots, what is known of releases, what was done.

use anyhow::{Context, Result};
use basalt_api::os::{self, SlotState, SlotStatus, Status};
use basalt_release::Verdict;
use basalt_sysroot::entry::{EntryName, choose};
use basalt_sysroot::slot::Slot;
use basalt_sysroot::update::{Found, FoundEntry};
use jiff::Timestamp;

use crate::disk::Disk;
use crate::etc;
use crate::progress;
use crate::release;
use crate::reset;
use crate::standing::Event;
use crate::trial::{Course, Trial};
use crate::update::Updater;

/// How it stands.
///
/// # Errors
/// The disk or what the host remembers cannot be read.
pub(crate) fn of(updater: &Updater, now: Timestamp) -> Result<Status> {
    let (disk, found) = updater.looked_at(now)?;
    let repo = disk.sysroot.repo()?;
    let mut slots = slots(&found);
    for (slot, status) in [Slot::A, Slot::B].into_iter().zip(&mut slots) {
        status.release = found.link(slot).map(|it| release::of(&repo, it)).transpose()?;
    }
    let standing = updater.memory.standing()?;
    let history = updater.memory.history()?;
    Ok(Status {
        image: updater.image.clone(),
        slots,
        pinned: standing.pinned,
        sequence: standing.sequence,
        verdicts: standing.verdicts.iter().map(|it| verdict(it, &history)).collect(),
        conflicts: conflicts(&disk, &found).context("cannot compare `/etc`")?,
        running: progress::running(&updater.places.progress),
        reset: reset::waiting(&disk)?,
        reboot: updater.memory.reboot_wish(&updater.boot_id)?,
    })
}

/// Nothing where one slot is empty: there is nothing to be in conflict with.
fn conflicts(disk: &Disk, found: &Found) -> Result<Vec<String>> {
    let running = found.running.slot;
    let (Some(own), Some(other)) = (found.link(running), found.link(running.other())) else {
        return Ok(Vec::new());
    };
    let [own, other] = [disk.sysroot.dir(own), disk.sysroot.dir(other)];
    Ok(etc::conflicts(&own.join("etc"), &own.join("usr/etc"), &other.join("usr/etc"))?)
}

/// Both slots, without what they hold.
fn slots(found: &Found) -> Vec<SlotStatus> {
    let whole: Vec<EntryName> =
        found.entries.iter().filter(|it| it.content.is_some()).map(|it| it.name).collect();
    let next = choose(&whole);
    let status = |slot: Slot| SlotStatus {
        slot: slot.to_string(),
        release: None,
        runs: found.running.slot == slot,
        boots_next: next.is_some_and(|next| next.slot == slot),
        state: state(found.entries.iter().filter(|it| it.name.slot == slot)),
    };
    vec![status(Slot::A), status(Slot::B)]
}

/// By the one of its entries that the loader would choose: half an entry boots nothing, and one
/// that is spent, as of kernel arguments that failed, only where there is no other.
fn state<'a>(entries: impl Iterator<Item = &'a FoundEntry>) -> SlotState {
    let whole = entries.filter(|it| it.content.is_some());
    match choose(&whole.map(|it| it.name).collect::<Vec<_>>()) {
        None => SlotState::Empty,
        Some(EntryName { tries: None, .. }) => SlotState::Blessed,
        Some(EntryName { tries: Some(tries), .. }) if tries.left > 0 => {
            SlotState::Trial { tries_left: tries.left }
        }
        Some(_) => SlotState::Failed,
    }
}

fn verdict((commit, verdict): (&String, &Verdict), history: &[Event]) -> os::Verdict {
    let known = history.iter().rev().find(|event| event.commit == *commit);
    let (word, at, reason) = match verdict {
        Verdict::Good { at } => ("good", at, None),
        Verdict::Bad { at, reason } => ("bad", at, Some(reason.clone())),
        Verdict::Inconclusive { at } => ("inconclusive", at, None),
    };
    os::Verdict {
        commit: commit.clone(),
        version: known.map(|event| event.version.clone()),
        verdict: word.to_owned(),
        at: at.to_string(),
        reason,
    }
}

/// What was done, the oldest first; a trial that is open, too, once its entry is there.
///
/// # Errors
/// It cannot be read.
pub(crate) fn history(updater: &Updater) -> Result<Vec<os::Event>> {
    let mut events = updater.memory.history()?;
    if let Some(trial) = updater.memory.trial()?
        && is_begun(updater, &trial)
        && !events.contains(&trial.event())
    {
        events.push(trial.event());
    }
    Ok(events.into_iter().map(Event::told).collect())
}

/// What is written down before its entry is has not been done as long as that is not there. Where
/// nobody can tell, it is told.
fn is_begun(updater: &Updater, trial: &Trial) -> bool {
    let looked = Disk::look(&updater.places, updater.slot).and_then(|disk| disk.entries());
    looked.map_or(true, |(running, entries)| trial.course(running, &entries) != Course::None)
}

#[cfg(test)]
mod tests {
    use basalt_sysroot::entry::BootEntry;

    use super::*;

    /// Entries by name; one that ends with `!` is half.
    fn found(running: &str, names: &str) -> Found {
        let name = |text: &str| format!("basalt-{text}.conf").parse::<EntryName>().unwrap();
        let entry = |text: &str| {
            let (text, is_whole) = text.strip_suffix('!').map_or((text, true), |it| (it, false));
            let content = BootEntry {
                title: "x".into(),
                serial: name(text).serial,
                linux: String::new(),
                initrd: String::new(),
                options: String::new(),
            };
            FoundEntry { name: name(text), content: is_whole.then_some(content) }
        };
        Found {
            running: name(running),
            entries: names.split(' ').map(entry).collect(),
            files: Vec::new(),
            links: [None, None],
            deployments: Vec::new(),
        }
    }

    #[track_caller]
    fn check(running: &str, names: &str, expected: [&str; 2]) {
        let said = slots(&found(running, names)).into_iter().map(|it| {
            let state = match it.state {
                SlotState::Trial { tries_left } => format!("trial {tries_left}"),
                other => format!("{other:?}").to_lowercase(),
            };
            let runs = if it.runs { ", runs" } else { "" };
            let next = if it.boots_next { ", next" } else { "" };
            format!("{} {state}{runs}{next}", it.slot)
        });
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_slot_is_as_its_newest_whole_entry_says() {
        check("1-a", "1-a", ["a blessed, runs, next", "b empty"]);
        check("1-a", "1-a 2-b+3", ["a blessed, runs", "b trial 3, next"]);
        check("2-b+2-1", "1-a 2-b+2-1", ["a blessed", "b trial 2, runs, next"]);
        check("1-a", "1-a 2-b+0-3", ["a blessed, runs, next", "b failed"]);
        check("2-b", "1-a 2-b 3-a+3!", ["a blessed", "b blessed, runs, next"]);
        check("1-a", "1-a 2-b!", ["a blessed, runs, next", "b empty"]);
        check("1-a", "1-a 2-a+0-3", ["a blessed, runs, next", "b empty"]);
        check("1-a", "1-a 2-a+3", ["a trial 3, runs, next", "b empty"]);
    }
}
