//! What the loader would offer on an ESP, as systemd-boot reads it.
//!
//! It takes any file whose name ends in `.conf` that names a kernel which is there (`boot.c`,
//! `boot_entry_add_type1`), whatever else it says.

use std::fmt;

use basalt_sysroot::entry::{BootEntry, ENTRIES_FOLDER, EntryName, ResetEntry, ResetName};
use basalt_sysroot::slot::Slot;

use crate::fat::Fat;

/// An entry that would be offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) name: Name,
    pub(crate) linux: String,
    pub(crate) initrd: String,
    pub(crate) options: String,
}

/// What it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Name {
    /// A release's.
    Release(EntryName),
    /// A factory reset's, which a person chooses and nobody else.
    Reset(ResetName),
}

impl Name {
    pub(crate) fn slot(self) -> Slot {
        match self {
            Self::Release(name) => name.slot,
            Self::Reset(name) => name.slot,
        }
    }

    pub(crate) fn is_reset(self) -> bool {
        matches!(self, Self::Reset(_))
    }

    /// A release's name, which the loader may choose by itself.
    pub(crate) fn release(self) -> Option<EntryName> {
        match self {
            Self::Release(name) => Some(name),
            Self::Reset(_) => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release(name) => name.fmt(f),
            Self::Reset(name) => name.fmt(f),
        }
    }
}

/// All that would be offered.
///
/// # Errors
/// The ESP cannot be read; or something would be offered that is none of ours, as half an entry
/// is that still names a kernel.
pub(crate) fn menu(esp: &Fat<'_>) -> Result<Vec<Offered>, String> {
    let mut all = Vec::new();
    let folder = esp.list(ENTRIES_FOLDER).map_err(|error| format!("no boot entries: {error}"))?;
    for file in folder {
        if file.is_folder || !file.name.to_ascii_lowercase().ends_with(".conf") {
            continue;
        }
        // What the firmware cannot read the loader leaves out.
        let Ok(bytes) = esp.read(&file) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        let Some(kernel) = kernel(&text) else { continue };
        if !matches!(esp.find(kernel), Ok(Some(_))) {
            continue;
        }
        all.push(offered(&file.name, &text)?);
    }
    Ok(all)
}

fn offered(name: &str, text: &str) -> Result<Offered, String> {
    let wrong = |error| format!("{name} is offered, and {error}: {text:?}");
    if let Ok(reset) = name.parse::<ResetName>() {
        if !reset.is_only_chosen() {
            return Err(format!("{name} may be chosen by the loader"));
        }
        let ResetEntry { linux, initrd, options, .. } = ResetEntry::parse(text).map_err(wrong)?;
        return Ok(Offered { name: Name::Reset(reset), linux, initrd, options });
    }
    let release = name.parse::<EntryName>().map_err(|error| error.to_string())?;
    let BootEntry { serial, linux, initrd, options, .. } = BootEntry::parse(text).map_err(wrong)?;
    if serial != release.serial {
        return Err(format!("{name} says that it is {serial}"));
    }
    Ok(Offered { name: Name::Release(release), linux, initrd, options })
}

/// The kernel that an entry names, as the loader reads it.
fn kernel(text: &str) -> Option<&str> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let values = lines.filter_map(|line| line.strip_prefix("linux"));
    let mut values = values.filter(|value| value.starts_with([' ', '\t'])).map(str::trim);
    values.next_back().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;
    use crate::fat::tests::esp;

    fn check(files: &[(&str, &str)], expected: Result<&[&str], &str>) {
        let folder = tempfile::tempdir().unwrap();
        let file = File::open(esp(folder.path(), files)).unwrap();
        let found = menu(&Fat::open(&file, 0).unwrap());
        match expected {
            Ok(names) => {
                let found = found.unwrap();
                assert_eq!(found.iter().map(|it| it.name.to_string()).collect::<Vec<_>>(), names);
            }
            Err(part) => {
                let said = found.unwrap_err();
                assert!(said.contains(part), "{said}");
            }
        }
    }

    const KERNEL: (&str, &str) = ("basalt/aa/linux", "kernel");

    fn text(serial: u64) -> String {
        format!(
            "title x\nsort-key basalt\nversion {serial}\noptions quiet\ninitrd /basalt/aa/initrd\n\
             linux /basalt/aa/linux\n"
        )
    }

    #[test]
    fn it_offers_what_names_a_kernel_that_is_there() {
        let (one, two) = (text(1), text(2));
        let place = "loader/entries/basalt-1-a.conf";
        check(&[KERNEL, (place, &one)], Ok(&["basalt-1-a.conf"]));
        check(&[(place, &one)], Ok(&[]));
        // Half an entry has no kernel.
        check(&[KERNEL, (place, &one[..40])], Ok(&[]));
        check(&[KERNEL, (place, &one), ("loader/entries/x.txt", &two)], Ok(&["basalt-1-a.conf"]));
        check(&[], Ok(&[]));
    }

    #[test]
    fn it_offers_a_reset_that_only_a_person_chooses() {
        let reset = text(0).replace("sort-key basalt", "sort-key basalt-reset");
        let place = "loader/entries/basalt-reset-a+0.conf";
        check(&[KERNEL, (place, &reset)], Ok(&["basalt-reset-a+0.conf"]));
        check(&[KERNEL, (place, &text(0))], Err("sort key"));
        let chosen = "loader/entries/basalt-reset-a+1.conf";
        check(&[KERNEL, (chosen, &reset)], Err("may be chosen by the loader"));
    }

    #[test]
    fn what_it_offers_that_is_none_of_ours_is_told() {
        let (one, two) = (text(1), text(2));
        let place = "loader/entries/basalt-1-a.conf";
        check(&[KERNEL, (place, &two)], Err("says that it is 2"));
        check(&[KERNEL, ("loader/entries/other.conf", &one)], Err("other.conf"));
        check(&[KERNEL, (place, &one[..one.len() - 1])], Err("cut off"));
        check(&[KERNEL, (place, "linux /basalt/aa/linux\n")], Err("has no `sort-key`"));
    }
}
