//! The local socket: HTTP over a Unix socket, for who is in the group that owns it.
//!
//! Whoever may connect may read how the host is; what workloads write, and every change, is for
//! root. Bounded: so many connections, so much time for each, so many bytes.

mod answer;
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
use tokio::sync::{Semaphore, mpsc, watch};

use crate::books::Books;
use crate::events::Events;
use crate::reconcile::{Picture, Runtimes};

/// Connections at a time; more wait.
const CONNECTIONS: usize = 64;
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

/// Answers until it is cancelled.
pub async fn serve(listener: UnixListener, ground: Ground) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let ground = ground.clone();
                tokio::spawn(async move {
                    connection(stream, ground).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                // Out of file descriptors, most likely; trying at once would spin.
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn connection(stream: UnixStream, ground: Ground) {
    // Told by the kernel; without it nobody is root.
    let is_root = stream.peer_cred().is_ok_and(|peer| peer.uid() == 0);
    let service = service_fn(move |request: Request<Incoming>| {
        let ground = ground.clone();
        async move { Ok::<_, Infallible>(serve::answer(request, is_root, ground).await) }
    });
    let server = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = server.await {
        tracing::debug!(%error, "a connection ended badly");
    }
}
