//! Time since the kernel started, which no administrator and no network sets.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since the kernel started, sleep included.
#[must_use]
pub fn uptime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds)
}
