//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(10);

/// Looks until there is something, and returns it.
///
/// # Panics
/// There is nothing within `deadline`; says `what` was waited for.
pub fn until<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + deadline;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {} s in vain: {what}", deadline.as_secs());
        std::thread::sleep(TICK);
    }
}
