//! Logs that an operator waits for and a host has been asked for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use basalt_api::id::HostId;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Logs that may be waited for at once.
const MAX_WAITING: usize = 64;

/// Who waits for which log.
#[derive(Debug, Default)]
pub struct LogRequests {
    waiting: Mutex<HashMap<Uuid, (HostId, oneshot::Sender<String>)>>,
}

impl LogRequests {
    /// Waits for a log from a host; none where too many do. Whoever has gone leaves its place to
    /// the next.
    #[must_use]
    pub fn wait(&self, host: HostId) -> Option<(Uuid, oneshot::Receiver<String>)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.retain(|_, (_, sender)| !sender.is_closed());
        if waiting.len() >= MAX_WAITING {
            return None;
        }
        let (ticket, (sender, receiver)) = (Uuid::new_v4(), oneshot::channel());
        waiting.insert(ticket, (host, sender));
        Some((ticket, receiver))
    }

    /// A host sends a log. Whether somebody waits for it from this host.
    pub fn deliver(&self, ticket: Uuid, host: HostId, text: String) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.get(&ticket).is_none_or(|(asked, _)| *asked != host) {
            return false;
        }
        waiting.remove(&ticket).is_some_and(|(_, sender)| sender.send(text).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(number: u128) -> HostId {
        HostId(Uuid::from_u128(number))
    }

    #[test]
    fn only_the_host_that_was_asked_delivers_and_only_once() {
        let logs = LogRequests::default();
        let (ticket, mut receiver) = logs.wait(host(1)).unwrap();
        assert!(!logs.deliver(ticket, host(2), "forged".to_owned()));
        assert!(logs.deliver(ticket, host(1), "real".to_owned()));
        assert!(!logs.deliver(ticket, host(1), "again".to_owned()));
        assert_eq!(receiver.try_recv().as_deref(), Ok("real"));
    }

    #[test]
    fn who_has_gone_leaves_its_place() {
        let logs = LogRequests::default();
        let held: Vec<_> = (0..MAX_WAITING).map(|_| logs.wait(host(1)).unwrap()).collect();
        assert!(logs.wait(host(1)).is_none());
        drop(held);
        assert!(logs.wait(host(1)).is_some());
    }
}
