//! Who may be connected, and how often. Nobody takes another's place: each user has a few, all
//! users but root have so many together, and root has its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Places of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Those of one user other than root.
    pub(super) each: usize,
    /// Those of all users other than root together.
    pub(super) others: usize,
    /// Those of root.
    pub(super) root: usize,
}

/// Places that are taken and given back.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Mutex<Tally>>);

/// A place that somebody has; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    uid: u32,
}

/// Who has how many.
#[derive(Debug)]
struct Tally {
    limits: Limits,
    taken: BTreeMap<u32, usize>,
}

impl Places {
    pub(super) fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Tally { limits, taken: BTreeMap::new() })))
    }

    /// A place for this user; none where it has its share, or all others have theirs.
    pub(super) fn take(&self, uid: u32) -> Option<Place> {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.take(uid).then(|| Place { places: self.clone(), uid })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.0.lock().unwrap_or_else(PoisonError::into_inner).give_back(self.uid);
    }
}

impl Tally {
    fn take(&mut self, uid: u32) -> bool {
        let of = |uid: u32| self.taken.get(&uid).copied().unwrap_or(0);
        let is_free = if uid == 0 {
            of(0) < self.limits.root
        } else {
            let others = self.taken.values().sum::<usize>() - of(0);
            of(uid) < self.limits.each && others < self.limits.others
        };
        if is_free {
            *self.taken.entry(uid).or_default() += 1;
        }
        is_free
    }

    fn give_back(&mut self, uid: u32) {
        if let Some(taken) = self.taken.get_mut(&uid) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                self.taken.remove(&uid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { each: 2, others: 3, root: 1 };

    /// Each of these users wants a place in turn and keeps it; who gets one.
    fn check(users: &[u32], expected: &[bool]) {
        let places = Places::new(LIMITS);
        let had: Vec<Option<Place>> = users.iter().map(|uid| places.take(*uid)).collect();
        assert_eq!(had.iter().map(Option::is_some).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn one_user_has_its_share_and_no_more() {
        check(&[7, 7, 7, 8], &[true, true, false, true]);
    }

    #[test]
    fn all_users_together_leave_root_its_own_places() {
        check(&[7, 7, 8, 8, 9, 0, 0], &[true, true, true, false, false, true, false]);
    }

    #[test]
    fn root_takes_no_place_of_the_others() {
        check(&[0, 7, 7], &[true, true, true]);
    }

    #[test]
    fn a_place_that_is_given_back_is_free() {
        let places = Places::new(LIMITS);
        for _ in 0..10 {
            let _one = places.take(7).unwrap();
            let _other = places.take(7).unwrap();
        }
        assert!(places.0.lock().unwrap().taken.is_empty());
    }
}
