//! How long a download may take. What a server is waited for may never come, libostree's own limits
//! are those of one request, and a call that waits cannot be cancelled.

use std::time::{Duration, Instant};

/// How long a download may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How long nothing may come while something is waited for.
    pub silence: Duration,
    /// How long all of it may take.
    pub whole: Duration,
}

impl Default for Patience {
    /// Longer than libostree itself waits for one file and asks for it again.
    fn default() -> Self {
        Self { silence: Duration::from_secs(300), whole: Duration::from_secs(3 * 3600) }
    }
}

/// Why it was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// Nothing came for so long.
    Silence(Duration),
    /// It took longer than this.
    Whole(Duration),
}

/// A download that is listened to.
#[derive(Debug)]
pub(crate) struct Watch {
    patience: Patience,
    began: Instant,
    /// Whether it waits for the server, and not for this host.
    is_waiting: bool,
    /// What came, in any number that only changes when something does.
    count: u64,
    since: Instant,
}

impl Watch {
    pub(crate) fn new(patience: Patience, now: Instant) -> Self {
        Self { patience, began: now, is_waiting: true, count: 0, since: now }
    }

    /// It says how it is.
    pub(crate) fn hear(&mut self, is_waiting: bool, count: u64, now: Instant) {
        if !is_waiting || !self.is_waiting || count != self.count {
            (self.is_waiting, self.count, self.since) = (is_waiting, count, now);
        }
    }

    /// Whether it is to be given up.
    pub(crate) fn verdict(&self, now: Instant) -> Option<GivenUp> {
        let Patience { silence, whole } = self.patience;
        if now.duration_since(self.began) >= whole {
            return Some(GivenUp::Whole(whole));
        }
        let is_silent = self.is_waiting && now.duration_since(self.since) >= silence;
        is_silent.then_some(GivenUp::Silence(silence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that says this each second, and is given up in this second with a silence of 5 and a
    /// whole of 20.
    #[track_caller]
    fn check(said: impl Fn(u64) -> (bool, u64), expected: Option<u64>) {
        let began = Instant::now();
        let seconds = Duration::from_secs;
        let mut watch = Watch::new(Patience { silence: seconds(5), whole: seconds(20) }, began);
        let given_up = (1..30).find(|second| {
            let now = began + seconds(*second);
            let (is_waiting, count) = said(*second);
            watch.hear(is_waiting, count, now);
            watch.verdict(now).is_some()
        });
        assert_eq!(given_up, expected);
    }

    #[test]
    fn a_download_is_given_up_for_silence_only_while_it_waits_for_the_server() {
        check(|_| (true, 0), Some(5));
        check(|_| (true, 7), Some(6));
        // What this host does by itself is not the server's silence, and takes up no part of it.
        check(|second| (second > 8, 7), Some(14));
        check(|second| (second % 4 != 0, 7), Some(20));
    }

    #[test]
    fn a_download_that_goes_on_and_on_is_given_up() {
        check(|second| (true, second), Some(20));
        check(|_| (false, 7), Some(20));
    }
}
