//! The syncs of an update, as they are found in what was recorded.
//!
//! A flush makes durable whatever was written before it, whoever asked for it, and a host asks for
//! many. The update may go by those alone that it asks for itself. Each of them is found as the
//! flush since which what it waits for is on the disk.

use std::fmt;
use std::io;

use basalt_sysroot::entry::ENTRIES_FOLDER;
use basalt_sysroot::slot::Slot;

use crate::check::{Boots, Check, behind};
use crate::disk::Disk;
use crate::ext4::Ext4;
use crate::fat::Fat;
use crate::log::Log;
use crate::menu::menu;
use crate::parts::{Parts, Volume};

/// What an update waits for before it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// The menu's entry that resets what runs is there.
    ResetOffered,
    /// The idle slot's entries are gone.
    EntriesGone,
    /// It is written down that a trial is to be expected.
    Expected,
    /// The new deployment is there, and the idle slot's link leads to it.
    Deployed,
    /// The release's kernel and initramfs are there.
    BootFiles,
    /// The new entry is there.
    Entry,
}

/// A sync of the update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sync {
    /// What it waits for.
    pub(crate) awaited: Awaited,
    /// The flush that ends it, as a number in the log.
    pub(crate) flush: usize,
}

impl Awaited {
    /// All of an update that replaces something, in their order.
    pub const ALL: [Self; 6] = [
        Self::ResetOffered,
        Self::Expected,
        Self::EntriesGone,
        Self::Deployed,
        Self::BootFiles,
        Self::Entry,
    ];

    pub(crate) fn volume(self) -> Volume {
        match self {
            Self::Expected => Volume::Var,
            Self::Deployed => Volume::Root,
            Self::ResetOffered | Self::EntriesGone | Self::BootFiles | Self::Entry => Volume::Esp,
        }
    }
}

impl fmt::Display for Awaited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResetOffered => "the menu's entry for what runs is there",
            Self::Expected => "the trial is written down",
            Self::EntriesGone => "the old entry is gone",
            Self::Deployed => "the deployment and its link are there",
            Self::BootFiles => "kernel and initramfs are there",
            Self::Entry => "the new entry is there",
        })
    }
}

/// What an ESP and a root have of it.
struct Seen<'a> {
    check: &'a mut Check,
    /// The names of entries before, those of the idle slot.
    old: Vec<String>,
    idle: Slot,
    /// Whether the menu offered a reset of what runs.
    offered: bool,
    /// Names of boot files of before.
    files: Vec<String>,
}

/// The syncs, in the order in which they ended. `disk` is as it was when the update began, and
/// `check` knows what is whole.
pub(crate) fn syncs(
    log: &Log,
    disk: &mut Disk<'_>,
    (begin, end): (usize, usize),
    check: &mut Check,
    idle: Slot,
) -> io::Result<Vec<Sync>> {
    let old = entries(disk, &check.parts)?;
    let of_idle = |name: &String| name.contains(&format!("-{idle}"));
    let old = old.into_iter().filter(of_idle).collect();
    let files = boot_files(disk, &check.parts)?;
    let offered = offers_reset(disk, &check.parts, idle.other())?;
    let mut seen = Seen { check, old, idle, offered, files };
    let mut open = Awaited::ALL.to_vec();
    let mut found = Vec::new();
    for at in (begin..end).filter(|at| log.entries[*at].is_flush()) {
        disk.advance(at)?;
        let mut left = Vec::new();
        for awaited in open {
            if seen.has(awaited, disk)? {
                found.push(Sync { awaited, flush: at });
            } else {
                left.push(awaited);
            }
        }
        open = left;
    }
    Ok(found)
}

impl Seen<'_> {
    fn has(&mut self, awaited: Awaited, disk: &Disk<'_>) -> io::Result<bool> {
        let parts = &self.check.parts;
        match awaited {
            // What was there before nobody waits for.
            Awaited::ResetOffered => {
                Ok(!self.offered && offers_reset(disk, parts, self.idle.other())?)
            }
            Awaited::Expected => self.check.is_expected(disk),
            Awaited::EntriesGone => {
                let now = entries(disk, parts)?;
                Ok(!self.old.is_empty() && !self.old.iter().any(|name| now.contains(name)))
            }
            Awaited::Deployed => {
                let root = Ext4::open(disk, parts.root.start)?;
                let Some((deployment, folder)) = behind(&root, self.idle)? else {
                    return Ok(false);
                };
                self.check.is_new_and_whole(disk, &root, &deployment, &folder)
            }
            Awaited::BootFiles => {
                let new = boot_files(disk, parts)?;
                let mut new = new.into_iter().filter(|path| !self.files.contains(path)).peekable();
                if new.peek().is_none() {
                    return Ok(false);
                }
                for path in new {
                    if !self.check.is_boot_file(disk, &path)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Awaited::Entry => Ok(self.check.boots(disk) == Ok(Boots::New)),
        }
    }
}

/// Whether the menu offers a reset of this slot; not where it cannot be read yet.
fn offers_reset(disk: &Disk<'_>, parts: &Parts, slot: Slot) -> io::Result<bool> {
    let offered = menu(&Fat::open(disk, parts.esp.start)?).unwrap_or_default();
    Ok(offered.iter().any(|it| it.name.is_reset() && it.name.slot() == slot))
}

fn entries(disk: &Disk<'_>, parts: &Parts) -> io::Result<Vec<String>> {
    let named = Fat::open(disk, parts.esp.start)?.list(ENTRIES_FOLDER)?;
    Ok(named.into_iter().map(|it| it.name).collect())
}

/// The paths of all boot files.
fn boot_files(disk: &Disk<'_>, parts: &Parts) -> io::Result<Vec<String>> {
    let esp = Fat::open(disk, parts.esp.start)?;
    let mut paths = Vec::new();
    for folder in esp.list(basalt_sysroot::boot_file::FOLDER)? {
        let path = format!("{}/{}", basalt_sysroot::boot_file::FOLDER, folder.name);
        if folder.is_folder {
            let files = esp.list(&path)?.into_iter();
            paths.extend(files.filter(|it| !it.is_folder).map(|it| format!("/{path}/{}", it.name)));
        }
    }
    Ok(paths)
}
