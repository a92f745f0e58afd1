//! Stands between `hostd` and its engine, and kills `hostd` (SIGKILL) at one moment: as a request
//! is on its way, or as its answer is.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};

/// Bytes that are passed on at once; the head of a request is smaller, and comes in one piece.
const PIECE: usize = 64 << 10;

/// On which side of a request the cut is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The engine never hears of it.
    Before,
    /// The engine has done it, and nobody hears of that.
    After,
}

/// A moment in what `hostd` asks of an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The method of the request.
    pub method: &'static str,
    /// What its path has in it.
    pub path: &'static str,
    /// Which side of it.
    pub side: Side,
}

/// An engine's socket, as `hostd` sees it.
#[derive(Debug, Clone)]
pub struct Cut {
    socket: PathBuf,
    armed: Arc<Mutex<Option<(Moment, Pid)>>>,
    is_shut: Arc<AtomicBool>,
}

impl Moment {
    fn is_in(&self, request: &[u8]) -> bool {
        let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let mut words = line.split(' ');
        words.next() == Some(self.method)
            && words.next().is_some_and(|path| path.contains(self.path))
    }
}

impl Cut {
    /// Passes on everything between `socket`, which is made, and the engine's.
    ///
    /// # Panics
    /// The socket cannot be made.
    #[must_use]
    pub fn between(socket: &Path, engine: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        let cut =
            Self { socket: socket.to_owned(), armed: Arc::default(), is_shut: Arc::default() };
        let (of_thread, engine) = (cut.clone(), engine.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                of_thread.pass(client, &engine);
            }
        });
        cut
    }

    /// Where `hostd` asks.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Kills this process at the next such moment.
    ///
    /// # Panics
    /// It is no process id.
    pub fn at(&self, moment: Moment, process: u32) {
        let pid = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process id");
        *self.armed() = Some((moment, pid));
    }

    /// Whether the moment was there.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        self.armed().is_none()
    }

    /// Lets nobody through who comes from now on: the engine is away.
    pub fn shut(&self) {
        self.is_shut.store(true, Ordering::SeqCst);
    }

    /// Lets everybody through again.
    pub fn open(&self) {
        self.is_shut.store(false, Ordering::SeqCst);
    }

    fn armed(&self) -> MutexGuard<'_, Option<(Moment, Pid)>> {
        self.armed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, client: UnixStream, engine: &Path) {
        if self.is_shut.load(Ordering::SeqCst) {
            return;
        }
        // A client whose engine is away sees its connection end.
        let Ok(engine) = UnixStream::connect(engine) else { return };
        let (Ok(asks), Ok(answers)) = (client.try_clone(), engine.try_clone()) else { return };
        let (cut, is_due) = (self.clone(), Arc::new(Mutex::new(false)));
        let (of_answers, waits) = (self.clone(), Arc::clone(&is_due));
        std::thread::spawn(move || {
            pump(asks, engine, |piece| cut.hears(piece, &is_due));
        });
        std::thread::spawn(move || {
            let is_due = || *waits.lock().unwrap_or_else(PoisonError::into_inner);
            pump(answers, client, |_| is_due() && of_answers.kill());
        });
    }

    /// Whether it is cut before this request.
    fn hears(&self, request: &[u8], is_due: &Mutex<bool>) -> bool {
        let Some((moment, _)) = *self.armed() else { return false };
        match moment.side {
            Side::Before => moment.is_in(request) && self.kill(),
            Side::After => {
                *is_due.lock().unwrap_or_else(PoisonError::into_inner) |= moment.is_in(request);
                false
            }
        }
    }

    /// Once.
    fn kill(&self) -> bool {
        let armed = self.armed().take();
        armed.is_some_and(|(_, pid)| kill_process(pid, Signal::KILL).is_ok())
    }
}

/// Passes on what comes, until it ends or a piece is the last.
fn pump(mut from: UnixStream, mut to: UnixStream, mut is_last: impl FnMut(&[u8]) -> bool) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if is_last(&piece[..length]) || to.write_all(&piece[..length]).is_err() {
            let _ = from.shutdown(Shutdown::Both);
            break;
        }
    }
    // Half of it: an answer may still be on its way.
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_by_the_first_line_alone() {
        let moment = Moment { method: "DELETE", path: "/volumes/", side: Side::Before };
        assert!(moment.is_in(b"DELETE /v1.41/volumes/a HTTP/1.1\r\nHost: b\r\n\r\n"));
        assert!(!moment.is_in(b"GET /v1.41/volumes/a HTTP/1.1\r\n\r\n"));
        assert!(!moment.is_in(b"DELETE /v1.41/containers/a HTTP/1.1\r\nX: /volumes/\r\n\r\n"));
    }
}
