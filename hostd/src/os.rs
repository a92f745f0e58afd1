//! Asks `hostd-os`, which updates the system, over its socket. systemd starts it for that.

use std::io;
use std::path::Path;
use std::time::Duration;

use basalt_api::os::{Progress, Reply, Request};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// The longest that nothing is heard: a disk that is slow to write a whole system.
const SILENCE: Duration = Duration::from_secs(1800);
/// Bytes that all of an answer may have.
const MAX_ANSWER_BYTES: u64 = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OsError {
    /// Nobody listens.
    #[error(
        "nobody listens on `{socket}`\nhint: this is no host that can be updated, or \
         `systemctl status hostd-os.socket` says why"
    )]
    NotThere {
        /// Where somebody should.
        socket: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// The socket is closed to this user.
    #[error("`{0}` is closed to you\nhint: be root")]
    Forbidden(String),
    /// It is not done, and why.
    #[error("{0}")]
    Refused(String),
    /// It went away.
    #[error(
        "hostd-os ended without an answer\nhint: `journalctl -u 'hostd-os@*'` says why; what was \
         begun may be begun again"
    )]
    BrokeOff,
    /// It says nothing any more.
    #[error("hostd-os has said nothing for {} s; it may still be at work", .0.as_secs())]
    Silent(Duration),
    /// What it answers cannot be read.
    #[error("hostd-os's answer cannot be read: {0}")]
    Unreadable(String),
}

impl OsError {
    /// Whether `hostd-os` is at fault, and not what was asked of it.
    #[must_use]
    pub fn is_hostd_oss_fault(&self) -> bool {
        match self {
            Self::BrokeOff | Self::Unreadable(_) => true,
            Self::NotThere { .. } | Self::Forbidden(_) | Self::Refused(_) | Self::Silent(_) => {
                false
            }
        }
    }
}

/// Sends a request and returns what it is answered in the end; `told` hears how far it is.
///
/// # Errors
/// It is refused, or nobody answers.
pub async fn ask(
    socket: &Path,
    request: &Request,
    mut told: impl FnMut(&Progress),
) -> Result<Reply, OsError> {
    let stream = UnixStream::connect(socket).await.map_err(|error| not_there(socket, error))?;
    let (read, mut write) = stream.into_split();
    let mut line = serde_json::to_vec(request).map_err(|error| unreadable(&error))?;
    line.push(b'\n');
    write.write_all(&line).await.map_err(|_| OsError::BrokeOff)?;
    let mut lines = BufReader::new(read.take(MAX_ANSWER_BYTES)).lines();
    loop {
        let line = timeout(SILENCE, lines.next_line()).await;
        let line =
            line.map_err(|_| OsError::Silent(SILENCE))?.map_err(|error| unreadable(&error))?;
        let reply: Reply = serde_json::from_str(&line.ok_or(OsError::BrokeOff)?)
            .map_err(|error| unreadable(&error))?;
        match reply {
            Reply::Progress(progress) => told(&progress),
            Reply::Failed { reason } => return Err(OsError::Refused(reason)),
            last => return Ok(last),
        }
    }
}

fn not_there(socket: &Path, source: io::Error) -> OsError {
    let socket = socket.display().to_string();
    match source.kind() {
        io::ErrorKind::PermissionDenied => OsError::Forbidden(socket),
        _ => OsError::NotThere { socket, source },
    }
}

fn unreadable(error: &dyn std::error::Error) -> OsError {
    OsError::Unreadable(error.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tempfile::TempDir;
    use tokio::net::UnixListener;

    use super::*;

    /// A `hostd-os` that reads a line and says these.
    fn says(text: &'static str) -> (TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (read, mut write) = stream.into_split();
            let line = BufReader::new(read).lines().next_line().await.unwrap().unwrap();
            assert_eq!(line, r#"{"ask":"status"}"#);
            write.write_all(text.as_bytes()).await.unwrap();
        });
        (dir, socket)
    }

    async fn check(text: &'static str, expected: &str) {
        let (_dir, socket) = says(text);
        let mut told = 0;
        let answer = ask(&socket, &Request::Status, |_| told += 1).await;
        let said = answer.map_or_else(|error| error.to_string(), |reply| format!("{reply:?}"));
        assert!(format!("{told} {said}").starts_with(expected), "{told} {said}");
    }

    #[tokio::test]
    async fn progress_is_told_and_the_last_word_is_the_answer() {
        check("{\"tell\":\"done\"}\n", "0 Done").await;
        let installs = "{\"tell\":\"progress\",\"stage\":\"install\",\"step\":\"x\"}\n\
                        {\"tell\":\"done\"}\n";
        check(installs, "1 Done").await;
        check("{\"tell\":\"failed\",\"reason\":\"no room\"}\n", "0 no room").await;
        check("", "0 hostd-os ended without an answer").await;
        check("{}\n", "0 hostd-os's answer cannot be read").await;
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_told() {
        let error = ask(Path::new("/nowhere"), &Request::Status, |_| ()).await.unwrap_err();
        assert!(error.to_string().starts_with("nobody listens on `/nowhere`"));
        assert!(!error.is_hostd_oss_fault() && OsError::BrokeOff.is_hostd_oss_fault());
    }
}
