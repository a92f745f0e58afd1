//! The local socket: HTTP over a Unix socket, for who is in the group that owns it.
//!
//! Bounded: so many connections, so much time for each; nothing that is sent is kept.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use basalt_api::STATUS_PATH;
use basalt_api::status::HostStatus;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use crate::clock;

/// Connections at a time; more wait.
const CONNECTIONS: usize = 32;
/// How long somebody may take to ask.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may last.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(60);

type Status = watch::Receiver<Option<HostStatus>>;

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
pub async fn serve(listener: UnixListener, status: Status) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let status = status.clone();
                tokio::spawn(async move {
                    connection(stream, status).await;
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

async fn connection(stream: UnixStream, status: Status) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut status = status.clone();
        async move {
            // The first round ends within seconds; an answer before it would be a guess.
            let known = status.wait_for(Option::is_some).await;
            let now = known.ok().and_then(|status| status.clone());
            Ok::<_, Infallible>(answer(request.method(), request.uri().path(), now))
        }
    });
    let server = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    match tokio::time::timeout(CONNECTION_TIMEOUT, server).await {
        Ok(Ok(())) => (),
        Ok(Err(error)) => tracing::debug!(%error, "a connection ended badly"),
        Err(_) => tracing::debug!("a connection lasted too long"),
    }
}

fn answer(method: &Method, path: &str, status: Option<HostStatus>) -> Response<Full<Bytes>> {
    match (path, status) {
        (STATUS_PATH, _) if method != Method::GET => {
            let mut refused = problem(StatusCode::METHOD_NOT_ALLOWED, "only GET is known here");
            refused.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET"));
            refused
        }
        (STATUS_PATH, Some(mut status)) => {
            status.uptime_s = clock::uptime().as_secs();
            let body = serde_json::to_vec(&status).unwrap_or_default();
            response(StatusCode::OK, "application/json", body)
        }
        (STATUS_PATH, None) => problem(StatusCode::SERVICE_UNAVAILABLE, "hostd is stopping"),
        _ => problem(StatusCode::NOT_FOUND, "there is nothing at this path"),
    }
}

/// An error as RFC 9457 has it.
fn problem(code: StatusCode, detail: &str) -> Response<Full<Bytes>> {
    let title = code.canonical_reason().unwrap_or_default();
    let body = serde_json::json!({ "title": title, "status": code.as_u16(), "detail": detail });
    response(code, "application/problem+json", body.to_string().into_bytes())
}

fn response(code: StatusCode, kind: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &Method, path: &str, expected: StatusCode) {
        let text = include_str!("../../crates/api/examples/status.json");
        let status = serde_json::from_str(text).unwrap();
        assert_eq!(answer(method, path, Some(status)).status(), expected);
    }

    #[test]
    fn only_the_status_can_be_had_and_only_read() {
        check(&Method::GET, "/v1/status", StatusCode::OK);
        check(&Method::POST, "/v1/status", StatusCode::METHOD_NOT_ALLOWED);
        check(&Method::GET, "/v1/../etc/shadow", StatusCode::NOT_FOUND);
        check(&Method::GET, "/", StatusCode::NOT_FOUND);
    }
}
