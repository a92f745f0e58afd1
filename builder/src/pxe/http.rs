//! A web server for a lab: a few files, read alone, each connection one request.
//!
//! What anybody asks is bounded: the bytes of a request, the time it takes, how many are served.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// Bytes of a request at most.
const REQUEST: usize = 8 << 10;
/// Until a request is there, and for each piece that somebody takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Connections at a time.
const AT_A_TIME: usize = 64;
const PIECE: usize = 128 << 10;

/// A file that is served.
#[derive(Debug, Clone)]
pub(super) struct Served {
    /// Where it lies, or what it is.
    pub(super) content: Content,
    /// Its length in bytes.
    pub(super) size: u64,
    /// What tells it from any other.
    pub(super) etag: String,
}

/// What is in a file.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// What lies there.
    File(PathBuf),
    /// This.
    Text(String),
}

/// Files by their paths, as `/boot.ipxe`.
pub(super) type Files = BTreeMap<String, Served>;

/// Who asked for what, for people; what was sent.
pub(super) type Told = fn(&str);

/// What is answered, and which bytes of a file follow.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    status: &'static str,
    headers: String,
    /// Of which file, from which byte to before which.
    body: Option<(String, u64, u64)>,
}

/// A port at which nothing is served yet.
pub(super) struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

/// Takes this port of an address; 0 is any that is free.
///
/// # Errors
/// Nobody can listen there.
pub(super) fn reserve(address: Ipv4Addr, port: u16) -> Result<Port> {
    let doing =
        || format!("cannot listen at {address}:{port}\nhint: name another port with `--port`");
    let listener = TcpListener::bind((address, port)).with_context(doing)?;
    let address = listener.local_addr().with_context(doing)?;
    Ok(Port { listener, address })
}

