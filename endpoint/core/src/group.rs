//! Groups of hosts of which only so many reboot at once, those that are not ours among them: they
//! ask by FleetLock (<https://coreos.github.io/zincati/development/fleetlock/protocol/>).

use crate::Seconds;

/// Bytes that a host which is not ours may call itself by.
pub const MAX_ID: usize = 128;

/// Whether `id` may be what a host that is not ours calls itself: it is shown and stored.
#[must_use]
pub fn is_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// A place that a host which is not ours has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// What it calls itself.
    pub id: String,
    /// Since when.
    pub since: Seconds,
}

/// Whether `id` has a place, or gets one of `slots` of which hosts of ours have `taken`.
#[must_use]
pub fn may_reboot(slots: u32, taken: u32, locks: &[Lock], id: &str) -> bool {
    locks.iter().any(|lock| lock.id == id) || free(slots, taken, locks) > 0
}

/// Places that nobody has.
#[must_use]
pub fn free(slots: u32, taken: u32, locks: &[Lock]) -> u32 {
    let locks = u32::try_from(locks.len()).unwrap_or(u32::MAX);
    slots.saturating_sub(taken).saturating_sub(locks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_place_keeps_it_and_nobody_gets_one_too_many() {
        let locks = [Lock { id: "a".to_owned(), since: 0 }];
        for (slots, taken, id, expected) in [
            (1, 0, "a", true),
            (1, 0, "b", false),
            (2, 0, "b", true),
            (2, 1, "b", false),
            // There were more before an operator made them fewer.
            (0, 3, "a", true),
            (0, 3, "b", false),
        ] {
            assert_eq!(may_reboot(slots, taken, &locks, id), expected, "{slots} {taken} {id}");
        }
    }
}
