//! Containers that run although their engine says that they do not, as dockerd does after it was
//! killed within a start. Unseen, one that shall not run would be told as stopped and run on.
//!
//! An engine that starts something has processes before it says so, and one that ends something
//! says so before the last process is gone: only what was seen twice, with time between, is a stray.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::leftover;
use super::seen::{Ours, Phase};

/// How long an engine may be silent about what it starts or ends.
const SURE: Duration = Duration::from_secs(5);

/// Since when something was seen to run of containers that are said not to.
#[derive(Debug, Default)]
pub(super) struct Strays(Mutex<BTreeMap<String, Instant>>);

impl Strays {
    /// Marks those that are strays. Where processes cannot be looked at, the engine is believed.
    pub(super) async fn mark(&self, listed: &mut [Ours]) {
        let quiet = listed.iter().filter(|ours| ours.phase.is_said_to_be_empty());
        let quiet: BTreeSet<String> = quiet.map(|ours| ours.id.clone()).collect();
        let found = if quiet.is_empty() {
            Ok(Ok(BTreeSet::new()))
        } else {
            tokio::task::spawn_blocking(move || leftover::that_run(&quiet)).await
        };
        let found = match found.map_err(std::io::Error::other).and_then(|found| found) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "whether containers run is not looked at");
                return;
            }
        };
        let sure = self.seen(found);
        for ours in listed.iter_mut().filter(|ours| sure.contains(&ours.id)) {
            ours.phase = Phase::Stray;
        }
    }

    /// Those of what is seen now that were seen long enough ago, and always since.
    fn seen(&self, found: BTreeSet<String>) -> BTreeSet<String> {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|id, _| found.contains(id));
        let now = Instant::now();
        let is_sure = |id: &String| now - *since.entry(id.clone()).or_insert(now) >= SURE;
        found.into_iter().filter(is_sure).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_what_is_seen_twice_with_time_between_is_a_stray() {
        let strays = Strays::default();
        let seen = |ids: &[&str]| {
            let found = ids.iter().map(|id| (*id).to_owned()).collect();
            strays.seen(found).into_iter().collect::<Vec<_>>()
        };
        assert_eq!(seen(&["a", "b"]), [""; 0]);
        tokio::time::advance(SURE / 2).await;
        // The engine was ending it.
        assert_eq!(seen(&["a"]), [""; 0]);
        tokio::time::advance(SURE / 2).await;
        assert_eq!(seen(&["a", "b"]), ["a"]);
        tokio::time::advance(SURE).await;
        assert_eq!(seen(&["a", "b"]), ["a", "b"]);
    }
}
