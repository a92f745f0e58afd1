//! A download that goes on where it broke off, as long as the server still has the same file.

use std::io::{self, Read};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use ureq::Agent;
use ureq::http::{HeaderMap, Response, StatusCode};
use url::Url;

/// How long a server is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Until it says anything.
    pub silence: Duration,
    /// Before it is asked again; twice as long each time, up to 16 times.
    pub pause: Duration,
    /// How often it is asked before something new comes.
    pub tries: u32,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_secs(30), pause: Duration::from_secs(1), tries: 6 }
    }
}

/// A file on a server, as its bytes come.
pub(super) struct Download {
    agent: Agent,
    url: Url,
    patience: Patience,
    body: Option<Box<dyn Read + Send>>,
    /// Bytes that came.
    position: u64,
    file: FileOnServer,
    /// Tries since something came.
    failures: u32,
}

/// What tells one state of a file on a server from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct FileOnServer {
    size: Option<u64>,
    /// A strong `ETag`, or `Last-Modified`.
    validator: Option<String>,
}

/// Why a request brought nothing.
#[derive(Debug, PartialEq, Eq)]
enum Refused {
    /// There is no such file. Stores that list nothing to strangers forbid it instead.
    Gone(StatusCode),
    /// Asking again is no use.
    ForGood(String),
    /// It may be another time.
    ForNow(String),
}

impl Download {
    /// Asks for the file.
    ///
    /// # Errors
    /// The server does not give it, however often it is asked.
    pub(super) fn begin(url: &Url, patience: Patience) -> Result<Self> {
        let mut download = Self::new(url, patience);
        let begun = download.go_on().map_err(Refused::into_error);
        begun.with_context(|| format!("cannot read `{url}`"))?;
        Ok(download)
    }

    /// The same; `None` when the server says that there is none.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub(super) fn begin_if_there(url: &Url, patience: Patience) -> Result<Option<Self>> {
        let mut download = Self::new(url, patience);
        match download.go_on() {
            Ok(()) => Ok(Some(download)),
            Err(Refused::Gone(_)) => Ok(None),
            Err(refused) => {
                Err(refused.into_error()).with_context(|| format!("cannot read `{url}`"))
            }
        }
    }

    fn new(url: &Url, patience: Patience) -> Self {
        let config = Agent::config_builder()
            .timeout_resolve(Some(patience.silence))
            .timeout_connect(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .timeout_recv_response(Some(patience.silence))
            .http_status_as_error(false)
            .user_agent(concat!("basalt/", env!("CARGO_PKG_VERSION")))
            .build();
        Self {
            agent: Agent::new_with_config(config),
            url: url.clone(),
            patience,
            body: None,
            position: 0,
            file: FileOnServer::default(),
            failures: 0,
        }
    }

    /// Asks for what has not come yet, until the server gives it or is given up.
    fn go_on(&mut self) -> std::result::Result<(), Refused> {
        loop {
            match self.request() {
                Err(Refused::ForNow(why)) => self.wait(&why)?,
                result => return result,
            }
        }
    }

    fn request(&mut self) -> std::result::Result<(), Refused> {
        let mut request = self.agent.get(self.url.as_str()).header("accept-encoding", "identity");
        if self.position > 0 {
            request = request.header("range", format!("bytes={}-", self.position));
            if let Some(validator) = &self.file.validator {
                request = request.header("if-range", validator);
            }
        }
        let response = request.call().map_err(|error| Refused::ForNow(error.to_string()))?;
        let skip = self.take(&response)?;
        let mut body = response.into_body().into_reader();
        if skip > 0 {
            // A server that knows no ranges sends all of it once more.
            let skipped = io::copy(&mut (&mut body).take(skip), &mut io::sink());
            match skipped {
                Ok(bytes) if bytes == skip => (),
                Ok(_) => return Err(Refused::ForNow("the connection ended".to_owned())),
                Err(error) => return Err(Refused::ForNow(error.to_string())),
            }
        }
        self.body = Some(Box::new(body));
        Ok(())
    }

    /// Looks at what the server answered; returns how many bytes of the body came before.
    fn take<T>(&mut self, response: &Response<T>) -> std::result::Result<u64, Refused> {
        let headers = response.headers();
        match response.status() {
            StatusCode::OK if self.position == 0 => {
                self.file = FileOnServer::whole(headers);
                Ok(0)
            }
            StatusCode::OK if self.file.is_still(&FileOnServer::whole(headers)) => {
                Ok(self.position)
            }
            StatusCode::PARTIAL_CONTENT
                if self.file.is_still(&FileOnServer::part(headers, self.position)?) =>
            {
                Ok(0)
            }
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Err(Refused::ForGood(
                "the connection broke off, and the server may have another file now\nhint: begin \
                 anew"
                    .to_owned(),
            )),
            status => Err(Refused::of(status)),
        }
    }

    /// Waits before the next try; refuses once there were enough.
    fn wait(&mut self, why: &str) -> std::result::Result<(), Refused> {
        self.failures += 1;
        if self.failures >= self.patience.tries {
            let tries = self.patience.tries;
            return Err(Refused::ForGood(format!(
                "{why}, {tries} times on end, after {} bytes\nhint: check the network and the \
                 server; what was downloaded cannot be gone on with later",
                self.position
            )));
        }
        std::thread::sleep(self.patience.pause * (1 << (self.failures - 1).min(4)));
        Ok(())
    }

    fn is_whole(&self) -> bool {
        self.file.size.is_none_or(|size| self.position >= size)
    }
}

