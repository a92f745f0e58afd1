//! The local socket: HTTP over a Unix socket, for who is in the group that owns it.
//!
//! Whoever may connect may read how the host is; what workloads write, and every change, is for
//! root. Bounded: so many connections for each user, so much time for each, so many bytes.

mod answer;
mod places;
pub mod remote;
mod request;
mod serve;

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use basalt_api::capacity::HostFacts;
use basalt_api::id::WorkloadUid;
use basalt_api::status::HostStatus;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::books::Books;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::reconcile::{Picture, Runtimes};
use places::{Limits, Place, Places};

/// Connections at a time; more are told so.
const CONNECTIONS: Limits = Limits { each: 16, others: 64, root: 64 };
/// Of them, those that follow something: they stay, and must leave room for who only asks.
const FOLLOWERS: Limits = Limits { each: 8, others: 32, root: 32 };
/// Connections at a time that are only told that there is no place; more are closed.
const TURNED_AWAY: usize = 16;
/// Who it is when the kernel does not tell.
const NOBODY: u32 = u32::MAX;
/// How long somebody may take to ask.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked about.
#[derive(Clone)]
pub struct Ground {
    /// How the host is; none before the first round.
    pub status: watch::Receiver<Option<HostStatus>>,
    /// How the workloads are.
    pub picture: watch::Receiver<Arc<Picture>>,
    /// The ledger.
    pub books: Arc<Books>,
    /// What happened.
    pub events: Arc<Events>,
    /// What runs workloads.
    pub runtimes: Runtimes,
    /// Takes what shall run once more.
    pub again: mpsc::Sender<WorkloadUid>,
    /// What was counted.
    pub metrics: Arc<Metrics>,
    /// What the host has to give.
    pub facts: watch::Receiver<Option<HostFacts>>,
    /// When the endpoint was heard.
    pub heard: watch::Receiver<Option<Duration>>,
}

/// Listens on `path`, open to its owner and group. The caller holds the lock that keeps others
/// away, so a socket that is there already is a dead one.
///
/// # Errors
/// The folder cannot be written.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    basalt_durable::remove(path)?;
    // Made beside its name: nobody may connect before its mode is right.
    let new = path.with_extension("new");
    basalt_durable::remove(&new)?;
    let listener = UnixListener::bind(&new)?;
    fs::set_permissions(&new, fs::Permissions::from_mode(0o660))?;
    fs::rename(&new, path)?;
    Ok(listener)
}

/// Who asks.
#[derive(Clone)]
struct Peer {
    uid: u32,
    is_here: bool,
    /// Places for those who follow something.
    followers: Places,
}

impl Peer {
    /// Somebody on this host.
    fn local(uid: u32, followers: Places) -> Self {
        Self { uid, is_here: true, followers }
    }

    /// Somebody elsewhere, who showed a certificate.
    fn remote(followers: Places) -> Self {
        Self { uid: NOBODY, is_here: false, followers }
    }

    /// Why something may not be done that needs root; none when it may.
    fn refusal(&self) -> Option<&'static str> {
        match (self.is_here, self.uid) {
            (true, 0) => None,
            (true, _) => Some("only root may do that\nhint: use `sudo`"),
            (false, _) => Some("that is done on the host itself: from elsewhere it is only read"),
        }
    }

    /// A place for an answer that goes on.
    fn follow(&self) -> Option<Place> {
        self.followers.take(self.uid)
    }
}

/// Answers until it is cancelled.
pub async fn serve(listener: UnixListener, ground: Ground) {
    let (places, followers) = (Places::new(CONNECTIONS), Places::new(FOLLOWERS));
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY));
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Told by the kernel; without it nobody is root.
                let uid = stream.peer_cred().map_or(NOBODY, |peer| peer.uid());
                if let Some(place) = places.take(uid) {
                    let peer = Peer::local(uid, followers.clone());
                    tokio::spawn(connection(stream, place, peer, ground.clone()));
                } else if let Ok(permit) = Arc::clone(&turned_away).try_acquire_owned() {
                    tokio::spawn(turn_away(stream, permit));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, most likely; trying at once would spin.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, place: Place, peer: Peer, ground: Ground) {
    answer_each(stream, peer, ground).await;
    drop(place);
}

/// Answers one question after the other.
async fn answer_each<S>(stream: S, peer: Peer, ground: Ground)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (ground, peer) = (ground.clone(), peer.clone());
        async move { Ok::<_, Infallible>(serve::answer(request, &peer, ground).await) }
    });
    if let Err(error) = http().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended badly");
    }
}

/// Says to the first question that there is no place, and closes.
async fn turn_away(stream: UnixStream, permit: OwnedSemaphorePermit) {
    let service = service_fn(|_| async { Ok::<_, Infallible>(serve::no_place()) });
    let _ = http().keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
    drop(permit);
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    http
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::ledger::Store;
    use crate::paths::Paths;
    use crate::runtimes;

    /// A host of which the status is known, and no workload.
    pub(super) fn ground(root: &Path) -> Ground {
        let text = include_str!("../../crates/api/examples/status.json");
        let (_, status) = watch::channel(serde_json::from_str(text).ok());
        Ground { status, ..unknown(root) }
    }

    /// A host that nobody has looked at.
    pub(super) fn unknown(root: &Path) -> Ground {
        let paths = Paths::under(root);
        Ground {
            status: watch::channel(None).1,
            picture: watch::channel(Arc::default()).1,
            books: Books::new(Store::open(&paths.state()).unwrap()),
            events: Arc::default(),
            runtimes: runtimes::open(&paths, &Config::default()),
            again: mpsc::channel(1).0,
            metrics: Arc::default(),
            facts: watch::channel(None).1,
            heard: watch::channel(None).1,
        }
    }
}