impl Port {
    /// Where it is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves files until the process ends.
    pub(super) fn serve(self, files: Files, told: Told) {
        let (files, served) = (Arc::new(files), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for stream in self.listener.incoming().flatten() {
                if served.fetch_add(1, Ordering::SeqCst) >= AT_A_TIME {
                    served.fetch_sub(1, Ordering::SeqCst);
                    continue;
                }
                let (files, served) = (Arc::clone(&files), Arc::clone(&served));
                thread::spawn(move || {
                    // Whoever asked may have gone, which is their affair.
                    let _ = one(&files, stream, told);
                    served.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
    }
}

fn one(files: &Files, mut stream: TcpStream, told: Told) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let head = head(&mut stream)?;
    let answer = answer(files, &head);
    let who = stream.peer_addr().map_or_else(|_| "?".to_owned(), |peer| peer.ip().to_string());
    told(&format!("{who}: {} {}", head.lines().next().unwrap_or_default(), answer.status));
    let Answer { status, headers, body } = answer;
    write!(stream, "HTTP/1.1 {status}\r\n{headers}connection: close\r\n\r\n")?;
    let Some((path, start, end)) = body else { return Ok(()) };
    match files.get(&path).map(|file| &file.content) {
        Some(Content::Text(text)) => {
            let bytes = text.as_bytes();
            stream.write_all(&bytes[start as usize..end as usize])
        }
        Some(Content::File(path)) => {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(start))?;
            let mut left = file.take(end - start);
            let mut buffer = vec![0; PIECE];
            loop {
                match left.read(&mut buffer)? {
                    0 => return Ok(()),
                    read => stream.write_all(&buffer[..read])?,
                }
            }
        }
        None => Ok(()),
    }
}

/// A request up to its empty line.
fn head(stream: &mut impl Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let read = stream.read(&mut buffer)?;
        if read == 0 || bytes.len() + read > REQUEST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a request gets. Pure.
fn answer(files: &Files, head: &str) -> Answer {
    let empty = |status| Answer { status, headers: "content-length: 0\r\n".to_owned(), body: None };
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !matches!(method, "GET" | "HEAD") {
        return empty("405 Method Not Allowed");
    }
    let Some(file) = files.get(path) else { return empty("404 Not Found") };
    let Served { size, etag, .. } = file;
    let whole = header(head, "if-range").is_some_and(|asked| asked != etag);
    let range = header(head, "range").filter(|_| !whole).and_then(|range| part(range, *size));
    let (status, start, end, more) = match range {
        None => ("200 OK", 0, *size, String::new()),
        Some(Ok((start, end))) => {
            let range = format!("content-range: bytes {start}-{}/{size}\r\n", end - 1);
            ("206 Partial Content", start, end, range)
        }
        Some(Err(())) => return empty("416 Range Not Satisfiable"),
    };
    let length = end - start;
    let headers =
        format!("content-length: {length}\r\naccept-ranges: bytes\r\netag: {etag}\r\n{more}");
    let body = (method == "GET" && length > 0).then(|| (path.to_owned(), start, end));
    Answer { status, headers, body }
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut pairs = head.lines().skip(1).filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// The part that a `Range` asks for, to before its end; none where it is no single range of bytes,
/// which is answered with all of it.
fn part(range: &str, size: u64) -> Option<Result<(u64, u64), ()>> {
    let (start, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let start: u64 = start.parse().ok()?;
    let end = match last {
        "" => size,
        last => last.parse::<u64>().ok()?.checked_add(1)?.min(size),
    };
    Some(if start < end { Ok((start, end)) } else { Err(()) })
}

#[cfg(test)]
mod tests {
    use basalt_download::{Download, How, Url};

    use super::*;

    fn files() -> Files {
        let content = Content::Text("0123456789".to_owned());
        let served = Served { content, size: 10, etag: "\"one\"".to_owned() };
        [("/file".to_owned(), served)].into()
    }

    /// The status and which bytes follow.
    fn check(head: &str, status: &str, bytes: Option<(u64, u64)>) {
        let answer = answer(&files(), head);
        assert!(answer.status.starts_with(status), "{head}: {answer:?}");
        assert_eq!(answer.body.map(|(_, start, end)| (start, end)), bytes, "{head}");
    }

    #[test]
    fn a_file_is_served_whole_or_from_where_it_broke_off() {
        check("GET /file HTTP/1.1\r\n\r\n", "200", Some((0, 10)));
        check("HEAD /file HTTP/1.1\r\n\r\n", "200", None);
        check("GET /file HTTP/1.1\r\nRange: bytes=4-\r\n\r\n", "206", Some((4, 10)));
        check("GET /file HTTP/1.1\r\nrange: bytes=4-5\r\n\r\n", "206", Some((4, 6)));
        check("GET /file HTTP/1.1\r\nrange: bytes=4-99\r\n\r\n", "206", Some((4, 10)));
        check("GET /file HTTP/1.1\r\nrange: bytes=10-\r\n\r\n", "416", None);
        check("GET /file HTTP/1.1\r\nrange: bytes=-3\r\n\r\n", "200", Some((0, 10)));
        let other = "GET /file HTTP/1.1\r\nrange: bytes=4-\r\nif-range: \"two\"\r\n\r\n";
        check(other, "200", Some((0, 10)));
        let same = other.replace("two", "one");
        check(&same, "206", Some((4, 10)));
    }

    #[test]
    fn nothing_but_the_files_is_served() {
        for path in ["/", "/../etc/passwd", "/file/", "/FILE", "file"] {
            check(&format!("GET {path} HTTP/1.1\r\n\r\n"), "404", None);
        }
        check("PUT /file HTTP/1.1\r\n\r\n", "405", None);
        check("", "405", None);
        assert!(head(&mut &[b'x'; 2 * REQUEST][..]).is_err());
        assert!(head(&mut &b"GET / HTTP/1.1\r\n"[..]).is_err());
    }

    #[test]
    fn what_is_served_is_read_by_the_program_that_fetches() {
        let port = reserve(Ipv4Addr::LOCALHOST, 0).unwrap();
        let at = port.address();
        port.serve(files(), |_| ());
        let url = Url::parse(&format!("http://{at}/file")).unwrap();
        let mut text = String::new();
        Download::begin(&url, &How::default()).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "0123456789");
    }

    #[test]
    fn fuzz_request() {
        let ranged = "GET /file HTTP/1.1\r\nrange: bytes=4-5\r\nif-range: \"one\"\r\n\r\n";
        basalt_fuzz::run_on_text!(&[ranged], |text| {
            let answer = answer(&files(), text);
            assert!(answer.body.is_none_or(|(_, start, end)| start < end && end <= 10));
        });
    }
}
