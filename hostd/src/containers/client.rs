//! The connection to an engine: made when it is needed, negotiated, every call with a deadline.
//!
//! Most calls go through `bollard`. What is asked in every round (the list, an inspection) is read
//! by types of our own: `bollard`'s refuse a whole list for one state that they do not know, and
//! podman has more states than Docker.

mod http;

use std::error::Error as _;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, ClientVersion, Docker};
use serde::de::DeserializeOwned;

use crate::runtime::{Failure, RuntimeError};

/// Characters that are told of what an engine says.
const MAX_MESSAGE: usize = 300;
/// `bollard`'s own limit for an answer to begin. Ours are shorter, but for pulls, which have one on
/// their progress.
const BOLLARD_TIMEOUT_S: u64 = 86_400;

/// What runs containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Podman,
    Docker,
}

/// Where an engine listens, and the connection to it.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
    /// How long it may take for an answer about what is there.
    pub(super) patience: Duration,
    connected: Mutex<Option<Connected>>,
}

#[derive(Debug, Clone)]
pub(super) struct Connected {
    pub(super) docker: Docker,
    pub(super) engine: Engine,
}

/// Why a call did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CallError {
    /// Nobody answers, or nothing that makes sense.
    Unavailable(String),
    /// The engine's answer.
    Answered { status: u16, message: String },
}

impl Engine {
    /// The folder of certificates that it believes, by registry.
    pub(super) fn certs_d(self) -> &'static Path {
        Path::new(match self {
            Self::Podman => "/etc/containers/certs.d",
            Self::Docker => "/etc/docker/certs.d",
        })
    }
}

impl Client {
    pub(super) fn new(socket: PathBuf, patience: Duration) -> Self {
        Self { socket, patience, connected: Mutex::new(None) }
    }

    /// The connection; made anew after the last one failed.
    pub(super) async fn connected(&self) -> Result<Connected, CallError> {
        let kept = self.connected.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match kept {
            Some(connected) => Ok(connected),
            None => self.connect().await,
        }
    }

    /// Asks the engine for its version, whatever was known of it.
    pub(super) async fn connect(&self) -> Result<Connected, CallError> {
        self.forget();
        // A ping tells as much as `/version`, for which podman starts five programs.
        let answer = self.ask("/_ping").await?;
        let version = answer.header("api-version").and_then(|text| version_to_speak(&text));
        let Some(version) = version.filter(|_| answer.status == 200) else {
            return Err(self.unavailable("is no container engine: it does not tell its version"));
        };
        let is_podman = answer.header("libpod-api-version").is_some();
        let engine = if is_podman { Engine::Podman } else { Engine::Docker };
        let path = self.socket.display().to_string();
        tracing::info!(%path, ?engine, %version, "the container engine answers");
        let docker = Docker::connect_with_unix(&path, BOLLARD_TIMEOUT_S, &version);
        let docker = docker.map_err(|error| self.error(&error))?;
        let connected = Connected { docker, engine };
        *self.connected.lock().unwrap_or_else(PoisonError::into_inner) = Some(connected.clone());
        Ok(connected)
    }

    /// Makes a call, which has this long.
    pub(super) async fn call<T>(
        &self,
        deadline: Duration,
        call: impl AsyncFnOnce(Docker) -> Result<T, Error>,
    ) -> Result<T, CallError> {
        let connected = self.connected().await?;
        let result = self.within(deadline, call(connected.docker)).await;
        self.forget_after(result)
    }

    /// Reads an answer by a type of our own. `path` begins after the version.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        let version = self.connected().await?.docker.client_version();
        let path = format!("/v{version}{path}");
        let result = match self.ask(&path).await {
            Ok(answer) if answer.status == 200 => serde_json::from_slice(&answer.body)
                .map_err(|error| self.unavailable(&format!("answers what is no answer: {error}"))),
            Ok(answer) => {
                let message = message_of(&answer.body);
                Err(CallError::Answered { status: answer.status, message })
            }
            Err(error) => Err(error),
        };
        self.forget_after(result)
    }

    async fn ask(&self, path: &str) -> Result<http::Answer, CallError> {
        match tokio::time::timeout(self.patience, http::get(&self.socket, path)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.unavailable(&format!("cannot be reached: {error}"))),
            Err(_) => Err(self.silent(self.patience)),
        }
    }

    /// What a stream of an engine's failed with.
    pub(super) fn error(&self, error: &Error) -> CallError {
        match error {
            Error::DockerResponseServerError { status_code, message } => {
                CallError::Answered { status: *status_code, message: shown(message) }
            }
            // An error within an answer that began well.
            Error::DockerStreamError { error } => {
                CallError::Answered { status: 500, message: shown(error) }
            }
            Error::SocketNotFoundError(_) => self.unavailable("is not there"),
            Error::JsonDataError { message, .. } => {
                self.unavailable(&format!("answers what is no answer: {message}"))
            }
            other => self.unavailable(&format!("cannot be reached: {}", innermost(other))),
        }
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(deadline, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(self.error(&error)),
            Err(_) => Err(self.silent(deadline)),
        }
    }

    /// Another engine, or another version of it, may listen there next time.
    fn forget_after<T>(&self, result: Result<T, CallError>) -> Result<T, CallError> {
        if matches!(result, Err(CallError::Unavailable(_))) {
            self.forget();
        }
        result
    }

    fn forget(&self) {
        *self.connected.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn silent(&self, deadline: Duration) -> CallError {
        self.unavailable(&format!("does not answer within {} s", deadline.as_secs_f32().ceil()))
    }

    /// Says that the engine cannot do something.
    pub(super) fn cannot(&self, what: &str) -> String {
        format!("the container engine at `{}` cannot {what}", self.socket.display())
    }

    fn unavailable(&self, what: &str) -> CallError {
        CallError::Unavailable(format!(
            "the container engine at `{}` {}",
            self.socket.display(),
            shown(what)
        ))
    }
}

