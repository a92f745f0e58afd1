//! A client of the endpoint: HTTP/1.1 over TLS, the server known by its CA's fingerprint.

mod pin;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use basalt_api::fault::Fault;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::names::EndpointUrl;

pub use pin::Fingerprint;

/// How long a connection may take to come up.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// Bytes that are read of an answer.
const MAX_ANSWER: usize = 8 << 20;

/// A certificate and its key, which a host shows.
pub type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// A client.
#[derive(Clone)]
pub struct Client {
    url: EndpointUrl,
    tls: Arc<ClientConfig>,
    token: Option<String>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Seconds after which to come again.
    pub retry_after_s: Option<u64>,
    /// Its body.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the endpoint at `url` whose CA has this fingerprint.
    ///
    /// # Errors
    /// The certificate that is shown does not fit its key.
    pub fn new(url: EndpointUrl, ca: Fingerprint, shown: Option<Shown>) -> Result<Self> {
        let provider = Arc::new(default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pin::Pinned::new(ca, provider)));
        let tls = match shown {
            None => config.with_no_client_auth(),
            Some((chain, key)) => config.with_client_auth_cert(chain, key)?,
        };
        Ok(Self { url, tls: Arc::new(tls), token: None })
    }

    /// The client of an operator with this token.
    #[must_use]
    pub fn with_token(self, token: &str) -> Self {
        Self { token: Some(token.trim().to_owned()), ..self }
    }

    /// Asks, and reads the answer as JSON.
    ///
    /// # Errors
    /// No answer comes within `patience`, or it is a fault.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, patience: Duration) -> Result<T> {
        self.json(Method::GET, path, None, patience).await
    }

    /// Asks with a body in JSON, and reads the answer as JSON.
    ///
    /// # Errors
    /// No answer comes within `patience`, or it is a fault.
    pub async fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
        patience: Duration,
    ) -> Result<T> {
        self.json(method, path, Some(serde_json::to_vec(body)?), patience).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        patience: Duration,
    ) -> Result<T> {
        let reply = self.call(method, path, body, patience).await?.good()?;
        // What has no body is JSON's nothing.
        let text = if reply.body.is_empty() { &b"null"[..] } else { &reply.body };
        serde_json::from_slice(text).context("the endpoint answers something else")
    }

    /// Asks, and takes whatever comes.
    ///
    /// # Errors
    /// No answer comes within `patience`.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        patience: Duration,
    ) -> Result<Reply> {
        let exchange = self.exchange(method, path, body);
        let reply = tokio::time::timeout(patience, exchange).await;
        reply.map_err(|_| anyhow!("no answer from `{}` in {} s", self.url, patience.as_secs()))?
    }

    async fn exchange(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<Reply> {
        let connecting = tokio::time::timeout(CONNECT_TIME, self.connect());
        let stream = connecting.await.map_err(|_| anyhow!("no connection to `{}`", self.url))??;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(HOST, format!("{}:{}", self.url.host, self.url.port));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        let response = sender.send_request(request).await;
        let response = response.with_context(|| format!("`{}` ended the connection", self.url))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|error| anyhow!(error)).context("the answer was cut off")?;
        driver.abort();
        let retry_after = head.headers.get("retry-after").and_then(|value| value.to_str().ok());
        Ok(Reply {
            status: head.status,
            retry_after_s: retry_after.and_then(|text| text.parse().ok()),
            body: body.to_bytes().to_vec(),
        })
    }

    /// The client, asking for HTTP/2 where it connects; for who speaks that by itself.
    #[must_use]
    pub fn speaking_http2(self) -> Self {
        let mut tls = ClientConfig::clone(&self.tls);
        tls.alpn_protocols = vec![b"h2".to_vec()];
        Self { tls: Arc::new(tls), ..self }
    }

    /// A TLS session with the endpoint.
    ///
    /// # Errors
    /// It cannot be reached, or is not the one that is meant.
    pub async fn connect(&self) -> Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let EndpointUrl { host, port } = &self.url;
        let stream = TcpStream::connect((host.as_str(), *port))
            .await
            .with_context(|| format!("cannot reach `{}`", self.url))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(host.clone()).context("the URL's host is no name")?;
        let connector = TlsConnector::from(Arc::clone(&self.tls));
        let session = connector.connect(name, stream).await;
        session.with_context(|| format!("`{}` is not the endpoint that was meant", self.url))
    }
}

impl Reply {
    /// The answer, where it is a good one.
    ///
    /// # Errors
    /// It is a fault.
    pub fn good(self) -> Result<Self> {
        if self.status.is_success() {
            return Ok(self);
        }
        match serde_json::from_slice::<Fault>(&self.body) {
            Ok(fault) => Err(fault.into()),
            Err(_) => bail!("the endpoint answers {}", self.status),
        }
    }
}
