//! How long a connection may ask, by who is at its other end.
//!
//! Whoever asks nothing is let go, and so is a stranger after a while, whatever it asks. A host
//! stays as long as a route of its own lets it in again and again; one that was refused, as a
//! removed host is, goes at once. What runs when a connection's time is over is answered still.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// How long a connection may ask nothing; as long as the head of a request may take.
pub const IDLE_TIME: Duration = Duration::from_secs(10);
/// How long a connection of whoever is not known as a host may ask.
const STRANGERS_TIME: Duration = Duration::from_secs(120);
/// How long it is a host's after the host was let in. Longer than a poll is held.
const HOSTS_TIME: Duration = Duration::from_secs(600);

/// The standing of one connection.
#[derive(Debug, Clone)]
pub struct Standing {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    known: Mutex<Known>,
    sooner: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    begun: Instant,
    /// Requests that are not answered yet.
    running: usize,
    idle_since: Instant,
    /// When it was a host's last.
    admitted: Option<Instant>,
    is_refused: bool,
}

/// A request that runs, until it is dropped.
#[derive(Debug)]
pub struct Running(Standing);

impl Standing {
    /// Of a connection that begins.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        let known =
            Known { begun: now, running: 0, idle_since: now, admitted: None, is_refused: false };
        Self { shared: Arc::new(Shared { known: Mutex::new(known), sooner: Notify::new() }) }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request begins.
    #[must_use]
    pub fn ask(&self) -> Running {
        self.known().running += 1;
        Running(self.clone())
    }

    /// A host was let in.
    pub fn admit(&self, now: Instant) {
        let mut known = self.known();
        (known.admitted, known.is_refused) = (Some(now), false);
    }

    /// Its certificate is worth nothing, or no longer.
    pub fn refuse(&self) {
        self.known().is_refused = true;
        self.shared.sooner.notify_one();
    }

    /// Returns when nothing new may be asked. Cancel-safe.
    pub async fn ends(&self) {
        loop {
            let until = self.known().until();
            if until <= Instant::now() {
                return;
            }
            tokio::select! {
                // Cancel-safe: it keeps nothing.
                () = tokio::time::sleep_until(until) => (),
                // Cancel-safe: what was told stays told until this completes.
                () = self.shared.sooner.notified() => (),
            }
        }
    }
}

impl Known {
    /// When it ends if nothing more happens.
    fn until(&self) -> Instant {
        if self.is_refused {
            return self.begun;
        }
        let life = match self.admitted {
            Some(at) => at + HOSTS_TIME,
            None => self.begun + STRANGERS_TIME,
        };
        if self.running > 0 { life } else { life.min(self.idle_since + IDLE_TIME) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut known = self.0.known();
        known.running -= 1;
        known.idle_since = Instant::now();
        drop(known);
        self.0.shared.sooner.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Seconds after which it ends, while `happens` goes on.
    async fn check(happens: impl AsyncFnOnce(Standing), expected: u64) {
        let begun = Instant::now();
        let standing = Standing::new(begun);
        let (other, ended) = (standing.clone(), async {
            standing.ends().await;
            begun.elapsed()
        });
        let (took, ()) = tokio::join!(ended, happens(other));
        assert_eq!(took, seconds(expected));
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_nothing_is_let_go() {
        check(async |_| (), 10).await;
        let once = async |standing: Standing| {
            let running = standing.ask();
            tokio::time::sleep(seconds(30)).await;
            drop(running);
        };
        check(once, 40).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_is_let_go_whatever_it_asks() {
        let again_and_again = async |standing: Standing| {
            for _ in 0..40 {
                let running = standing.ask();
                tokio::time::sleep(seconds(5)).await;
                drop(running);
            }
        };
        check(again_and_again, 120).await;
        let for_ever = async |standing: Standing| {
            let _running = standing.ask();
            tokio::time::sleep(seconds(500)).await;
        };
        check(for_ever, 120).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_stays_while_it_is_let_in_and_no_poll_of_it_is_cut() {
        let polls = async |standing: Standing| {
            for _ in 0..5 {
                let running = standing.ask();
                standing.admit(Instant::now());
                tokio::time::sleep(seconds(360)).await;
                drop(running);
            }
        };
        check(polls, 5 * 360 + 10).await;
        // Once a host, and then only what anyone may ask.
        let as_a_stranger = async |standing: Standing| {
            standing.admit(Instant::now());
            for _ in 0..300 {
                let running = standing.ask();
                tokio::time::sleep(seconds(5)).await;
                drop(running);
            }
        };
        check(as_a_stranger, 600).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_goes_at_once() {
        let removed = async |standing: Standing| {
            let _running = standing.ask();
            standing.admit(Instant::now());
            tokio::time::sleep(seconds(50)).await;
            standing.refuse();
            tokio::time::sleep(seconds(50)).await;
        };
        check(removed, 50).await;
    }
}