impl CallError {
    /// The failure of a workload, after `doing` to it, as `cannot start it`.
    pub(super) fn of_workload(self, doing: impl fmt::Display) -> RuntimeError {
        match self {
            Self::Unavailable(message) => RuntimeError { kind: Failure::Unavailable, message },
            Self::Answered { message, .. } => {
                RuntimeError { kind: Failure::Workload, message: format!("{doing}: {message}") }
            }
        }
    }

    /// The failure of a call that is about no workload: the engine itself is at fault.
    pub(super) fn of_engine(self, doing: impl fmt::Display) -> RuntimeError {
        RuntimeError { kind: Failure::Unavailable, ..self.of_workload(doing) }
    }

    pub(super) fn has_status(&self, wanted: u16) -> bool {
        matches!(self, Self::Answered { status, .. } if *status == wanted)
    }

    /// Whether the engine's answer has these words.
    pub(super) fn answer_has(&self, words: &str) -> bool {
        matches!(self, Self::Answered { message, .. } if message.contains(words))
    }
}

/// The version to speak: the engine's own (podman refuses any newer one), or the newest of
/// `bollard`'s where the engine is newer still.
fn version_to_speak(text: &str) -> Option<ClientVersion> {
    let (major, minor) = text.split_once('.')?;
    let ours = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
    let (major_version, minor_version) = (major.parse().ok()?, minor.parse().ok()?).min(ours);
    Some(ClientVersion { major_version, minor_version })
}

/// What an engine says in the body of a refusal.
fn message_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        message: String,
    }
    let refusal = serde_json::from_slice::<Refusal>(body).map(|refusal| refusal.message);
    shown(&refusal.unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned()))
}

/// One line of a text, short enough for a table.
pub(super) fn shown(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn innermost(error: &Error) -> String {
    let mut source = error.source();
    let mut text = error.to_string();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_says_becomes_one_short_line() {
        assert_eq!(message_of(br#"{"message":"no\nsuch  thing\u001b[31m"}"#), "no such thing [31m");
        assert_eq!(message_of(b"plain\n"), "plain");
        assert_eq!(shown(&"ä".repeat(400)).chars().count(), MAX_MESSAGE + 1);
    }

    #[test]
    fn the_older_one_of_two_versions_is_spoken() {
        let spoken = |text| version_to_speak(text).map(|version| version.to_string());
        assert_eq!(spoken("1.41").as_deref(), Some("1.41"));
        assert_eq!(spoken("9.1"), Some(API_DEFAULT_VERSION.to_string()));
        assert_eq!(spoken(""), None);
        assert_eq!(spoken("1.x"), None);
    }

    #[tokio::test]
    async fn a_socket_that_is_not_there_is_named() {
        let client = Client::new("/nowhere/engine.sock".into(), Duration::from_secs(1));
        let error = client.connected().await.unwrap_err();
        let error = error.of_workload("cannot start it");
        assert_eq!(error.kind, Failure::Unavailable);
        assert_eq!(
            error.message,
            "the container engine at `/nowhere/engine.sock` cannot be reached: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn fuzz_version_of_an_engine() {
        basalt_fuzz::run_on_text!(&["1.41", "9.1", "1.x"], |text| {
            let ours = (API_DEFAULT_VERSION.major_version, API_DEFAULT_VERSION.minor_version);
            let spoken = version_to_speak(text);
            assert!(spoken.is_none_or(|it| (it.major_version, it.minor_version) <= ours));
        });
    }

    #[test]
    fn fuzz_refusal_of_an_engine() {
        let seeds: &[&[u8]] = &[br#"{"message":"no\nsuch  thing\u001b[31m"}"#, b"plain\n", b"\xff"];
        basalt_fuzz::run(seeds, |body| {
            let message = message_of(body);
            assert!(!message.contains(char::is_control), "{message:?}");
            assert!(message.chars().count() <= MAX_MESSAGE + 1);
        });
    }
}
