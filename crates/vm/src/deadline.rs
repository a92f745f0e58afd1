//! A point in time by which something must have happened.

use std::time::{Duration, Instant};

/// Counts from when it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    began: Instant,
    pub(crate) given: Duration,
}

impl Deadline {
    pub(crate) fn after(given: Duration) -> Self {
        Self { began: Instant::now(), given }
    }

    /// What is left of it; `None` when it has passed.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.given.checked_sub(self.began.elapsed()).filter(|left| !left.is_zero())
    }
}
