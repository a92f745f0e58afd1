//! A web server of an archive that does what servers do on bad days, and counts what it sends.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How a request for a path that has this in it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Half of it comes, and then nothing more.
    Stall(&'static str),
    /// Half of it comes, and the connection ends.
    Truncate(&'static str),
    /// Something else of the same length comes.
    Lie(&'static str),
    /// Nobody answers any more once so many of them were sent.
    StopAfter(&'static str, usize),
}

pub(super) struct Server {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    root: PathBuf,
    fault: Mutex<Option<Fault>>,
    /// Path and bytes of what was sent whole.
    sent: Mutex<Vec<(String, usize)>>,
    is_over: AtomicBool,
}

impl Server {
    pub(super) fn of(root: &Path) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            root: root.to_owned(),
            fault: Mutex::default(),
            sent: Mutex::default(),
            is_over: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let state = Arc::clone(&shared);
                thread::spawn(move || state.answer(stream));
            }
        });
        Self { address, state }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn does(&self, fault: Option<Fault>) {
        *self.state.fault.lock().unwrap() = fault;
    }

    /// What was sent since this was asked last, of paths that have this in them.
    pub(super) fn sent(&self, part: &str) -> Vec<(String, usize)> {
        let all = std::mem::take(&mut *self.state.sent.lock().unwrap());
        all.into_iter().filter(|(path, _)| path.contains(part)).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.does(None);
        self.state.is_over.store(true, Ordering::SeqCst);
        // So that it looks.
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn answer(&self, stream: TcpStream) -> Option<()> {
        let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
        let line = lines.next()?.ok()?;
        let path = line.split(' ').nth(1)?.to_owned();
        while !lines.next()?.ok()?.is_empty() {}
        self.reply(stream, &path).ok()
    }

    fn reply(&self, mut stream: TcpStream, path: &str) -> io::Result<()> {
        let Ok(mut body) = fs::read(self.root.join(path.trim_start_matches('/'))) else {
            return write!(
                stream,
                "HTTP/1.1 404 None\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        };
        let fault = *self.fault.lock().unwrap();
        let is_meant = |part: &str| path.contains(part);
        if let Some(Fault::StopAfter(part, number)) = fault {
            let sent = self.sent.lock().unwrap();
            if sent.iter().filter(|(path, _)| path.contains(part)).count() >= number {
                return Ok(());
            }
        }
        let length = body.len();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")?;
        match fault {
            Some(Fault::Stall(part)) if is_meant(part) => {
                stream.write_all(&body[..length / 2])?;
                while self.fault.lock().unwrap().is_some() {
                    thread::sleep(Duration::from_millis(20));
                }
                return Ok(());
            }
            Some(Fault::Truncate(part)) if is_meant(part) => {
                return stream.write_all(&body[..length / 2]);
            }
            Some(Fault::Lie(part)) if is_meant(part) => {
                for byte in &mut body {
                    *byte = !*byte;
                }
            }
            _ => (),
        }
        // Before it is read: who has read it may look.
        self.sent.lock().unwrap().push((path.to_owned(), length));
        stream.write_all(&body)
    }
}
