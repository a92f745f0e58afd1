//! `hostd-virt` while it lives: what is asked, who waits for which answer, its end.

use std::collections::HashMap;
use std::os::unix::net::UnixStream as StdStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use basalt_api::virt::{
    Ask, Frames, MAX_MESSAGE, MAX_REQUEST, Message, Refusal, Reply, Request, frame,
};
use basalt_cmd::{Cmd, Running};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use super::convert;
use crate::runtime::{Failure, RuntimeError};

/// Requests that wait to be written.
const WAITING: usize = 64;
/// Words to one request that wait to be heard; more of its progress is no news.
const WORDS: usize = 4;
const CHUNK: usize = 64 << 10;

/// A `hostd-virt` that was started. Dropping it ends it; machines go on.
pub(super) struct Process {
    pub(super) started: Instant,
    shared: Arc<Shared>,
    requests: mpsc::Sender<Vec<u8>>,
}

struct Shared {
    program: Mutex<Option<Running>>,
    waiting: Mutex<Waiting>,
    changed: Arc<Notify>,
}

/// Who waits for which answer; nobody once it has ended.
struct Waiting {
    next: u64,
    by_id: Option<HashMap<u64, mpsc::Sender<Word>>>,
}

/// What comes back to one request.
enum Word {
    Progress,
    Done(Result<Reply, Refusal>),
}

impl Process {
    /// Starts `program`. The thread that calls this must outlive it.
    pub(super) fn start(program: &Path, changed: Arc<Notify>) -> Result<Self, RuntimeError> {
        let cannot = |error: &dyn std::fmt::Display| {
            gone(format!("cannot start `{}`: {error}", program.display()))
        };
        let (ours, theirs) = StdStream::pair().map_err(|error| cannot(&error))?;
        ours.set_nonblocking(true).map_err(|error| cannot(&error))?;
        let ours = UnixStream::from_std(ours).map_err(|error| cannot(&error))?;
        let theirs = Stdio::from(std::os::fd::OwnedFd::from(theirs));
        let running = Cmd::new(program).spawn(theirs, Stdio::null(), Stdio::inherit());
        let running = running.map_err(|error| cannot(&error))?;
        let waiting = Waiting { next: 0, by_id: Some(HashMap::new()) };
        let shared =
            Shared { program: Mutex::new(Some(running)), waiting: Mutex::new(waiting), changed };
        let shared = Arc::new(shared);
        let (from, to) = ours.into_split();
        let (requests, asked) = mpsc::channel(WAITING);
        tokio::spawn(write(to, asked));
        tokio::spawn(read(from, Arc::clone(&shared)));
        Ok(Self { started: Instant::now(), shared, requests })
    }

    pub(super) fn id(&self) -> Option<u32> {
        lock(&self.shared.program).as_ref().map(Running::id)
    }

    pub(super) fn is_alive(&self) -> bool {
        lock(&self.shared.waiting).by_id.is_some()
    }

    /// Whether somebody waits for an answer.
    pub(super) fn is_busy(&self) -> bool {
        lock(&self.shared.waiting).by_id.as_ref().is_some_and(|waiting| !waiting.is_empty())
    }

    /// Asks, and waits for the answer as long as there is progress. One that does not answer in
    /// time is killed: it hangs in a call that nothing else ends.
    pub(super) async fn call(&self, ask: Ask, patience: Duration) -> Result<Reply, RuntimeError> {
        let (asked, mut words) = self.ask(&ask)?;
        let bytes = frame(&Request { id: asked.id, ask }, MAX_REQUEST);
        let bytes = bytes.map_err(|error| RuntimeError {
            kind: Failure::Workload,
            message: format!("it cannot be told to hostd-virt: {error}"),
        })?;
        let late = || {
            self.shared.end();
            let seconds = patience.as_secs();
            gone(format!("hostd-virt did not answer within {seconds} s and was ended"))
        };
        let sent = timeout(patience, self.requests.send(bytes)).await.map_err(|_| late())?;
        sent.map_err(|_| ended())?;
        loop {
            match timeout(patience, words.recv()).await.map_err(|_| late())? {
                Some(Word::Progress) => (),
                Some(Word::Done(result)) => return result.map_err(convert::error),
                None => return Err(ended()),
            }
        }
    }

    /// Notes that somebody waits, until the guard is dropped.
    fn ask(&self, ask: &Ask) -> Result<(Asked<'_>, mpsc::Receiver<Word>), RuntimeError> {
        let (sender, words) = mpsc::channel(WORDS);
        let mut waiting = lock(&self.shared.waiting);
        let id = waiting.next;
        waiting.next += 1;
        waiting.by_id.as_mut().ok_or_else(ended)?.insert(id, sender);
        let is_long = matches!(ask, Ask::Prepare(_));
        Ok((Asked { process: self, id, is_long }, words))
    }
}

/// Somebody waits for an answer.
struct Asked<'a> {
    process: &'a Process,
    id: u64,
    /// Whether it is worth a word that nobody waits any more.
    is_long: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut waiting = lock(&self.process.shared.waiting);
        let by_id = waiting.by_id.as_mut();
        let unanswered = by_id.is_some_and(|by_id| by_id.remove(&self.id).is_some());
        if unanswered && self.is_long {
            let cancel = Request { id: u64::MAX, ask: Ask::Cancel(self.id) };
            if let Ok(bytes) = frame(&cancel, MAX_REQUEST) {
                // Where there is no room it goes on for nobody, and fills the cache.
                let _ = self.process.requests.try_send(bytes);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Shared {
    /// Ends the program, and tells all who wait.
    fn end(&self) {
        lock(&self.waiting).by_id = None;
        if let Some(program) = lock(&self.program).take() {
            // Not here: one that hangs in the kernel may take its time to die.
            std::thread::spawn(move || drop(program));
        }
        self.changed.notify_one();
    }

    fn hear(&self, message: Message) {
        let mut waiting = lock(&self.waiting);
        let Some(by_id) = waiting.by_id.as_mut() else { return };
        match message {
            Message::Changed => self.changed.notify_one(),
            Message::Progress { id } => {
                // The last place is the answer's.
                if let Some(sender) = by_id.get(&id).filter(|sender| sender.capacity() > 1) {
                    let _ = sender.try_send(Word::Progress);
                }
            }
            Message::Done { id, result } => {
                if let Some(sender) = by_id.remove(&id) {
                    let _ = sender.try_send(Word::Done(result));
                }
            }
        }
    }
}

async fn write(mut to: OwnedWriteHalf, mut requests: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = requests.recv().await {
        if to.write_all(&bytes).await.is_err() {
            // Whoever reads sees the end too.
            return;
        }
    }
}

async fn read(mut from: OwnedReadHalf, shared: Arc<Shared>) {
    let mut frames = Frames::new(MAX_MESSAGE);
    let mut buffer = vec![0; CHUNK];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(length) => frames.push(&buffer[..length]),
        }
        loop {
            match frames.take() {
                Ok(Some(message)) => shared.hear(message),
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "hostd-virt said what cannot be read");
                    return shared.end();
                }
            }
        }
    }
    shared.end();
}

/// An answer that does not belong to the question.
pub(super) fn nonsense() -> RuntimeError {
    gone("hostd-virt answered something else".to_owned())
}

fn ended() -> RuntimeError {
    gone("hostd-virt has ended".to_owned())
}

fn gone(message: String) -> RuntimeError {
    RuntimeError { kind: Failure::Unavailable, message }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
