//! The one place that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use basalt_endpoint_core::Seconds;

/// Seconds since 1970.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn now() -> Seconds {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Seconds::try_from(since.as_secs()).unwrap_or(Seconds::MAX)
}
