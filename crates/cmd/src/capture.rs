//! Feeds a program's stdin and reads its outputs, all at once, until it ends or its time is up.

use std::io::{self, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::last_words;
use crate::running::Running;
use crate::{CmdError, Output};

/// How long the pipes may stay open after the program itself ended: a child that it left behind
/// may hold them for ever.
const AFTER_END: Duration = Duration::from_secs(2);
/// How often the end of the program is looked for while it prints nothing.
const TICK: Duration = Duration::from_millis(50);

pub(crate) struct Limits {
    pub(crate) deadline: Duration,
    pub(crate) cap: usize,
}

#[derive(Clone, Copy)]
enum Stream {
    Out,
    Err,
}

/// What was read from a pipe, and when.
struct Chunk {
    stream: Stream,
    bytes: Vec<u8>,
    read: Instant,
}

/// Runs `child` to its end. On its deadline the process group is killed.
pub(crate) fn capture(
    mut child: Running,
    stdin: Vec<u8>,
    limits: &Limits,
    mut on_line: impl FnMut(&str),
) -> Result<Output, CmdError> {
    let chunks = start_pumps(&mut child, stdin);
    let deadline = Instant::now() + limits.deadline;
    let mut kept = Kept::new(limits.cap);
    let mut last_call: Option<Instant> = None;
    let mut open = true;
    loop {
        let mut heard = false;
        if open {
            match chunks.recv_timeout(TICK) {
                // However long it took until somebody looks at it: it came in time.
                Ok(chunk) if last_call.is_none_or(|end| chunk.read <= end) => {
                    kept.take(chunk.stream, &chunk.bytes, &mut on_line);
                    heard = true;
                }
                Ok(_) | Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => open = false,
            }
        }
        let patience = if open { Duration::ZERO } else { TICK };
        if let Some(status) = child.wait_for(patience)? {
            let last_call = *last_call.get_or_insert_with(|| Instant::now() + AFTER_END);
            if !open || (!heard && Instant::now() >= last_call) {
                kept.flush(&mut on_line);
                return Ok(Output { status, stdout: kept.out.bytes, stderr: kept.err.bytes });
            }
        } else if Instant::now() >= deadline {
            child.try_kill()?;
            let tail = last_words(&kept.out.bytes, &kept.err.bytes);
            let line = child.line.clone();
            return Err(CmdError::Deadline { line, deadline: limits.deadline, tail });
        }
    }
}

fn start_pumps(child: &mut Running, stdin: Vec<u8>) -> Receiver<Chunk> {
    let (sender, receiver) = channel();
    if let Some(mut pipe) = child.child.stdin.take() {
        // A program that does not read its stdin is no error; it closes the pipe.
        thread::spawn(move || pipe.write_all(&stdin));
    }
    if let Some(pipe) = child.child.stdout.take() {
        let sender = sender.clone();
        thread::spawn(move || pump(pipe, Stream::Out, &sender));
    }
    if let Some(pipe) = child.child.stderr.take() {
        thread::spawn(move || pump(pipe, Stream::Err, &sender));
    }
    receiver
}

fn pump(mut pipe: impl Read, stream: Stream, sender: &Sender<Chunk>) {
    let mut buffer = [0; 16 << 10];
    loop {
        match pipe.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => {
                let bytes = buffer[..read].to_vec();
                if sender.send(Chunk { stream, bytes, read: Instant::now() }).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(_) => return,
        }
    }
}

/// What has been printed so far, bounded.
struct Kept {
    out: Tail,
    err: Tail,
    cap: usize,
}

#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    partial_line: Vec<u8>,
}

impl Kept {
    fn new(cap: usize) -> Self {
        Self { out: Tail::default(), err: Tail::default(), cap }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8], on_line: &mut impl FnMut(&str)) {
        let tail = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        tail.bytes.extend_from_slice(bytes);
        if tail.bytes.len() > self.cap.saturating_mul(2) {
            tail.bytes.drain(..tail.bytes.len() - self.cap);
        }
        tail.split_lines(bytes, self.cap, on_line);
    }

    fn flush(&mut self, on_line: &mut impl FnMut(&str)) {
        for tail in [&mut self.out, &mut self.err] {
            tail.bytes.drain(..tail.bytes.len().saturating_sub(self.cap));
            if !tail.partial_line.is_empty() {
                on_line(&String::from_utf8_lossy(&tail.partial_line));
            }
        }
    }
}

impl Tail {
    fn split_lines(&mut self, bytes: &[u8], cap: usize, on_line: &mut impl FnMut(&str)) {
        for &byte in bytes {
            if byte == b'\n' || byte == b'\r' || self.partial_line.len() >= cap {
                if !self.partial_line.is_empty() {
                    on_line(&String::from_utf8_lossy(&self.partial_line));
                }
                self.partial_line.clear();
            } else {
                self.partial_line.push(byte);
            }
        }
    }
}
