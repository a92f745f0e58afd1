//! The entry of the loader's menu that resets the host: only a person chooses it.
//!
//! Its name says that it has no tries left, so that the loader puts it behind every entry that has,
//! and its sort key puts it behind those that have none either. Who chooses it is asked once more.

use std::fmt;
use std::str::FromStr;

use super::name::parse_tries;
use super::{BootEntry, InvalidEntry, InvalidName, Tries};
use crate::slot::Slot;

/// The kernel argument that has the host ask on its consoles whether it shall be reset.
pub const RESET_ARGUMENT: &str = "basalt.factory_reset";
/// After [`SORT_KEY`](super::SORT_KEY), and so behind entries whose tries are gone, too.
const RESET_SORT_KEY: &str = "basalt-reset";
const PREFIX: &str = "basalt-reset-";
const SUFFIX: &str = ".conf";

/// The name of its file: `basalt-reset-<slot>+0[-<done>].conf`. The loader counts its boots, as it
/// counts those of every entry with a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResetName {
    /// The slot that the entry boots.
    pub slot: Slot,
    /// The counter; `None` for one that somebody took it from, which the loader might choose.
    pub tries: Option<Tries>,
}

/// What it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResetEntry {
    /// What the loader's menu shows.
    pub title: String,
    /// The kernel, as [`BootEntry::linux`].
    pub linux: String,
    /// The initramfs.
    pub initrd: String,
    /// The kernel's arguments, [`RESET_ARGUMENT`] too.
    pub options: String,
}

impl ResetName {
    /// As it is written.
    #[must_use]
    pub fn of(slot: Slot) -> Self {
        Self { slot, tries: Some(Tries { left: 0, done: 0 }) }
    }

    /// Whether the loader leaves it to a person.
    #[must_use]
    pub fn is_only_chosen(self) -> bool {
        self.tries.is_some_and(|tries| tries.left == 0)
    }
}

impl ResetEntry {
    /// One that boots what `entry` boots, with these arguments and [`RESET_ARGUMENT`]. The host's
    /// own arguments should not be among them: they may be what is broken.
    #[must_use]
    pub fn beside(entry: &BootEntry, arguments: &[String]) -> Self {
        let options = arguments.iter().map(String::as_str).chain([RESET_ARGUMENT]);
        Self {
            title: format!("{}: factory reset", entry.title),
            linux: entry.linux.clone(),
            initrd: entry.initrd.clone(),
            options: options.collect::<Vec<_>>().join(" "),
        }
    }

    /// The entry as text.
    ///
    /// # Errors
    /// As of [`BootEntry::render`].
    pub fn render(&self) -> Result<String, InvalidEntry> {
        let Self { title, linux, initrd, options } = self.clone();
        BootEntry { title, serial: 0, linux, initrd, options }.render_under(RESET_SORT_KEY)
    }

    /// Reads one.
    ///
    /// # Errors
    /// As of [`BootEntry::parse`].
    pub fn parse(text: &str) -> Result<Self, InvalidEntry> {
        let entry = BootEntry::parse_under(text, RESET_SORT_KEY)?;
        let BootEntry { title, linux, initrd, options, .. } = entry;
        Ok(Self { title, linux, initrd, options })
    }
}

impl fmt::Display for ResetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.slot)?;
        if let Some(tries) = self.tries {
            write!(f, "{tries}")?;
        }
        f.write_str(SUFFIX)
    }
}

impl FromStr for ResetName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        parse(text).ok_or_else(|| InvalidName(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<ResetName> {
    let stem = text.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (slot, tries) = match stem.split_once('+') {
        Some((slot, counter)) => (slot, Some(parse_tries(counter)?)),
        None => (stem, None),
    };
    Some(ResetName { slot: slot.parse().ok()?, tries })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{EntryName, SORT_KEY};

    #[test]
    fn the_loader_leaves_its_name_to_a_person() {
        for slot in Slot::ALL {
            let name = ResetName::of(slot);
            assert_eq!(name.to_string(), format!("basalt-reset-{slot}+0.conf"));
            assert!(name.is_only_chosen());
        }
        assert!(RESET_SORT_KEY > SORT_KEY);
        let check = |text: &str, expected| {
            let name: ResetName = text.parse().unwrap();
            assert_eq!((name.to_string().as_str(), name.is_only_chosen()), (text, expected));
        };
        check("basalt-reset-a+0-1.conf", true);
        check("basalt-reset-b.conf", false);
        check("basalt-reset-b+3.conf", false);
    }

    #[test]
    fn no_name_is_of_both_kinds() {
        for text in ["basalt-reset-a+0.conf", "basalt-reset-a+0-1.conf", "basalt-reset-a.conf"] {
            assert!(text.parse::<EntryName>().is_err() && text.parse::<ResetName>().is_ok());
        }
        for text in ["basalt-1-a.conf", "basalt-reset.conf", "basalt-reset-c+0.conf", ""] {
            assert!(text.parse::<ResetName>().is_err(), "{text}");
        }
    }

    #[test]
    fn it_boots_what_its_neighbour_boots_and_asks() {
        let neighbour = BootEntry {
            title: "Basalt 3".into(),
            serial: 7,
            linux: "/basalt/1/linux".into(),
            initrd: "/basalt/2/initrd".into(),
            options: "rw quiet broken=1".into(),
        };
        let entry = ResetEntry::beside(&neighbour, &["rw".into(), "quiet".into()]);
        let text = entry.render().unwrap();
        let expected = "title Basalt 3: factory reset\nsort-key basalt-reset\nversion 0\n\
            options rw quiet basalt.factory_reset\ninitrd /basalt/2/initrd\n\
            linux /basalt/1/linux\n";
        assert_eq!(text, expected);
        assert_eq!(ResetEntry::parse(&text), Ok(entry));
        assert!(BootEntry::parse(&text).is_err());
        let other = neighbour.render().unwrap();
        let error = ResetEntry::parse(&other).unwrap_err().to_string();
        assert_eq!(error, "the boot entry's sort key is `basalt`, not `basalt-reset`");
    }
}