impl Read for Download {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let why = match self.body.as_mut().map(|body| body.read(buffer)) {
                Some(Ok(0)) if buffer.is_empty() || self.is_whole() => return Ok(0),
                Some(Ok(0)) => "the connection ended".to_owned(),
                Some(Ok(read)) => {
                    self.position += read as u64;
                    self.failures = 0;
                    return Ok(read);
                }
                Some(Err(error)) => error.to_string(),
                None => "there is no connection".to_owned(),
            };
            self.body = None;
            let again = self.wait(&why).and_then(|()| self.go_on());
            again.map_err(|refused| io::Error::other(refused.into_error()))?;
        }
    }
}

impl FileOnServer {
    fn whole(headers: &HeaderMap) -> Self {
        let size = text(headers, "content-length").and_then(|size| size.parse().ok());
        Self { size, validator: validator(headers) }
    }

    /// A part that begins at `position`, as it was asked for.
    fn part(headers: &HeaderMap, position: u64) -> std::result::Result<Self, Refused> {
        let range = text(headers, "content-range").unwrap_or_default();
        let parts = range.strip_prefix("bytes ").and_then(|range| range.split_once('/'));
        let start = parts.and_then(|(part, _)| part.split_once('-')?.0.parse().ok());
        if start != Some(position) {
            let said = format!("the server sent another part than byte {position} on: `{range}`");
            return Err(Refused::ForGood(said));
        }
        let size = parts.and_then(|(_, size)| size.parse().ok());
        Ok(Self { size, validator: validator(headers) })
    }

    /// Whether a later answer is of the same file. Without a validator nobody knows.
    fn is_still(&self, later: &Self) -> bool {
        let same_size = later.size.is_none() || self.size.is_none() || later.size == self.size;
        self.validator.is_some() && later.validator == self.validator && same_size
    }
}

fn validator(headers: &HeaderMap) -> Option<String> {
    // A weak one stands for more than one content (RFC 9110, 8.8.3).
    let strong = text(headers, "etag").filter(|etag| !etag.starts_with("W/"));
    strong.or_else(|| text(headers, "last-modified")).map(str::to_owned)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

impl Refused {
    fn of(status: StatusCode) -> Self {
        let said = format!("the server answered {status}");
        match status {
            StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::FORBIDDEN => Self::Gone(status),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Self::ForNow(said),
            _ if status.is_server_error() => Self::ForNow(said),
            _ => Self::ForGood(said),
        }
    }

    fn into_error(self) -> anyhow::Error {
        match self {
            Self::Gone(status) => anyhow!("the server answered {status}"),
            Self::ForGood(why) | Self::ForNow(why) => anyhow!(why),
        }
    }
}
