//! Asks `hostd` over its socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use basalt_api::status::HostStatus;
use basalt_api::{MAX_ANSWER_BYTES, STATUS_PATH};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("hostd does not listen on `{socket}`\nhint: `systemctl status hostd` says why")]
    NotThere {
        /// Where it should.
        socket: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The socket is closed to this user.
    #[error("`{socket}` is closed to you\nhint: be root or in the group `basalt`")]
    Forbidden {
        /// Where it is.
        socket: String,
    },
    /// It listens and says nothing.
    #[error("hostd did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It refuses, and says why.
    #[error("{detail}{}", hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default())]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What it said.
        detail: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// What it answers cannot be read.
    #[error("hostd's answer cannot be read: {0}")]
    Unreadable(String),
}

impl ClientError {
    /// Whether hostd is at fault, and not what was asked of it.
    #[must_use]
    pub fn is_hostds_fault(&self) -> bool {
        match self {
            Self::Unreadable(_) => true,
            Self::Refused { status, .. } => *status == StatusCode::INTERNAL_SERVER_ERROR,
            Self::NotThere { .. } | Self::Forbidden { .. } | Self::Silent(_) => false,
        }
    }
}

/// `hostd` at a socket.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
    deadline: Duration,
}

impl Client {
    /// The one at `socket`; an answer may take until `deadline`.
    #[must_use]
    pub fn new(socket: &Path, deadline: Duration) -> Self {
        Self { socket: socket.to_owned(), deadline }
    }

    /// Reads something.
    ///
    /// # Errors
    /// There is no answer in time, a refusal, or one that makes no sense.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Asks with a method, a path and a body of JSON, which may be empty.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let asked = async {
            let answer = self.send(method, path, body).await?;
            let body = whole(answer.into_body()).await?;
            serde_json::from_slice(&body)
                .map_err(|error| ClientError::Unreadable(error.to_string()))
        };
        let answer = tokio::time::timeout(self.deadline, asked).await;
        answer.map_err(|_| ClientError::Silent(self.deadline))?
    }

    /// Reads something that may go on for ever; each part goes to `take`, which says whether to go
    /// on. Only the beginning has a deadline.
    ///
    /// # Errors
    /// As for [`Self::get`], or it breaks off.
    pub async fn follow(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> io::Result<bool>,
    ) -> Result<(), ClientError> {
        let begun = self.send(Method::GET, path, Bytes::new());
        let answer = tokio::time::timeout(self.deadline, begun).await;
        let mut body = answer.map_err(|_| ClientError::Silent(self.deadline))??.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(unreadable)?;
            let Some(bytes) = frame.data_ref() else { continue };
            if !take(bytes).map_err(|error| ClientError::Unreadable(error.to_string()))? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// An answer that is no refusal.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = UnixStream::connect(&self.socket).await;
        let stream = stream.map_err(|source| not_there(&self.socket, source))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(unreadable)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "localhost")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| ClientError::Unreadable(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(unreadable)?;
        if answer.status() == StatusCode::OK {
            return Ok(answer);
        }
        let status = answer.status();
        Err(refused(status, &whole(answer.into_body()).await?))
    }
}

/// Asks for the status.
///
/// # Errors
/// There is no answer within `deadline`, or one that makes no sense.
pub async fn status(socket: &Path, deadline: Duration) -> Result<HostStatus, ClientError> {
    Client::new(socket, deadline).get(STATUS_PATH).await
}

async fn whole(body: Incoming) -> Result<Bytes, ClientError> {
    let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await;
    Ok(body.map_err(|error| ClientError::Unreadable(error.to_string()))?.to_bytes())
}

fn refused(status: StatusCode, body: &[u8]) -> ClientError {
    let value: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| value.get(key)?.as_str().map(str::to_owned);
    let detail = text("detail").unwrap_or_else(|| format!("hostd answered `{status}`"));
    ClientError::Refused { status, detail, hint: text("hint") }
}

fn not_there(socket: &Path, source: io::Error) -> ClientError {
    let socket = socket.display().to_string();
    match source.kind() {
        io::ErrorKind::PermissionDenied => ClientError::Forbidden { socket },
        _ => ClientError::NotThere { socket, source },
    }
}

#[expect(clippy::needless_pass_by_value, reason = "fits `map_err`")]
fn unreadable(error: hyper::Error) -> ClientError {
    ClientError::Unreadable(error.to_string())
}
