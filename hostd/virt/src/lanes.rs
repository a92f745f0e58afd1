//! Which job comes next: those of one lane one after the other, others beside them. Pure.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;
use std::time::Instant;

/// Jobs that may wait; `hostd` never has so many.
const MAX_WAITING: usize = 4096;

/// Jobs in lanes. A lane is busy from [`take`](Self::take) until [`leave`](Self::leave), however
/// often its job puts itself off.
#[derive(Debug)]
pub(crate) struct Lanes<L, J> {
    waiting: VecDeque<(L, J)>,
    put_off: Vec<(Instant, L, J)>,
    busy: HashSet<L>,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<L, J> {
    /// This job.
    Do(L, J),
    /// Nothing before then, or before something changes.
    Wait(Option<Instant>),
}

impl<L: Clone + Eq + Hash, J> Lanes<L, J> {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::new(), put_off: Vec::new(), busy: HashSet::new() }
    }

    /// Adds a job at the end of its lane; gives it back where too many wait.
    pub(crate) fn push(&mut self, lane: L, job: J) -> Result<(), J> {
        if self.waiting.len() >= MAX_WAITING {
            return Err(job);
        }
        self.waiting.push_back((lane, job));
        Ok(())
    }

    /// The next job: first what was put off until now, then the oldest whose lane is free.
    pub(crate) fn take(&mut self, now: Instant) -> Next<L, J> {
        if let Some(due) = self.put_off.iter().position(|(at, ..)| *at <= now) {
            let (_, lane, job) = self.put_off.swap_remove(due);
            return Next::Do(lane, job);
        }
        let free = self.waiting.iter().position(|(lane, _)| !self.busy.contains(lane));
        match free.and_then(|at| self.waiting.remove(at)) {
            Some((lane, job)) => {
                self.busy.insert(lane.clone());
                Next::Do(lane, job)
            }
            None => Next::Wait(self.put_off.iter().map(|(at, ..)| *at).min()),
        }
    }

    /// A job of this lane goes on later; the lane stays busy.
    pub(crate) fn put_off(&mut self, lane: L, job: J, until: Instant) {
        self.put_off.push((until, lane, job));
    }

    /// What this lane put off is due now.
    pub(crate) fn hasten(&mut self, lane: &L, now: Instant) {
        self.put_off.iter_mut().filter(|(_, of, _)| of == lane).for_each(|(at, ..)| *at = now);
    }

    /// The job of this lane is done.
    pub(crate) fn leave(&mut self, lane: &L) {
        self.busy.remove(lane);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn jobs_of_one_lane_wait_for_each_other_and_for_nobody_else() {
        let (mut lanes, now) = (Lanes::new(), Instant::now());
        for (lane, job) in [("a", 1), ("a", 2), ("b", 3)] {
            lanes.push(lane, job).unwrap();
        }
        assert_eq!(lanes.take(now), Next::Do("a", 1));
        assert_eq!(lanes.take(now), Next::Do("b", 3));
        assert_eq!(lanes.take(now), Next::Wait(None));
        lanes.leave(&"a");
        assert_eq!(lanes.take(now), Next::Do("a", 2));
    }

    #[test]
    fn a_job_that_was_put_off_holds_its_lane_until_it_is_due_or_hastened() {
        let (mut lanes, now) = (Lanes::new(), Instant::now());
        let later = now + Duration::from_secs(10);
        lanes.push("a", 1).unwrap();
        lanes.push("a", 2).unwrap();
        assert_eq!(lanes.take(now), Next::Do("a", 1));
        lanes.put_off("a", 1, later);
        assert_eq!(lanes.take(now), Next::Wait(Some(later)));
        assert_eq!(lanes.take(later), Next::Do("a", 1));
        lanes.put_off("a", 1, later);
        lanes.hasten(&"a", now);
        assert_eq!(lanes.take(now), Next::Do("a", 1));
        lanes.leave(&"a");
        assert_eq!(lanes.take(now), Next::Do("a", 2));
    }

    #[test]
    fn there_is_an_end_to_what_may_wait() {
        let mut lanes = Lanes::new();
        for job in 0..MAX_WAITING {
            lanes.push("a", job).unwrap();
        }
        assert_eq!(lanes.push("a", 0), Err(0));
    }
}
