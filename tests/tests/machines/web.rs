//! A web server that misbehaves as it is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What it answers to every request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// These bytes.
    Bytes(Vec<u8>),
    /// That they are there, and so many of them, and no more.
    Promise(u64),
    /// So many of these bytes at a time, from where it is asked to, and then the connection breaks.
    Pieces(Vec<u8>, usize),
    /// Bytes without end.
    Endless,
    /// A few bytes, and then silence.
    Silence,
    /// Another place.
    Redirect(String),
    /// That it is not there.
    Missing,
}

/// A server on loopback; it ends with the test's process.
pub(crate) struct Web {
    pub(crate) port: u16,
    asked: Arc<AtomicUsize>,
    /// From which byte each was to begin.
    begins: Arc<Mutex<Vec<usize>>>,
    /// How many connections were closed from the other side while it was silent.
    left: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
}

impl Web {
    pub(crate) fn new(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (asked, begins, left) = (Arc::default(), Arc::default(), Arc::default());
        let web = Self { port, asked, begins, left, answer: Arc::new(Mutex::new(answer)) };
        let (asked, left, answer) =
            (Arc::clone(&web.asked), Arc::clone(&web.left), Arc::clone(&web.answer));
        let begins = Arc::clone(&web.begins);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                asked.fetch_add(1, Ordering::Relaxed);
                let (left, answer) = (Arc::clone(&left), answer.lock().unwrap().clone());
                let begins = Arc::clone(&begins);
                thread::spawn(move || serve(stream, answer, &left, &begins));
            }
        });
        web
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/image?token=canary", self.port)
    }

    /// How it is named in a list of what is allowed.
    pub(crate) fn name(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    pub(crate) fn begins(&self) -> Vec<usize> {
        self.begins.lock().unwrap().clone()
    }

    pub(crate) fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: TcpStream, answer: Answer, left: &AtomicUsize, begins: &Mutex<Vec<usize>>) {
    stream.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => request.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    let request = String::from_utf8_lossy(&request).to_ascii_lowercase();
    let range =
        request.lines().find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-'));
    let begin: usize = range.map_or(0, |begin| begin.parse().unwrap());
    begins.lock().unwrap().push(begin);
    let head =
        |line: &str, more: &str| format!("HTTP/1.1 {line}\r\nConnection: close\r\n{more}\r\n");
    let length = |length: u64| format!("Content-Length: {length}\r\n");
    let mut send = |bytes: &[u8]| stream.write_all(bytes).is_ok();
    match answer {
        Answer::Bytes(bytes) => {
            let _ = send(head("200 OK", &length(bytes.len() as u64)).as_bytes()) && send(&bytes);
        }
        Answer::Pieces(bytes, most) => {
            let rest = &bytes[begin.min(bytes.len())..];
            let (last, all) = (bytes.len() - 1, bytes.len());
            let head = match range {
                None => head("200 OK", &length(all as u64)),
                Some(_) => {
                    let range = format!("Content-Range: bytes {begin}-{last}/{all}\r\n");
                    head("206 Partial Content", &format!("{range}{}", length(rest.len() as u64)))
                }
            };
            let _ = send(head.as_bytes()) && send(&rest[..most.min(rest.len())]);
        }
        Answer::Promise(promised) => {
            send(head("200 OK", &length(promised)).as_bytes());
        }
        Answer::Endless => {
            if send(head("200 OK", "").as_bytes()) {
                while send(&[b'x'; 65_536]) {}
            }
        }
        Answer::Silence => {
            send(head("200 OK", &length(1 << 20)).as_bytes());
            send(b"a few bytes");
            if !matches!(stream.read(&mut buffer), Ok(1..)) {
                left.fetch_add(1, Ordering::Relaxed);
            }
        }
        Answer::Redirect(to) => {
            send(head("302 Found", &format!("Location: {to}\r\n{}", length(0))).as_bytes());
        }
        Answer::Missing => {
            send(head("404 Not Found", &length(0)).as_bytes());
        }
    }
}
