//! Whether this boot is on trial, and what a host does when it turns out bad.
//!
//! A reboot must lead to something better than what runs now, or at least be bounded: otherwise a
//! host with nothing to fall back to would boot for ever instead of saying what is wrong.

use std::fmt;

use crate::entry::EntryName;

/// A boot that has not proved itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// The entry under its name of this boot.
    pub entry: EntryName,
    /// Boots of it that may still be tried after this one.
    pub tries_left: u32,
}

impl Trial {
    /// The trial that a boot of `entry` is; `None` for one that was not counted.
    ///
    /// `entry` comes from [`Variable::BootCountPath`](crate::loader::Variable::BootCountPath),
    /// which stays set after the entry is blessed: for a host that has been up for a while, look
    /// at the ESP whether the file still has that name.
    #[must_use]
    pub fn of(entry: Option<EntryName>) -> Option<Self> {
        let entry = entry?;
        Some(Self { entry, tries_left: entry.tries?.left })
    }
}

/// What to do about a boot that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// Reboot: the loader tries this entry again, or boots another one.
    Reboot(Next),
    /// Stay up and say why the boot failed, and why there is no reboot.
    StayUp(NoReboot),
}

/// What a reboot leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The same entry once more.
    SameEntry {
        /// Boots that may still be tried.
        tries_left: u32,
    },
    /// Another entry.
    Other(EntryName),
}

/// Why a reboot would not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoReboot {
    /// This boot was not counted: it is blessed, or the only one there ever was.
    NotOnTrial,
    /// No tries are left and every other entry is exhausted, or there is no other.
    NothingElse,
}

/// What to do about a failed boot of `current`, the entry that the loader counted down for it
/// (`None` when it counted none), when `all` entries are there. `all` may hold `current`, under
/// the name of this boot or the one before.
#[must_use]
pub fn fallback(current: Option<EntryName>, all: &[EntryName]) -> Fallback {
    let Some(trial) = Trial::of(current) else {
        return Fallback::StayUp(NoReboot::NotOnTrial);
    };
    if trial.tries_left > 0 {
        return Fallback::Reboot(Next::SameEntry { tries_left: trial.tries_left });
    }
    let mut others: Vec<EntryName> = all.to_vec();
    others.retain(|name| !name.is_same_entry(trial.entry));
    match crate::entry::choose(&others) {
        Some(other) if !other.is_exhausted() => Fallback::Reboot(Next::Other(other)),
        _ => Fallback::StayUp(NoReboot::NothingElse),
    }
}

impl fmt::Display for Fallback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reboot(Next::SameEntry { tries_left: 1 }) => {
                f.write_str("rebooting: this entry has one try left")
            }
            Self::Reboot(Next::SameEntry { tries_left }) => {
                write!(f, "rebooting: this entry has {tries_left} tries left")
            }
            Self::Reboot(Next::Other(name)) => write!(f, "rebooting: `{name}` can still boot"),
            Self::StayUp(reason) => write!(f, "staying up: {reason}"),
        }
    }
}

impl fmt::Display for NoReboot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOnTrial => "this boot is not on trial, a reboot would come back here",
            Self::NothingElse => "no tries are left, and there is no other entry that has any",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::entry::choose;
    use crate::slot::Slot;

    fn names(list: &str) -> Vec<EntryName> {
        list.split_whitespace().map(|name| format!("basalt-{name}.conf").parse().unwrap()).collect()
    }

    fn check(current: &str, all: &str, expected: &str) {
        let current = names(current).first().copied();
        assert_eq!(fallback(current, &names(all)).to_string(), expected, "{current:?} of {all}");
    }

    const NOT_ON_TRIAL: &str =
        "staying up: this boot is not on trial, a reboot would come back here";
    const NOTHING_ELSE: &str =
        "staying up: no tries are left, and there is no other entry that has any";

    #[test]
    fn a_boot_that_is_not_on_trial_stays_up() {
        check("", "", NOT_ON_TRIAL);
        check("", "1-a", NOT_ON_TRIAL);
        check("", "1-a 2-b+3", NOT_ON_TRIAL);
        check("1-a", "1-a 2-b", NOT_ON_TRIAL);
    }

    #[test]
    fn a_trial_with_tries_left_reboots() {
        check("2-b+2-1", "1-a 2-b+3", "rebooting: this entry has 2 tries left");
        check("2-b+1-2", "2-b+2-1", "rebooting: this entry has one try left");
        check("2-b+1-2", "", "rebooting: this entry has one try left");
    }

    #[test]
    fn the_last_try_reboots_only_into_an_entry_that_can_boot() {
        check("2-b+0-3", "1-a 2-b+1-2", "rebooting: `basalt-1-a.conf` can still boot");
        check("2-b+0-3", "1-a+1-2 2-b+0-3", "rebooting: `basalt-1-a+1-2.conf` can still boot");
        check("2-b+0-3", "1-a+0-3 2-b+0-3", NOTHING_ELSE);
        check("2-b+0-3", "", NOTHING_ELSE);
    }

    #[test]
    fn its_own_name_of_before_the_boot_is_no_other_entry() {
        check("2-b+0-1", "2-b+1", NOTHING_ELSE);
        check("2-b+0-1", "2-b", NOTHING_ELSE);
    }

    /// What systemd-boot does to the chosen entry before it starts it.
    fn boot(entries: &mut [EntryName]) -> Option<EntryName> {
        let chosen = choose(entries)?;
        let entry = entries.iter_mut().find(|entry| **entry == chosen)?;
        let tries = entry.tries.as_mut()?;
        tries.left = tries.left.saturating_sub(1);
        tries.done += 1;
        Some(*entry)
    }

    proptest! {
        #[test]
        fn a_host_on_which_every_boot_fails_stops_rebooting(
            tries in prop::collection::vec(prop::option::of(0..4u32), 1..5),
        ) {
            let mut entries = Vec::new();
            for (serial, tries) in (1..).zip(tries) {
                entries.push(match tries {
                    Some(left) => EntryName::on_trial(serial, Slot::A, left),
                    None => EntryName::uncounted(serial, Slot::B),
                });
            }
            let bound = 4 * entries.len() + 1;
            let boots = (0..bound).take_while(|_| {
                let current = boot(&mut entries);
                matches!(fallback(current, &entries), Fallback::Reboot(_))
            });
            prop_assert!(boots.count() < bound);
        }
    }
}
