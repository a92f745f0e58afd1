//! A client of the endpoint: asks, and reads what comes as what it means.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_api::fault::Fault;
use basalt_https::{Answer, Client as Https, HttpsError, Identity, Limits, Trust};
use hyper::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::names::EndpointUrl;

/// Bytes that are read of an answer.
const MAX_ANSWER: usize = 8 << 20;

/// A client. Each question has a connection of its own, so that one may be asked while another
/// waits for its answer.
pub struct Client {
    url: EndpointUrl,
    https: Https,
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

impl Clone for Client {
    fn clone(&self) -> Self {
        Self { url: self.url.clone(), https: self.https.another() }
    }
}

impl Client {
    /// A client of the endpoint at `url`; `identity` is what a host shows.
    ///
    /// # Errors
    /// A certificate or a key makes no sense.
    pub fn new(url: EndpointUrl, trust: &Trust, identity: Option<&Identity>) -> Result<Self> {
        let https = Https::new(&url.to_string(), trust, identity)?;
        Ok(Self { url, https })
    }

    /// The client of an operator with this token.
    ///
    /// # Errors
    /// The token cannot be one: a header does not take it.
    pub fn with_token(self, token: &str) -> Result<Self> {
        let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let value = value.context("the operator's token makes no sense")?;
        Ok(Self { https: self.https.with_header(AUTHORIZATION, value), ..self })
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
        serde_json::from_slice(text)
            .with_context(|| format!("`{}` answers something else than an endpoint", self.url))
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
    ) -> Result<Reply, HttpsError> {
        let limits = Limits { deadline: patience, bytes: MAX_ANSWER };
        let body = body.unwrap_or_default().into();
        let answer = self.https.another().ask(method, path, body, limits).await?;
        Ok(Reply::of(&answer))
    }

    /// The client below, for who speaks by itself on a TLS session.
    #[must_use]
    pub fn https(&self) -> &Https {
        &self.https
    }
}

impl Reply {
    fn of(answer: &Answer) -> Self {
        let retry_after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        Self {
            status: answer.status,
            retry_after_s: retry_after.and_then(|text| text.parse().ok()),
            body: answer.body.to_vec(),
        }
    }

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
