//! The local socket: HTTP over a Unix socket, for who is in the group that owns it.
//!
//! Whoever may connect may read how the host is; what workloads write, and every change, is for
//! root. Bounded: so many connections for each user, so much time for each, so many bytes.

mod answer;
mod places;
mod request;
mod serve;

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use basalt_api::id::WorkloadUid;
use basalt_api::status::HostStatus;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use crate::books::Books;
use crate::events::Events;
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
    /// Places for those who follow something.
    followers: Places,
}

impl Peer {
    fn is_root(&self) -> bool {
        self.uid == 0
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
                    let peer = Peer { uid, followers: followers.clone() };
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

/// Answers one after the other, and gives the place back at the end.
async fn connection(stream: UnixStream, place: Place, peer: Peer, ground: Ground) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (ground, peer) = (ground.clone(), peer.clone());
        async move { Ok::<_, Infallible>(serve::answer(request, &peer, ground).await) }
    });
    if let Err(error) = http().serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection ended badly");
    }
    drop(place);
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
