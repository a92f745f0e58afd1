//! Containers that an event told of and that the engine's list may not show as they are yet.
//!
//! dockerd tells of an end before it writes it where lists are made from (moby, `daemon/monitor.go`
//! of 20.10: the event `die`, then `Cleanup`, which unmounts, then `CheckpointTo`). Who looks at
//! once sees it running, and hears no more of it.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// From an event until the list has what it told of, on a slow and busy host.
const AFTER: Duration = Duration::from_secs(2);

/// Containers to be looked at once more, the one that comes first in front.
#[derive(Debug, Default)]
pub(super) struct Unsure(VecDeque<(Instant, String)>);

impl Unsure {
    /// An event has told of this container.
    pub(super) fn add(&mut self, id: &str) {
        self.0.push_back((Instant::now() + AFTER, id.to_owned()));
    }

    /// The next one, once it is time; never where there is none. Cancel-safe.
    pub(super) async fn next(&mut self) -> String {
        let Some((at, _)) = self.0.front() else { return std::future::pending().await };
        sleep_until(*at).await;
        self.0.pop_front().map(|(_, id)| id).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_an_event_told_of_is_looked_at_once_more_and_no_oftener() {
        let mut unsure = Unsure::default();
        let began = Instant::now();
        unsure.add("a");
        tokio::time::sleep(Duration::from_secs(1)).await;
        unsure.add("b");
        // A look that something else cut off loses nothing.
        tokio::time::timeout(Duration::from_millis(500), unsure.next()).await.unwrap_err();
        for (id, seconds) in [("a", 2), ("b", 3)] {
            assert_eq!(unsure.next().await, id);
            assert_eq!(began.elapsed().as_secs(), seconds);
        }
        tokio::time::timeout(Duration::from_secs(600), unsure.next()).await.unwrap_err();
    }
}
