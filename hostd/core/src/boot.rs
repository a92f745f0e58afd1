//! Whether this boot has proved itself.

use basalt_api::status::Boot;
use basalt_sysroot::entry::EntryName;

/// A boot and the tries that it has left when it is on trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Whether it has proved itself.
    pub boot: Boot,
    /// Boots that may still be tried after this one.
    pub tries_left: Option<u32>,
}

/// The entry that the loader counted for this boot, read from the firmware's variables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It counted none: the entry was blessed before, or never had to prove itself.
    None,
    /// It counted this one, under its name of this boot.
    Entry(EntryName),
    /// The variable is there and cannot be read.
    Unreadable,
}

/// Draws the conclusion. The variable stays after an entry is blessed, so what counts is whether
/// `on_esp`, the entries on the ESP, still has it under that name; `None` when the ESP cannot be
/// read.
#[must_use]
pub fn proof(counted: Counted, on_esp: Option<&[EntryName]>) -> Proof {
    let plain = |boot| Proof { boot, tries_left: None };
    let entry = match counted {
        Counted::None => return plain(Boot::Blessed),
        Counted::Unreadable => return plain(Boot::Unknown),
        Counted::Entry(entry) => entry,
    };
    match on_esp {
        None => plain(Boot::Unknown),
        Some(names) if names.contains(&entry.blessed()) => plain(Boot::Blessed),
        Some(_) => {
            Proof { boot: Boot::Trial, tries_left: Some(entry.tries.map_or(0, |tries| tries.left)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counted: &str, on_esp: Option<&[&str]>, expected: (Boot, Option<u32>)) {
        let counted = match counted {
            "" => Counted::None,
            name => name.parse().map_or(Counted::Unreadable, Counted::Entry),
        };
        let names: Option<Vec<EntryName>> =
            on_esp.map(|names| names.iter().map(|name| name.parse().unwrap()).collect());
        let proof = proof(counted, names.as_deref());
        assert_eq!((proof.boot, proof.tries_left), expected);
    }

    #[test]
    fn an_entry_without_a_counter_is_blessed() {
        check("", None, (Boot::Blessed, None));
    }

    #[test]
    fn a_counted_entry_is_on_trial_with_its_tries() {
        let names = ["basalt-1-a.conf", "basalt-2-b+2-1.conf"];
        check("basalt-2-b+2-1.conf", Some(&names), (Boot::Trial, Some(2)));
    }

    #[test]
    fn a_trial_ends_when_the_entry_on_the_esp_loses_its_counter() {
        let names = ["basalt-1-a.conf", "basalt-2-b.conf"];
        check("basalt-2-b+2-1.conf", Some(&names), (Boot::Blessed, None));
    }

    #[test]
    fn without_the_esp_a_counted_boot_is_unknown() {
        check("basalt-2-b+2-1.conf", None, (Boot::Unknown, None));
        check("garbage", Some(&[]), (Boot::Unknown, None));
    }
}
