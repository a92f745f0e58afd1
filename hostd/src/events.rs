//! What happened to workloads, for whoever wants to follow. A bounded memory, not a log: the
//! journal has the rest.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use basalt_api::local::Event;
use basalt_api::report::WorkloadStatus;
use tokio::sync::watch;

/// Events that are remembered.
const KEPT: usize = 1000;

/// The events of this `hostd`.
#[derive(Debug)]
pub struct Events {
    kept: Mutex<VecDeque<Event>>,
    last: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        let (last, _) = watch::channel(0);
        Self { kept: Mutex::default(), last }
    }
}

impl Events {
    /// Notes what is other than before.
    pub fn compare(&self, before: &[WorkloadStatus], now: &[WorkloadStatus], at: i64) {
        for status in now {
            let old = before.iter().find(|old| old.uid == status.uid);
            let is_same =
                old.is_some_and(|old| (old.state, &old.reason) == (status.state, &status.reason));
            if !is_same {
                let message = match &status.reason {
                    Some(reason) => format!("{}: {reason}", status.state),
                    None => status.state.to_string(),
                };
                self.add(at, status, message);
            }
        }
        for gone in before.iter().filter(|old| !now.iter().any(|new| new.uid == old.uid)) {
            self.add(at, gone, "gone".to_owned());
        }
    }

    fn add(&self, at: i64, status: &WorkloadStatus, message: String) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = kept.back().map_or(0, |event| event.number) + 1;
        tracing::info!(workload = %status.name, uid = %status.uid, "{message}");
        kept.push_back(Event {
            number,
            at,
            workload: status.name.clone(),
            uid: status.uid,
            message,
        });
        while kept.len() > KEPT {
            kept.pop_front();
        }
        self.last.send_replace(number);
    }

    /// Those after a number, the oldest first.
    #[must_use]
    pub fn after(&self, number: u64) -> Vec<Event> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|event| event.number > number).cloned().collect()
    }

    /// The number of the last one, and when it changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.last.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: &str) -> WorkloadStatus {
        let text = format!(
            r#"{{"uid":"00000000-0000-0000-0000-000000000001","name":"a","kind":"container",
                "source":"local","state":"{state}"}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn only_what_changes_is_an_event() {
        let events = Events::default();
        events.compare(&[], &[status("pending")], 1);
        events.compare(&[status("pending")], &[status("pending")], 2);
        events.compare(&[status("pending")], &[status("running")], 3);
        events.compare(&[status("running")], &[], 4);
        let said: Vec<_> =
            events.after(0).into_iter().map(|event| (event.at, event.message)).collect();
        let expected = [(1, "pending"), (3, "running"), (4, "gone")];
        assert_eq!(said, expected.map(|(at, text)| (at, text.to_owned())));
        assert_eq!(events.after(2).len(), 1);
    }

    #[test]
    fn the_memory_is_bounded() {
        let events = Events::default();
        for _ in 0..KEPT {
            events.compare(&[], &[status("running")], 1);
            events.compare(&[status("running")], &[], 1);
        }
        assert_eq!(events.after(0).len(), KEPT);
        assert_eq!(*events.watch().borrow(), 2 * KEPT as u64);
    }
}
