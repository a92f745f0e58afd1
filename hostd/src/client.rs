//! Asks `hostd` over its socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use basalt_api::status::HostStatus;
use basalt_api::{MAX_ANSWER_BYTES, STATUS_PATH};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
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
    /// It answers something else.
    #[error("hostd answered `{status}`: {body}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// What it said.
        body: String,
    },
    /// What it answers cannot be read.
    #[error("hostd's answer cannot be read: {0}")]
    Unreadable(String),
}

/// Asks for the status.
///
/// # Errors
/// There is no answer within `deadline`, or one that makes no sense.
pub async fn status(socket: &Path, deadline: Duration) -> Result<HostStatus, ClientError> {
    let body = tokio::time::timeout(deadline, get(socket, STATUS_PATH))
        .await
        .map_err(|_| ClientError::Silent(deadline))??;
    serde_json::from_slice(&body).map_err(|error| ClientError::Unreadable(error.to_string()))
}

async fn get(socket: &Path, path: &str) -> Result<Bytes, ClientError> {
    let stream = UnixStream::connect(socket).await.map_err(|source| not_there(socket, source))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(unreadable)?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header(hyper::header::HOST, "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(|error| ClientError::Unreadable(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(unreadable)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
    connection.abort();
    let body = body.map_err(|error| ClientError::Unreadable(error.to_string()))?.to_bytes();
    if status == StatusCode::OK {
        return Ok(body);
    }
    Err(ClientError::Refused { status, body: String::from_utf8_lossy(&body).into_owned() })
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
