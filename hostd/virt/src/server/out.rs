//! What is said to `hostd`.

use std::collections::HashSet;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use basalt_api::virt::{MAX_MESSAGE, Message, Refusal, Reply, frame};

use crate::image::Patience;

/// A `hostd` that does not read for so long is none.
const PATIENCE: Duration = Duration::from_secs(30);

/// The way to `hostd`. Messages are whole, whoever sends them.
#[derive(Clone)]
pub(super) struct Out(Arc<Shared>);

struct Shared {
    socket: Mutex<UnixStream>,
    /// Requests for images, and whether somebody waits for each.
    images: Mutex<HashSet<u64>>,
}

impl Out {
    pub(super) fn new(socket: UnixStream) -> Self {
        let _ = socket.set_write_timeout(Some(PATIENCE));
        Self(Arc::new(Shared { socket: Mutex::new(socket), images: Mutex::default() }))
    }

    pub(super) fn send(&self, message: &Message) {
        let bytes = frame(message, MAX_MESSAGE).or_else(|error| match message {
            Message::Done { id, .. } => {
                let refusal = Refusal::unavailable(format!("an answer is too long: {error}"));
                frame(&Message::Done { id: *id, result: Err(refusal) }, MAX_MESSAGE)
            }
            _ => Err(error),
        });
        let sent = bytes.map(|bytes| lock(&self.0.socket).write_all(&bytes));
        if !matches!(sent, Ok(Ok(()))) {
            // Half a message cannot be taken back, and without hostd there is nothing to do.
            std::process::exit(0);
        }
    }

    pub(super) fn done(&self, id: u64, result: Result<Reply, Refusal>) {
        self.send(&Message::Done { id, result });
    }

    /// Nobody waits for that request any more.
    pub(super) fn cancel(&self, id: u64) {
        lock(&self.0.images).remove(&id);
    }
}

/// A request for an image, which may take long.
pub(super) struct Waiting {
    out: Out,
    id: u64,
}

impl Waiting {
    pub(super) fn new(out: Out, id: u64) -> Self {
        lock(&out.0.images).insert(id);
        Self { out, id }
    }

    pub(super) fn done(&self, result: Result<Reply, Refusal>) {
        lock(&self.out.0.images).remove(&self.id);
        self.out.done(self.id, result);
    }
}

impl Patience for Waiting {
    /// Told to all who wait for images: those behind it in the queue wait for it too.
    fn progress(&self) {
        let all: Vec<u64> = lock(&self.out.0.images).iter().copied().collect();
        all.into_iter().for_each(|id| self.out.send(&Message::Progress { id }));
    }

    fn is_over(&self) -> bool {
        !lock(&self.out.0.images).contains(&self.id)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
