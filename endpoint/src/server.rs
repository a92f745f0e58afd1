//! Connections: accepted within limits, served, and let go when the endpoint ends.

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
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
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
/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Bytes of a refused client that are read and thrown away, and how long that may take.
const LET_GO: (u64, Duration) = (64 << 10, Duration::from_secs(2));
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
        let stream = Box::pin(stream);
        let handshake = tls.accept(stream).into_fallible();
        let stream = match tokio::time::timeout(HANDSHAKE_TIME, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((_, stream))) => {
                self.has_no_session("no TLS session came up");
                return let_go(stream).await;
            }
            Err(_) => return self.has_no_session("it took too long"),
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

    fn has_no_session(&self, why: &str) {
        self.app.metrics.failed_handshakes.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(address = %self.address, "{why}");
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

/// Closes a connection that was refused so that the other end can read why. A socket that is closed
/// with something unread in it resets the connection, and what was sent on it is lost, as the alert
/// that a certificate has expired: a client sends its request without waiting for a word.
async fn let_go(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    let ends = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LET_GO.0), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LET_GO.1, ends).await;
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

    /// A client on a socket of its own, which has sent this before it was refused.
    async fn refused(sent: &[u8]) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        client.write_all(sent).await.unwrap();
        stream.readable().await.unwrap();
        stream.write_all(b"why").await.unwrap();
        tokio::spawn(let_go(stream));
        client
    }

    #[tokio::test]
    async fn a_client_that_is_refused_can_read_why_whatever_it_sent_meanwhile() {
        let mut client = refused(&[0; 4096]).await;
        // Late enough for a connection that was reset to be one.
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.write_all(&[0; 4096]).await.unwrap();
        let mut said = Vec::new();
        client.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"why");
    }

    #[tokio::test]
    async fn a_client_that_is_refused_and_stays_is_let_go() {
        let mut client = refused(b"x").await;
        let begun = Instant::now();
        while client.write_all(b"x").await.is_ok() {
            assert!(begun.elapsed() < 10 * LET_GO.1);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(begun.elapsed() >= LET_GO.1 / 2, "{:?}", begun.elapsed());
    }
}
