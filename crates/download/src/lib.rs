//! A download that goes on where it broke off, as long as the server still has the same file.
//!
//! It is read like a file; whoever reads it checks what came. Nothing is kept on a disk.

mod error;
mod server;

use std::io::{self, Read};
use std::time::Duration;

pub use error::{DownloadError, Refused};
use server::FileOnServer;
use ureq::Agent;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
pub use url::Url;

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

impl Patience {
    /// Before the next try, after so many that brought nothing. Pure.
    fn pause_after(&self, failures: u32) -> Duration {
        self.pause * (1 << failures.saturating_sub(1).min(4))
    }
}

/// Whose certificates a server's may be signed with, over https.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Those that Mozilla trusts, as they were when this program was made.
    #[default]
    Web,
    /// These, in PEM.
    Authorities(Vec<u8>),
}

/// How a server is asked.
#[derive(Debug, Clone)]
pub struct How {
    /// How long it is waited for.
    pub patience: Patience,
    /// How it is known.
    pub trust: Trust,
    /// Hears each time why it has to be asked again, and after how long.
    pub told: fn(&str, Duration),
}

impl Default for How {
    /// A little while, by what Mozilla trusts, and nobody is told.
    fn default() -> Self {
        Self { patience: Patience::default(), trust: Trust::default(), told: |_, _| () }
    }
}

/// A file on a server, as its bytes come.
pub struct Download {
    agent: Agent,
    url: Url,
    patience: Patience,
    told: fn(&str, Duration),
    body: Option<Box<dyn Read + Send>>,
    /// Bytes that came.
    position: u64,
    file: FileOnServer,
    /// Tries since something came.
    failures: u32,
}

impl Download {
    /// Asks for the file.
    ///
    /// # Errors
    /// The server does not give it, however often it is asked.
    pub fn begin(url: &Url, how: &How) -> Result<Self, DownloadError> {
        let mut download = Self::new(url, how)?;
        match download.go_on() {
            Ok(()) => Ok(download),
            Err(why) => Err(DownloadError::Refused { url: url.clone(), why }),
        }
    }

    /// The same; `None` when the server says that there is none.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn begin_if_there(url: &Url, how: &How) -> Result<Option<Self>, DownloadError> {
        match Self::begin(url, how) {
            Ok(download) => Ok(Some(download)),
            Err(DownloadError::Refused { why: Refused::Gone(_), .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// How many bytes the server says that the file has, where it says so.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.file.size
    }

    fn new(url: &Url, how: &How) -> Result<Self, DownloadError> {
        let How { patience, told, .. } = *how;
        let tls = TlsConfig::builder().root_certs(roots(&how.trust)?).build();
        let config = Agent::config_builder()
            .timeout_resolve(Some(patience.silence))
            .timeout_connect(Some(patience.silence))
            .timeout_per_read(Some(patience.silence))
            .timeout_recv_response(Some(patience.silence))
            .http_status_as_error(false)
            .tls_config(tls)
            .user_agent(concat!("basalt/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self {
            agent: Agent::new_with_config(config),
            url: url.clone(),
            patience,
            told,
            body: None,
            position: 0,
            file: FileOnServer::default(),
            failures: 0,
        })
    }

    /// Asks for what has not come yet, until the server gives it or is given up.
    fn go_on(&mut self) -> Result<(), Refused> {
        loop {
            match self.request() {
                Err(Refused::ForNow(why)) => self.wait(&why)?,
                result => return result,
            }
        }
    }

    fn request(&mut self) -> Result<(), Refused> {
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
    fn take<T>(&mut self, response: &Response<T>) -> Result<u64, Refused> {
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
    fn wait(&mut self, why: &str) -> Result<(), Refused> {
        self.failures += 1;
        if self.failures >= self.patience.tries {
            let tries = self.patience.tries;
            return Err(Refused::ForGood(format!(
                "{why}, {tries} times on end, after {} bytes\nhint: check the network and the \
                 server; what was downloaded cannot be gone on with later",
                self.position
            )));
        }
        let pause = self.patience.pause_after(self.failures);
        (self.told)(why, pause);
        std::thread::sleep(pause);
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
            again.map_err(io::Error::other)?;
        }
    }
}

fn roots(trust: &Trust) -> Result<RootCerts, DownloadError> {
    let Trust::Authorities(pem) = trust else { return Ok(RootCerts::WebPki) };
    let certificate = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        // Of what else lies in such a file nothing vouches for a server.
        Ok(_) | Err(_) => None,
    };
    let all: Vec<Certificate<'static>> = parse_pem(pem).filter_map(certificate).collect();
    if all.is_empty() {
        Err(DownloadError::NoAuthority)
    } else {
        Ok(RootCerts::new_with_certs(&all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities_that_are_none_are_refused_before_anything_is_asked() {
        let url = Url::parse("https://127.0.0.1:1/file").unwrap();
        let how = How { trust: Trust::Authorities(b"no PEM".to_vec()), ..How::default() };
        assert!(matches!(Download::begin(&url, &how), Err(DownloadError::NoAuthority)));
    }

    #[test]
    fn each_pause_is_twice_as_long_up_to_a_limit() {
        let pauses = (1..8).map(|failures| Patience::default().pause_after(failures).as_secs());
        assert_eq!(pauses.collect::<Vec<_>>(), [1, 2, 4, 8, 16, 16, 16]);
    }
}
