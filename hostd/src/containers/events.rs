//! Hears from an engine that something changed.
//!
//! A task of its own holds the stream, so that nothing is missed between two questions. podman
//! (4.3) drops everything at a filter by a label without a value, so the label is looked at here.

use std::sync::Arc;
use std::time::Duration;

use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use futures_util::StreamExt;
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::cache::Cache;
use super::client::{Client, Connected};
use super::labels;
use super::unsure::Unsure;

/// Between two attempts to reach the engine.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A stream that lasted so long was a good one: the next attempt comes soon again.
const GOOD_STREAM: Duration = Duration::from_secs(10);
/// Time that an engine has to begin to listen to itself after it took the request: what happens in
/// between is in no stream.
const SETTLE: Duration = Duration::from_millis(500);

/// Events that change nothing about a container's state: questions and health checks.
const QUIET: &[&str] = &["exec", "top", "attach", "resize", "health_status", "export", "archive"];

/// Tells that something changed.
#[derive(Debug)]
pub(super) struct Events {
    /// Counts changes.
    changes: watch::Sender<u64>,
    /// How far `changed` has told of them.
    told: Mutex<watch::Receiver<u64>>,
    task: std::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Events {
    pub(super) fn new() -> Self {
        let (changes, told) = watch::channel(0);
        Self { changes, told: Mutex::new(told), task: std::sync::Mutex::default() }
    }

    /// Returns once something changed since the last call.
    pub(super) async fn changed(&self, client: &Arc<Client>, cache: &Arc<Cache>) {
        self.listen(client, cache);
        // Cancel-safe: a change is marked as told only when this completes. The sender is ours.
        let _ = self.told.lock().await.changed().await;
    }

    /// Begins to listen at the first question: there is no runtime to do it in before.
    fn listen(&self, client: &Arc<Client>, cache: &Arc<Cache>) {
        let mut task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let listener = Listener {
                client: Arc::clone(client),
                cache: Arc::clone(cache),
                changes: self.changes.clone(),
            };
            *task = Some(tokio::spawn(listener.run()));
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        let task = self.task.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(task) = task.take() {
            task.abort();
        }
    }
}

struct Listener {
    client: Arc<Client>,
    cache: Arc<Cache>,
    changes: watch::Sender<u64>,
}

impl Listener {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.client.connect().await {
                Ok(connected) => {
                    let began = Instant::now();
                    self.follow(connected).await;
                    if began.elapsed() > GOOD_STREAM {
                        pause = FIRST_PAUSE;
                    }
                }
                Err(error) => tracing::debug!(?error, "no events of containers"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Tells of changes until the stream ends.
    async fn follow(&self, connected: Connected) {
        let filters = std::collections::HashMap::from([("type", vec!["container"])]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let mut events = connected.docker.events(Some(options));
        let (mut is_settled, mut unsure) = (false, Unsure::default());
        let settle = sleep(SETTLE);
        tokio::pin!(settle);
        // Whatever happened while nobody listened.
        self.tell();
        loop {
            tokio::select! {
                // Cancel-safe: a stream keeps what it has until it is polled again.
                event = events.next() => match event {
                    Some(Ok(event)) => {
                        if let Some(id) = changed_container(&event) {
                            self.look_at(id);
                            unsure.add(id);
                        }
                    }
                    Some(Err(error)) => {
                        tracing::debug!(%error, "the events of containers end");
                        break;
                    }
                    None => break,
                },
                // Cancel-safe: what is not due stays.
                id = unsure.next() => self.look_at(&id),
                // Cancel-safe: a timer.
                () = &mut settle, if !is_settled => {
                    is_settled = true;
                    self.cache.trust();
                    self.tell();
                }
            }
        }
        self.cache.distrust();
        self.tell();
    }

    /// What is known of this container holds no more.
    fn look_at(&self, id: &str) {
        self.cache.forget(id);
        self.tell();
    }

    fn tell(&self) {
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

/// The container of ours that an event changed.
fn changed_container(event: &EventMessage) -> Option<&str> {
    let action = event.action.as_deref().unwrap_or_default();
    if QUIET.iter().any(|quiet| action.starts_with(quiet)) {
        return None;
    }
    let actor = event.actor.as_ref()?;
    actor.attributes.as_ref()?.get(labels::UID)?;
    actor.id.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(event: serde_json::Value, expected: Option<&str>) {
        let event: EventMessage = serde_json::from_value(event).unwrap();
        assert_eq!(changed_container(&event), expected);
    }

    fn event(action: &str, label: &str) -> serde_json::Value {
        serde_json::json!({
            "status": action, "id": "e516", "from": "example.test/tiny:1", "Type": "container",
            "Action": action, "scope": "local", "time": 1_795_512_346, "timeNano": 1,
            "Actor": { "ID": "e516", "Attributes": { "image": "example.test/tiny:1", label: "u" } },
        })
    }

    #[test]
    fn only_changes_of_our_containers_count() {
        for action in ["create", "start", "die", "died", "oom", "destroy", "remove", "new-thing"] {
            check(event(action, labels::UID), Some("e516"));
            check(event(action, "com.example.other"), None);
        }
        for action in ["exec_create: sh", "exec_die", "top", "health_status: healthy"] {
            check(event(action, labels::UID), None);
        }
    }

    #[test]
    fn fuzz_events_of_an_engine() {
        let ours = event("die", labels::UID).to_string();
        let quiet = event("exec_create: sh", labels::UID).to_string();
        basalt_fuzz::run(&[ours.as_bytes(), quiet.as_bytes(), b"{}"], |bytes| {
            let Ok(event) = serde_json::from_slice::<EventMessage>(bytes) else { return };
            if let Some(id) = changed_container(&event) {
                Cache::default().forget(id);
            }
        });
    }
}
