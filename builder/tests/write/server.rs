//! A web server on loopback that misbehaves as it is told.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// What one request gets. The last one serves all that come later.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Answer {
    /// What was asked for.
    Whole,
    /// So many bytes of what was asked for, and the end of the connection.
    Breaks(usize),
    /// So many bytes, and nothing more for as long as anybody waits.
    Stalls(usize),
    /// All of the file, whatever part was asked for, as servers do that know no ranges.
    NoRanges,
    /// Another file of the same length.
    Another,
    /// Another part than was asked for.
    OtherPart,
    /// It has no time.
    Busy,
    /// One of these bytes after the other, slowly.
    Slow,
}

/// A server of one image.
pub(crate) struct Server {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

struct Site {
    image: Vec<u8>,
    validator: &'static str,
    answers: Mutex<VecDeque<Answer>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Serves `disk.raw` by these answers; whatever else is asked for is not there.
    pub(crate) fn start(image: Vec<u8>, validator: &'static str, answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answers = Mutex::new(answers.iter().copied().collect());
        let site = Arc::new(Site { image, validator, answers, asked: Arc::clone(&asked) });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let site = Arc::clone(&site);
                thread::spawn(move || site.serve(&stream));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/images/disk.raw", self.address)
    }

    /// The `Range` of each request for the image.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Site {
    fn serve(&self, stream: &TcpStream) {
        let Ok(again) = stream.try_clone() else { return };
        let head: Vec<String> = BufReader::new(again)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.is_empty())
            .collect();
        if !head.first().is_some_and(|line| line.contains("/disk.raw")) {
            return send(stream, "404 Not Found\r\ncontent-length: 0", b"");
        }
        let value = |name: &str| {
            let line = head
                .iter()
                .find_map(|line| line.to_lowercase().strip_prefix(name).map(str::to_owned));
            line.unwrap_or_default().trim().to_owned()
        };
        let range = value("range:");
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(range.clone());
        let start = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        let start = start.and_then(|start| start.parse().ok()).unwrap_or(0);
        self.answer(stream, self.next(), start);
    }

    fn next(&self) -> Answer {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
        next.unwrap_or(Answer::Whole)
    }

    fn answer(&self, stream: &TcpStream, answer: Answer, start: usize) {
        let part = |start: usize| {
            let (size, last) = (self.image.len(), self.image.len() - 1);
            let validator = self.validator;
            let length = size - start;
            if start == 0 {
                return format!("200 OK\r\ncontent-length: {size}\r\n{validator}");
            }
            let range = format!("content-range: bytes {start}-{last}/{size}");
            format!("206 Partial Content\r\ncontent-length: {length}\r\n{range}\r\n{validator}")
        };
        let rest = &self.image[start..];
        match answer {
            Answer::Whole => send(stream, &part(start), rest),
            Answer::NoRanges => send(stream, &part(0), &self.image),
            Answer::Breaks(bytes) => send(stream, &part(start), &rest[..bytes.min(rest.len())]),
            Answer::Stalls(bytes) => {
                send(stream, &part(start), &rest[..bytes.min(rest.len())]);
                thread::sleep(Duration::from_secs(20));
            }
            Answer::Another => {
                let head = part(start).replace(self.validator, "etag: \"another\"");
                send(stream, &head, rest);
            }
            Answer::OtherPart => {
                let head = part(start).replace(&format!("bytes {start}-"), "bytes 7-");
                send(stream, &head, rest);
            }
            Answer::Busy => send(stream, "503 Busy\r\ncontent-length: 0", b""),
            Answer::Slow => {
                send(stream, &part(start), b"");
                for piece in rest.chunks(256 << 10) {
                    if (&mut &*stream).write_all(piece).is_err() {
                        return;
                    }
                    thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }
}

fn send(mut stream: &TcpStream, head: &str, body: &[u8]) {
    // Whoever asked may have gone.
    let _ = write!(stream, "HTTP/1.1 {head}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(body);
}
