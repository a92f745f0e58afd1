//! File names of boot entries: `basalt-<serial>-<slot>[+<left>[-<done>]].conf`.
//!
//! The counter is systemd-boot's: it takes one from `left` and adds one to `done` before it
//! starts the entry, and renames the file. Each name has one spelling, so that a name read from
//! the disk prints as the file that is there.

use std::fmt;
use std::str::FromStr;

use crate::slot::Slot;

const PREFIX: &str = "basalt-";
const SUFFIX: &str = ".conf";
/// The largest counter that systemd-boot reads as one (INT_MAX in its `boot.c`).
const COUNTER_MAX: u32 = i32::MAX as u32;

/// The name of a boot entry's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryName {
    /// Boot serial of this host: the entry with the highest one boots.
    pub serial: u64,
    /// The slot that the entry boots.
    pub slot: Slot,
    /// The trial counter; `None` for a blessed entry.
    pub tries: Option<Tries>,
}

/// A trial counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tries {
    /// Boots that may still be tried.
    pub left: u32,
    /// Boots that were tried.
    pub done: u32,
}

/// A file name that is none of Basalt's boot entries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the name of a Basalt boot entry, such as `basalt-7-b+3.conf`")]
pub struct InvalidName(pub String);

impl EntryName {
    /// An entry that needs no trial, as on a fresh disk.
    #[must_use]
    pub fn uncounted(serial: u64, slot: Slot) -> Self {
        Self { serial, slot, tries: None }
    }

    /// An entry that has `tries` boots to prove itself.
    #[must_use]
    pub fn on_trial(serial: u64, slot: Slot, tries: u32) -> Self {
        Self { serial, slot, tries: Some(Tries { left: tries.min(COUNTER_MAX), done: 0 }) }
    }

    /// The name once the entry has proved itself: the same without a counter.
    #[must_use]
    pub fn blessed(self) -> Self {
        Self { tries: None, ..self }
    }

    /// Whether it has proved itself, or never had to.
    #[must_use]
    pub fn is_blessed(self) -> bool {
        self.tries.is_none()
    }

    /// Whether all its tries are gone. The loader boots such an entry only when there is no other.
    #[must_use]
    pub fn is_exhausted(self) -> bool {
        self.tries.is_some_and(|tries| tries.left == 0)
    }

    /// Whether both name the same entry, whatever their counters say.
    #[must_use]
    pub fn is_same_entry(self, other: Self) -> bool {
        self.blessed() == other.blessed()
    }
}

impl fmt::Display for EntryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}-{}", self.serial, self.slot)?;
        if let Some(tries) = self.tries {
            write!(f, "{tries}")?;
        }
        f.write_str(SUFFIX)
    }
}

impl fmt::Display for Tries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.done {
            0 => write!(f, "+{}", self.left),
            done => write!(f, "+{}-{done}", self.left),
        }
    }
}

impl FromStr for EntryName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        parse(text).ok_or_else(|| InvalidName(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<EntryName> {
    let stem = text.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (serial, rest) = stem.split_once('-')?;
    let (slot, tries) = match rest.split_once('+') {
        Some((slot, counter)) => (slot, Some(parse_tries(counter)?)),
        None => (rest, None),
    };
    Some(EntryName { serial: parse_number(serial)?, slot: slot.parse().ok()?, tries })
}

pub(super) fn parse_tries(counter: &str) -> Option<Tries> {
    let (left, done) = match counter.split_once('-') {
        Some((_, "0")) => return None,
        Some((left, done)) => (left, done),
        None => (counter, "0"),
    };
    Some(Tries { left: parse_counter(left)?, done: parse_counter(done)? })
}

fn parse_counter(digits: &str) -> Option<u32> {
    parse_number(digits).filter(|number| *number <= u64::from(COUNTER_MAX))?.try_into().ok()
}

/// Reads decimal digits without a sign and without leading zeros.
fn parse_number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let padded = digits.len() > 1 && digits.starts_with('0');
    if plain && !padded { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_parse_into_serial_slot_and_tries() {
        let check = |text: &str, serial, slot, tries: Option<(u32, u32)>| {
            let tries = tries.map(|(left, done)| Tries { left, done });
            assert_eq!(text.parse(), Ok(EntryName { serial, slot, tries }));
        };
        check("basalt-1-a.conf", 1, Slot::A, None);
        check("basalt-7-b+3.conf", 7, Slot::B, Some((3, 0)));
        check("basalt-7-b+2-1.conf", 7, Slot::B, Some((2, 1)));
        check("basalt-7-b+0-16.conf", 7, Slot::B, Some((0, 16)));
        check("basalt-18446744073709551615-a.conf", u64::MAX, Slot::A, None);
    }

    #[test]
    fn a_name_that_basalt_never_writes_is_refused() {
        for text in [
            "",
            "basalt.conf",
            "basalt-1-a",
            "basalt-1-c.conf",
            "basalt-1-A.conf",
            "basalt--a.conf",
            "basalt-01-a.conf",
            "basalt-+1-a.conf",
            "basalt--1-a.conf",
            "basalt-18446744073709551616-a.conf",
            "basalt-1-a+.conf",
            "basalt-1-a+3-.conf",
            "basalt-1-a+3-0.conf",
            "basalt-1-a+03.conf",
            "basalt-1-a+2147483648.conf",
            "basalt-1-a+3+3.conf",
            "basalt-1-a+3.conf.new",
            "debian-1-a.conf",
            "basalt-1-a.conf\n",
        ] {
            assert_eq!(text.parse::<EntryName>(), Err(InvalidName(text.to_owned())));
        }
    }

    #[test]
    fn only_a_counter_at_zero_is_exhausted() {
        let check = |text: &str, blessed, exhausted| {
            let name: EntryName = text.parse().unwrap();
            assert_eq!((name.is_blessed(), name.is_exhausted()), (blessed, exhausted));
        };
        check("basalt-1-a.conf", true, false);
        check("basalt-1-a+1-2.conf", false, false);
        check("basalt-1-a+0-3.conf", false, true);
        check("basalt-1-a+0.conf", false, true);
    }

    #[test]
    fn blessing_keeps_serial_and_slot() {
        let name = EntryName::on_trial(4, Slot::B, 3);
        assert_eq!(name.to_string(), "basalt-4-b+3.conf");
        assert_eq!(name.blessed().to_string(), "basalt-4-b.conf");
        assert!(name.is_same_entry(name.blessed()));
        assert!(!name.is_same_entry(EntryName::uncounted(4, Slot::A)));
    }

    prop_compose! {
        fn any_name()(
            serial: u64,
            slot in prop::sample::select(&Slot::ALL),
            tries in prop::option::of((0..=COUNTER_MAX, 0..=COUNTER_MAX)),
        ) -> EntryName {
            let tries = tries.map(|(left, done)| Tries { left, done });
            EntryName { serial, slot, tries }
        }
    }

    proptest! {
        #[test]
        fn a_printed_name_parses_to_itself(name in any_name()) {
            prop_assert_eq!(name.to_string().parse(), Ok(name));
        }

        #[test]
        fn a_parsed_name_prints_as_it_was(text in "(basalt-)?[0-9]{0,3}-?[ab]?(\\+[0-9]{0,2}(-[0-9]{0,2})?)?(\\.conf)?") {
            if let Ok(name) = text.parse::<EntryName>() {
                prop_assert_eq!(name.to_string(), text);
            }
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC*") {
            let _ = text.parse::<EntryName>();
        }
    }
}
