//! When `hostd-virt` is started again. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// One that lived so long was well.
const WELL: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(60);

/// When it is started again: at once, then after 1, 2, 4 … 60 s, until one lives for a minute.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    not_before: Option<Instant>,
}

impl Backoff {
    /// One that began then has ended, and nobody wanted it to.
    pub(super) fn ended(&mut self, began: Instant, now: Instant) {
        if now - began >= WELL {
            self.failures = 0;
        }
        let pause = match self.failures {
            0 => Duration::ZERO,
            more => Duration::from_secs(1_u64 << (more - 1).min(6)).min(LONGEST),
        };
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now + pause);
    }

    /// How long it must not be started yet.
    pub(super) fn pause(&self, now: Instant) -> Option<Duration> {
        let pause = self.not_before?.checked_duration_since(now)?;
        (!pause.is_zero()).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_pause_and_a_good_minute_forgets_them() {
        let (mut backoff, mut now) = (Backoff::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..9 {
            backoff.ended(now, now);
            let pause = backoff.pause(now).unwrap_or_default();
            pauses.push(pause.as_secs());
            now += pause;
            assert_eq!(backoff.pause(now), None);
        }
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        backoff.ended(now, now + WELL);
        assert_eq!(backoff.pause(now + WELL), None);
    }
}
