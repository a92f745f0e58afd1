//! `hostd-virt fetch`: downloads, and can do nothing else. It reads what it shall fetch from
//! stdin, writes the bytes to stdout, which is a file, and says how far it is on stderr.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::net::{IpAddr, ToSocketAddrs};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use hostd_core::reach;
use serde::{Deserialize, Serialize};
use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body};

use super::url::shown;
use super::{not_written, privileges};

/// What begins the line in which it says why it failed.
pub(super) const FAILED: &str = "failed: ";
/// The same where what came so far is good, and the rest may come later.
pub(super) const BROKE: &str = "broke off: ";
/// The answer that has the rest of a file (RFC 9110, 15.3.7), and the one that has no such rest.
const PARTIAL: u16 = 206;
const NO_SUCH_RANGE: u16 = 416;
/// A download that brings less between two looks has stalled.
const STEP: u64 = 64 << 10;
/// Time between two lines about how far it is.
const PACE: Duration = Duration::from_millis(250);
const MAX_REDIRECTS: u32 = 5;
/// Bytes that a request for a download may have.
const MAX_WANTED: u64 = 64 << 10;

/// What it shall fetch.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Wanted {
    pub(super) url: String,
    /// Bytes that are here already.
    pub(super) from: u64,
    pub(super) allow: Vec<String>,
    pub(super) max_bytes: u64,
    pub(super) idle_s: u32,
}

/// Does it all; returns whether it was done.
pub(crate) fn run() -> bool {
    match fetch() {
        Ok(()) => true,
        Err(failure) => {
            let (prefix, why) = match failure {
                Failure::Failed(why) => (FAILED, why),
                Failure::Broke(why) => (BROKE, why),
            };
            let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
            eprintln!("{prefix}{why}");
            false
        }
    }
}

/// Why there is no whole download.
enum Failure {
    /// What came so far is worth nothing.
    Failed(String),
    /// The rest may come later.
    Broke(String),
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

fn fetch() -> Result<(), Failure> {
    let own = || "cannot start to fetch".to_owned();
    let mut text = String::new();
    io::stdin().take(MAX_WANTED).read_to_string(&mut text).map_err(|_| own())?;
    let wanted: Wanted = serde_json::from_str(&text).map_err(|_| own())?;
    let to = io::stdout().as_fd().try_clone_to_owned().map_err(|_| own())?;
    privileges::give_up(wanted.max_bytes).map_err(|error| format!("{}: {error}", own()))?;
    download(&wanted, File::from(to))
}

fn download(wanted: &Wanted, mut to: File) -> Result<(), Failure> {
    let url = shown(&wanted.url);
    let agent = agent(wanted);
    let rest = if wanted.from > 0 { rest(&agent, wanted)? } else { None };
    let (answer, mut done) = match rest {
        Some(answer) => (answer, wanted.from),
        None => {
            let emptied = to.set_len(0).and_then(|()| to.rewind());
            emptied.map_err(|error| not_written(&error))?;
            let answer = agent.get(&wanted.url).call();
            (answer.map_err(|error| told(&url, &error))?, 0)
        }
    };
    let body = answer.into_body();
    let max = wanted.max_bytes;
    let too_long = || format!("{url} is longer than {max} bytes, which is the most");
    if body.content_length().is_some_and(|length| length.saturating_add(done) > max) {
        return Err(too_long().into());
    }
    let mut from = body.into_reader();
    let mut buffer = vec![0; STEP as usize];
    let (mut told_bytes, mut told_at) = (done, Instant::now());
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if is_timeout(&error) => {
                let why = format!("nothing came from {url} for {} s", wanted.idle_s);
                return Err(Failure::Broke(why));
            }
            Err(error) => {
                let why = format!("{url} broke off after {done} bytes: {error}");
                return Err(Failure::Broke(why));
            }
        };
        done += read as u64;
        if done > max {
            return Err(too_long().into());
        }
        to.write_all(&buffer[..read]).map_err(|error| not_written(&error))?;
        if done - told_bytes >= STEP && told_at.elapsed() >= PACE {
            eprintln!("{done}");
            (told_bytes, told_at) = (done, Instant::now());
        }
    }
}

fn agent(wanted: &Wanted) -> Agent {
    let idle = Some(Duration::from_secs(wanted.idle_s.into()));
    let config = Agent::config_builder()
        .proxy(None)
        .max_redirects(MAX_REDIRECTS)
        .timeout_connect(idle)
        .timeout_recv_response(idle)
        .timeout_per_read(idle)
        .accept_encoding("identity")
        .user_agent(concat!("basalt/", env!("CARGO_PKG_VERSION")))
        .build();
    let guard = Guard { allow: wanted.allow.clone() };
    Agent::with_parts(config, DefaultConnector::default(), guard)
}

