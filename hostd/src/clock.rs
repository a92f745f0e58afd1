//! The two clocks: time since the kernel started, which no administrator and no network sets, for
//! whatever is waited for; the calendar's, for what people and other machines read.

use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// Time since the kernel started, sleep included.
#[must_use]
pub fn uptime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Seconds since 1970.
#[must_use]
pub fn unix_s() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the calendar")]
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
