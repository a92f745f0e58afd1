//! Which entry the loader boots, and which serial makes a new one come first.

use std::cmp::Ordering;

use super::EntryName;

/// The order in which systemd-boot lists Basalt's entries, the one it boots first.
///
/// Exhausted ones come last, then the highest serial comes first (they all share one sort key).
/// Source: `boot_entry_compare` in systemd 257's `boot.c`. Two entries of one serial, which
/// Basalt never writes, are ordered by their names, backwards, and then by what is left.
#[must_use]
pub fn order(a: &EntryName, b: &EntryName) -> Ordering {
    let left = |name: &EntryName| name.tries.map(|tries| tries.left);
    (a.is_exhausted().cmp(&b.is_exhausted()))
        .then(b.serial.cmp(&a.serial))
        .then(b.slot.cmp(&a.slot))
        .then(left(b).cmp(&left(a)))
}

/// The entry that systemd-boot boots by itself; `None` when there is none at all. It does boot an
/// exhausted one when there is nothing else.
#[must_use]
pub fn choose(names: &[EntryName]) -> Option<EntryName> {
    names.iter().copied().min_by(order)
}

/// The serial that puts a new entry before all of `names`; 1 on an empty disk.
#[must_use]
pub fn next_serial(names: &[EntryName]) -> u64 {
    names.iter().map(|name| name.serial).max().map_or(1, |highest| highest.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::slot::Slot;

    fn names(list: &str) -> Vec<EntryName> {
        list.split_whitespace().map(|name| format!("basalt-{name}.conf").parse().unwrap()).collect()
    }

    fn check(list: &str, expected: Option<&str>) {
        let expected = expected.map(|name| names(name)[0]);
        assert_eq!(choose(&names(list)), expected, "of {list}");
    }

    #[test]
    fn the_highest_serial_with_tries_left_boots() {
        check("", None);
        check("1-a", Some("1-a"));
        check("1-a 2-b+3", Some("2-b+3"));
        check("2-b+1-2 1-a", Some("2-b+1-2"));
        check("1-a 2-b+0-3", Some("1-a"));
        check("9-a 10-b", Some("10-b"));
        check("5-a 2-b+3", Some("5-a"));
    }

    #[test]
    fn an_exhausted_entry_boots_only_when_all_are() {
        check("2-b+0-3", Some("2-b+0-3"));
        check("2-b+0-3 3-a+0-1", Some("3-a+0-1"));
        check("2-b+0-3 3-a+0-1 1-a", Some("1-a"));
    }

    #[test]
    fn the_next_serial_is_above_exhausted_ones_too() {
        assert_eq!(next_serial(&[]), 1);
        assert_eq!(next_serial(&names("1-a 12-b+0-3 7-a")), 13);
    }

    proptest! {
        #[test]
        fn a_new_entry_is_chosen_over_all_others(serials in prop::collection::vec(0..1000u64, 0..6)) {
            let mut all: Vec<_> =
                serials.iter().map(|serial| EntryName::uncounted(*serial, Slot::B)).collect();
            let new = EntryName::on_trial(next_serial(&all), Slot::A, 3);
            all.push(new);
            prop_assert_eq!(choose(&all), Some(new));
        }
    }
}