/// Asks for what is not here yet; none where the server does not give parts, or not this one.
fn rest(agent: &Agent, wanted: &Wanted) -> Result<Option<Response<Body>>, Failure> {
    let from = wanted.from;
    let answer = agent.get(&wanted.url).header("Range", format!("bytes={from}-")).call();
    let answer = match answer {
        Ok(answer) => answer,
        Err(ureq::Error::StatusCode(NO_SUCH_RANGE)) => return Ok(None),
        // What is here stays good while the server is away.
        Err(error) => return Err(Failure::Broke(told(&shown(&wanted.url), &error))),
    };
    let range = answer.headers().get("Content-Range").and_then(|range| range.to_str().ok());
    let is_it = range.is_some_and(|range| begins_at(range) == Some(from));
    Ok((answer.status() == PARTIAL && is_it).then_some(answer))
}

/// The first byte that a `Content-Range` tells of (RFC 9110, 14.4).
fn begins_at(range: &str) -> Option<u64> {
    let (begins, _) = range.strip_prefix("bytes ")?.split_once('-')?;
    let is_number = begins.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| begins.parse().ok())?
}

/// Whether nothing came for too long; `ureq` hides its own error in one of the system's.
fn is_timeout(error: &io::Error) -> bool {
    let own = error.get_ref().and_then(|error| error.downcast_ref::<ureq::Error>());
    matches!(own, Some(ureq::Error::Timeout(_))) || error.kind() == io::ErrorKind::TimedOut
}

/// Why there is no download, in a sentence for a person.
fn told(url: &str, error: &ureq::Error) -> String {
    match error {
        ureq::Error::StatusCode(code) => format!("{url} answers {code}"),
        ureq::Error::HostNotFound => format!("the host of {url} does not resolve"),
        ureq::Error::TooManyRedirects => {
            format!("{url} leads on more than {MAX_REDIRECTS} times")
        }
        ureq::Error::Timeout(_) => format!("{url} does not answer in time"),
        ureq::Error::Other(why) => format!("{url} {why}"),
        other => format!("cannot fetch {url}: {other}"),
    }
}

/// Resolves names, and gives only addresses that may be connected to. Asked anew at each redirect.
#[derive(Debug)]
struct Guard {
    allow: Vec<String>,
}

impl Resolver for Guard {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        _: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let port = match (uri.port_u16(), uri.scheme_str()) {
            (Some(port), _) => port,
            (None, Some("http")) => 80,
            (None, _) => 443,
        };
        // Without a deadline of its own: whoever started this process ends it when nothing comes.
        let found = (host.trim_matches(['[', ']']), port).to_socket_addrs();
        let found: Vec<_> = found.map_err(|_| ureq::Error::HostNotFound)?.collect();
        let is_named = reach::names(&self.allow, host, port);
        let own = if is_named { Vec::new() } else { own_addresses()? };
        let mut good = self.empty();
        let mut why = None;
        for socket in found {
            let refusal = reach::refusal(socket.ip(), &own).filter(|_| !is_named);
            match refusal {
                None if good.len() < 16 => good.push(socket),
                None => (),
                Some(refusal) => why = Some((socket.ip(), refusal)),
            }
        }
        match why {
            Some((ip, refusal)) if good.is_empty() => {
                let what = format!(
                    "leads to {ip}, which {refusal}, and `url_allow` in the host's policy does not \
                     name `{host}`"
                );
                Err(ureq::Error::Other(what.into()))
            }
            _ if good.is_empty() => Err(ureq::Error::HostNotFound),
            _ => Ok(good),
        }
    }
}

fn own_addresses() -> Result<Vec<IpAddr>, ureq::Error> {
    let interfaces = if_addrs::get_if_addrs().map_err(ureq::Error::Io)?;
    Ok(interfaces.iter().map(if_addrs::Interface::ip).collect())
}

#[cfg(test)]
mod tests {
    use super::begins_at;

    #[test]
    fn a_range_says_where_it_begins() {
        assert_eq!(begins_at("bytes 42-99/100"), Some(42));
        assert_eq!(begins_at("bytes 42-99/*"), Some(42));
        for bad in ["", "bytes */100", "bytes 42", "bytes +42-99/100", "bytes -1/2", "42-99/100"] {
            assert_eq!(begins_at(bad), None, "{bad}");
        }
    }

    #[test]
    fn fuzz_content_range() {
        basalt_fuzz::run_on_text!(&["bytes 42-99/100", "bytes */100"], |range| {
            begins_at(range).inspect(|at| {
                let zeros = range["bytes ".len()..].trim_start_matches('0');
                assert!(*at == 0 || zeros.starts_with(&at.to_string()), "{range}");
            })
        });
    }
}
