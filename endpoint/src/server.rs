//! Connections: accepted within limits, served, and let go when the endpoint ends.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use crate::app::Shared;
use crate::ca::PeerCertificate;
use crate::places::{Place, Places};
use crate::routes::Peer;
use crate::standing::{IDLE_TIME, Standing};
use crate::tls::Tls;

/// Connections at once where nobody says otherwise; a host has one, or two for a moment.
pub const MAX_CONNECTIONS: usize = 16_384;
/// How long the other end may take nothing of what is sent to it.
const WRITE_TIME: Duration = Duration::from_secs(20);
/// How long what runs on a connection may take once nothing new may be asked on it; longer than
/// anything that whoever is no host may wait for.
const FINISH_TIME: Duration = Duration::from_secs(90);
/// Bytes that a head may have.
const MAX_HEAD: usize = 32 << 10;
/// How often HTTP/2 asks whether the other end is there, and how long it waits for an answer.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// Requests at once on one connection: of a host, and of whoever is none as far as is known. Each
/// may hold a body in memory.
const MAX_STREAMS: (u32, u32) = (32, 8);
/// How long connections may take to end when the endpoint ends.
const GOODBYE_TIME: Duration = Duration::from_secs(10);
/// How long to wait after a connection could not be accepted, as with no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the endpoint is asked to stop, then until every request is answered or
/// [`GOODBYE_TIME`] is over.
pub async fn serve(app: Shared, listener: TcpListener, tls: Arc<Tls>, router: Router) {
    let mut stopping = app.stopping.subscribe();
    let places = Places::new(app.max_connections);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // Cancel-safe: `changed` marks the value seen only when it completes.
            _ = stopping.changed() => break,
            // Cancel-safe: a finished one is taken out only when this completes.
            Some(_) = connections.join_next() => continue,
            // Cancel-safe: a connection that was not accepted stays in the queue.
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let place = match places.take(address.ip()) {
            Ok(place) => place,
            Err(full) => {
                tracing::warn!(%address, "{full}");
                continue;
            }
        };
        let connection = Connection { app: Arc::clone(&app), router: router.clone(), address };
        connections.spawn(connection.run(stream, tls.acceptor(), place));
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GOODBYE_TIME, all).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
}

struct Connection {
    app: Shared,
    router: Router,
    address: SocketAddr,
}

impl Connection {
    async fn run(self, stream: TcpStream, tls: TlsAcceptor, mut place: Place) {
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        // Whatever waits to be sent, a handshake too. What is waited for, others bound.
        stream.set_write_timeout(Some(WRITE_TIME));
        let stream = match basalt_https::accept(&tls, Box::pin(stream)).await {
            Ok(stream) => stream,
            Err(error) => return self.has_no_session(&error),
        };
        let (_, session) = stream.get_ref();
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let certificate = session.peer_certificates().and_then(|chain| chain.first());
        let certificate = certificate.and_then(|der| PeerCertificate::read(der));
        let peer = Peer { address: self.address, certificate };
        if let Some(certificate) = &peer.certificate
            && let Err(full) = place.hand_to(certificate.host)
        {
            tracing::warn!(address = %self.address, host = %certificate.host, "{full}");
            return;
        }
        self.app.metrics.connections.fetch_add(1, Ordering::Relaxed);
        self.speak(TokioIo::new(stream), is_http2, peer).await;
        self.app.metrics.connections.fetch_sub(1, Ordering::Relaxed);
    }

    fn has_no_session(&self, error: &io::Error) {
        self.app.metrics.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(address = %self.address, %error, "no TLS session came up");
    }

    async fn speak<I>(&self, io: I, is_http2: bool, peer: Peer)
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let standing = Standing::new(Instant::now());
        let (router, asked) = (self.router.clone(), standing.clone());
        let max_streams = match peer.certificate {
            Some(_) => MAX_STREAMS.0,
            None => MAX_STREAMS.1,
        };
        let service = service_fn(move |mut request: Request<Incoming>| {
            let running = asked.ask();
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(asked.clone());
            // Ready at once: a router has no queue of its own.
            let answer = router.clone().call(request.map(Body::new));
            async move {
                let answer = answer.await;
                drop(running);
                answer
            }
        });
        if is_http2 {
            let mut http = http2::Builder::new(TokioExecutor::new());
            http.timer(TokioTimer::new())
                .keep_alive_interval(PING.0)
                .keep_alive_timeout(PING.1)
                .max_concurrent_streams(max_streams)
                .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
            let mut connection = pin!(http.serve_connection(io, service));
            tokio::select! {
                // Cancel-safe: it is polled again below.
                _ = connection.as_mut() => return,
                () = self.ends(&standing) => (),
            }
            connection.as_mut().graceful_shutdown();
            finish(self.address, connection).await;
        } else {
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(IDLE_TIME).max_buf_size(MAX_HEAD);
            let mut connection = pin!(http.serve_connection(io, service));
            tokio::select! {
                // Cancel-safe: it is polled again below.
                _ = connection.as_mut() => return,
                () = self.ends(&standing) => (),
            }
            connection.as_mut().graceful_shutdown();
            finish(self.address, connection).await;
        }
    }

    /// Returns when the connection may take nothing new: its time is over, or the endpoint goes.
    async fn ends(&self, standing: &Standing) {
        let mut stopping = self.app.stopping.subscribe();
        tokio::select! {
            // Cancel-safe: `changed` marks the value seen only when it completes.
            _ = stopping.wait_for(|stopping| *stopping) => (),
            // Cancel-safe: it keeps nothing.
            () = standing.ends() => (),
        }
    }
}

/// What runs is answered, or given up with the connection.
async fn finish<E>(address: SocketAddr, connection: impl Future<Output = Result<(), E>>) {
    if tokio::time::timeout(FINISH_TIME, connection).await.is_err() {
        tracing::debug!(%address, "it took too long to end");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_never_ends_is_given_up() {
        let begun = Instant::now();
        let never = std::future::pending::<Result<(), ()>>();
        finish(SocketAddr::from(([127, 0, 0, 1], 1)), never).await;
        assert_eq!(begun.elapsed(), FINISH_TIME);
    }
}
