//! What was learnt of containers beyond their list, for as long as no event says otherwise.
//!
//! With it a round costs one list call, however many containers there are. Without a stream of
//! events nothing is kept.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::seen::{Details, Phase};

/// How long it is kept without an event, should one ever be lost in a stream that goes on.
const MAX_AGE: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Whether events are heard.
    is_trusted: bool,
    /// Counts what made something old: what was asked before must not be kept after it.
    epoch: u64,
    details: HashMap<String, (Phase, Details, Instant)>,
}

/// From when something is that is asked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch(u64);

impl Cache {
    pub(super) fn epoch(&self) -> Epoch {
        Epoch(self.lock().epoch)
    }

    /// What is known of a container that is in this phase.
    pub(super) fn get(&self, id: &str, phase: &Phase) -> Option<Details> {
        let kept = self.lock();
        let (then, details, at) = kept.details.get(id)?;
        (then == phase && at.elapsed() < MAX_AGE).then(|| details.clone())
    }

    /// Keeps what was asked since `epoch`, unless something happened meanwhile.
    pub(super) fn keep(&self, epoch: Epoch, id: &str, phase: Phase, details: Details) {
        let mut kept = self.lock();
        if kept.is_trusted && kept.epoch == epoch.0 {
            kept.details.insert(id.to_owned(), (phase, details, Instant::now()));
        }
    }

    /// Drops what is known of containers that are no more.
    pub(super) fn retain(&self, is_there: impl Fn(&str) -> bool) {
        self.lock().details.retain(|id, _| is_there(id));
    }

    /// Something happened to a container.
    pub(super) fn forget(&self, id: &str) {
        let mut kept = self.lock();
        kept.epoch += 1;
        kept.details.remove(id);
    }

    /// Events are heard from now on.
    pub(super) fn trust(&self) {
        self.reset(true);
    }

    /// Events are not heard any more.
    pub(super) fn distrust(&self) {
        self.reset(false);
    }

    fn reset(&self, is_trusted: bool) {
        let mut kept = self.lock();
        kept.epoch += 1;
        kept.details.clear();
        kept.is_trusted = is_trusted;
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(started: i64) -> Details {
        serde_json::from_value::<super::super::seen::Inspected>(serde_json::json!({
            "State": { "StartedAt": jiff::Timestamp::from_second(started).unwrap().to_string() },
        }))
        .unwrap()
        .details()
    }

    #[tokio::test(start_paused = true)]
    async fn it_keeps_for_a_time_and_for_one_phase() {
        let cache = Cache::default();
        cache.trust();
        cache.keep(cache.epoch(), "a", Phase::Alive, details(1));
        assert_eq!(cache.get("a", &Phase::Alive), Some(details(1)));
        assert_eq!(cache.get("a", &Phase::Ended), None);
        tokio::time::advance(MAX_AGE).await;
        assert_eq!(cache.get("a", &Phase::Alive), None);
    }

    #[tokio::test]
    async fn what_was_asked_before_an_event_is_not_kept_after_it() {
        let cache = Cache::default();
        cache.trust();
        let before = cache.epoch();
        cache.forget("a");
        cache.keep(before, "a", Phase::Alive, details(1));
        assert_eq!(cache.get("a", &Phase::Alive), None);
    }

    #[tokio::test]
    async fn nothing_is_kept_while_no_events_are_heard() {
        let cache = Cache::default();
        cache.keep(cache.epoch(), "a", Phase::Alive, details(1));
        assert_eq!(cache.get("a", &Phase::Alive), None);
        cache.trust();
        cache.keep(cache.epoch(), "a", Phase::Alive, details(1));
        cache.distrust();
        assert_eq!(cache.get("a", &Phase::Alive), None);
    }
}
