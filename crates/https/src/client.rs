//! The client.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use url::Url;

use crate::HttpsError;
use crate::trust::{self, Identity, Trust};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(15);

/// How a connection ended, once it has.
type Ends = JoinHandle<Result<(), hyper::Error>>;

/// A client of one server.
pub struct Client {
    host: String,
    port: u16,
    tls: Arc<ClientConfig>,
    headers: HeaderMap,
    kept: Option<SendRequest<Full<Bytes>>>,
}

/// What an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The time from the question to the end of the answer.
    pub deadline: Duration,
    /// Bytes of its body.
    pub bytes: usize,
}

/// An answer, whatever it says.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// The host and port that a URL of an endpoint leads to.
///
/// # Errors
/// It is no `https://` URL.
pub fn place(url: &str) -> Result<(String, u16), HttpsError> {
    let bad = || HttpsError::Url(url.to_owned());
    let parsed = Url::parse(url).map_err(|_| bad())?;
    let host = parsed.host_str().filter(|_| parsed.scheme() == "https").ok_or_else(bad)?;
    let host = host.trim_matches(['[', ']']).to_owned();
    Ok((host, parsed.port_or_known_default().unwrap_or(443)))
}

impl Client {
    /// A client of the server at `url`. Connects with the first request.
    ///
    /// # Errors
    /// The URL, a certificate or a key makes no sense.
    pub fn new(url: &str, trust: &Trust, identity: Option<&Identity>) -> Result<Self, HttpsError> {
        let (host, port) = place(url)?;
        Ok(Self {
            host,
            port,
            tls: trust::config(trust, identity)?,
            headers: HeaderMap::new(),
            kept: None,
        })
    }

    /// The same client with a connection of its own, for a question at the same time.
    #[must_use]
    pub fn another(&self) -> Self {
        Self {
            host: self.host.clone(),
            port: self.port,
            tls: Arc::clone(&self.tls),
            headers: self.headers.clone(),
            kept: None,
        }
    }

    /// Sends a header with every request, as one that says who asks. It is in no log.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// Asks; `body` is JSON or empty. A kept connection that turns out to be gone is made anew
    /// once: the server has closed it while nothing was asked.
    ///
    /// # Errors
    /// There is no whole answer within the limits.
    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        limits: Limits,
    ) -> Result<Answer, HttpsError> {
        let to = self.to();
        let asked = self.ask_without_deadline(method, path, body, limits.bytes);
        match tokio::time::timeout(limits.deadline, asked).await {
            Ok(answer) => answer,
            Err(_) => {
                // What comes late must not be taken for the answer to the next question.
                self.kept = None;
                Err(HttpsError::Silent { to, after: limits.deadline })
            }
        }
    }

    async fn ask_without_deadline(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        bytes: usize,
    ) -> Result<Answer, HttpsError> {
        if let Some(mut kept) = self.kept.take()
            && kept.ready().await.is_ok()
        {
            let request = self.request(method.clone(), path, body.clone())?;
            match kept.try_send_request(request).await {
                Ok(answer) => return self.whole(kept, answer, bytes).await,
                // Not even begun: nobody has seen it.
                Err(error) if error.message().is_some() => (),
                Err(error) => {
                    return Err(HttpsError::Broken { to: self.to(), source: error.into_error() });
                }
            }
        }
        let (mut new, connection) = self.connect().await?;
        match new.send_request(self.request(method, path, body)?).await {
            Ok(answer) => self.whole(new, answer, bytes).await,
            Err(source) => {
                let source = why(source, connection).await;
                Err(HttpsError::Broken { to: self.to(), source })
            }
        }
    }

    async fn whole(
        &mut self,
        connection: SendRequest<Full<Bytes>>,
        answer: Response<hyper::body::Incoming>,
        limit: usize,
    ) -> Result<Answer, HttpsError> {
        let (parts, body) = answer.into_parts();
        let body = match Limited::new(body, limit).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(HttpsError::TooLong { to: self.to(), limit });
            }
            Err(error) => {
                let source = std::io::Error::other(error);
                return Err(HttpsError::Connect { to: self.to(), source });
            }
        };
        self.kept = Some(connection);
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }

    /// A connection to ask on, and what becomes of it.
    async fn connect(&self) -> Result<(SendRequest<Full<Bytes>>, Ends), HttpsError> {
        let stream = self.session(&[]).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|source| HttpsError::Broken { to: self.to(), source })?;
        Ok((sender, tokio::spawn(connection)))
    }

    /// A TLS session with the server, for who speaks something else on it: one of the protocols
    /// that are named (ALPN), or HTTP/1.1 where none is.
    ///
    /// # Errors
    /// The server cannot be reached, or is not the one that is trusted.
    pub async fn session(&self, protocols: &[&str]) -> Result<TlsStream<TcpStream>, HttpsError> {
        let to = self.to();
        let mut tls = Arc::clone(&self.tls);
        if !protocols.is_empty() {
            let names = protocols.iter().map(|name| name.as_bytes().to_vec());
            Arc::make_mut(&mut tls).alpn_protocols = names.collect();
        }
        let connect = async {
            let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(self.host.clone()).map_err(std::io::Error::other)?;
            TlsConnector::from(tls).connect(name, stream).await
        };
        tokio::time::timeout(CONNECT, connect)
            .await
            .map_err(|_| HttpsError::Silent { to: to.clone(), after: CONNECT })?
            .map_err(|source| HttpsError::of_connecting(&to, source))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, HttpsError> {
        let builder = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.to())
            .header(CONTENT_TYPE, "application/json");
        let mut request =
            builder.body(Full::new(body)).map_err(|_| HttpsError::Url(path.to_owned()))?;
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }

    /// Host and port, as errors and the `Host` header name them.
    fn to(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Why a question got no answer. Of a connection that ended before anything was asked on it, as
/// where the server does not take our certificate, the question knows only that it was not begun.
async fn why(error: hyper::Error, connection: Ends) -> hyper::Error {
    if !error.is_canceled() {
        return error;
    }
    match connection.await {
        Ok(Err(why)) => why,
        Ok(Ok(())) | Err(_) => error,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn a_connection_that_ended_before_it_was_used_says_why() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let (mut sender, connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
        theirs.write_all(b"nobody has asked").await.unwrap();
        let connection = tokio::spawn(connection);
        while !connection.is_finished() {
            tokio::task::yield_now().await;
        }
        let error = sender.send_request(Request::new(Full::<Bytes>::default())).await.unwrap_err();
        assert!(error.is_canceled(), "{error}");
        let why = why(error, connection).await;
        assert!(why.to_string().contains("unexpected message"), "{why}");
    }

    #[test]
    fn only_https_is_spoken() {
        let trust = Trust::Fingerprint("0".repeat(64).parse().unwrap());
        for bad in ["http://a", "a:8443", "https://", "ftp://x"] {
            assert!(matches!(Client::new(bad, &trust, None), Err(HttpsError::Url(_))), "{bad}");
        }
        let to = |url: &str| Client::new(url, &trust, None).unwrap().to();
        assert_eq!(to("https://a.example"), "a.example:443");
        assert_eq!(to("https://[::1]:8443/"), "[::1]:8443");
    }
}
