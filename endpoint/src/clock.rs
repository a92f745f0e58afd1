//! The one place that reads the clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use basalt_endpoint_core::{Moment, Seconds, UpSeconds};
use rustix::time::{ClockId, clock_gettime};

/// Seconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn now() -> Seconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Seconds::try_from(since.as_secs()).unwrap_or(Seconds::MAX)
}

/// Seconds since the machine started.
#[must_use]
pub fn up() -> UpSeconds {
    clock_gettime(ClockId::Boottime).tv_sec
}

/// Now, by both clocks.
#[must_use]
pub fn moment() -> Moment {
    Moment { date: now(), up: up() }
}
