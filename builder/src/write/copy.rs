//! The image onto the medium, all but its first and its last piece, and the look whether it is
//! there.
//!
//! The first piece has the partition table and the last its backup: without them nothing boots from
//! the medium, however much else is on it. Both are handed back to be written once all else was
//! found to be what it should be.

use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::edits::erase;
use super::medium::{Buffer, Medium};
use super::source::{Piece, Source};
use super::stop::Stop;
use crate::disk::digest::{ImageDigest, PIECE, PieceHash, is_zero, piece_hash};
use crate::progress::Step;

/// Pieces that are read ahead of those that are written.
const AHEAD: usize = 8;
/// How often is looked whether somebody wants it to stop.
const TICK: Duration = Duration::from_millis(100);
/// Of a piece, what is written at a time; zeros of that length are left out.
const PART: usize = 64 << 10;
/// What is made zeros at a time.
const ZEROED: u64 = 1 << 30;

/// What lies on the medium where nothing was written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blank {
    /// Zeros, which a new file has by itself: nothing need be written there, and nothing read back.
    New,
    /// Zeros, which a disk was told to make: they are read back.
    Zeroed,
    /// Anything.
    Unknown,
}

/// What was written, to be compared with what is there.
pub(super) struct Copied {
    /// The hash of each piece; `None` where it is all zeros.
    pieces: Vec<Option<PieceHash>>,
    size: u64,
    blank: Blank,
    /// The first piece, which was not written.
    pub(super) first: Vec<u8>,
    /// The last piece, which was not written either.
    pub(super) last: Vec<u8>,
}

/// Who looks on while it goes on.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    /// Where it is shown.
    pub(super) step: &'a Step,
    /// Who may end it.
    pub(super) stop: &'a Stop,
}

struct Arrived {
    piece: Piece,
    hash: Option<PieceHash>,
}

/// Makes the medium's beginning and end zeros: from here on nothing boots from it.
///
/// # Errors
/// It cannot be written; what was there may still boot.
pub(super) fn erase_ends(medium: &mut dyn Medium) -> Result<()> {
    let end = medium.size().saturating_sub(PIECE);
    erase(medium, PIECE).context("cannot write its beginning")?;
    let length = (medium.size() - end) as usize;
    medium.write_at(&Buffer::zeroed(length), end).context("cannot write its end")?;
    medium.sync().context("cannot make safe what was written")
}

/// Makes zeros of all that the image takes, on a disk that can: so nothing of before is taken for
/// something of now.
///
/// # Errors
/// It cannot be written, or somebody wants it to stop.
pub(super) fn clear(medium: &mut dyn Medium, size: u64, watch: Watch<'_>) -> Result<Blank> {
    let mut done = 0;
    while done < size {
        watch.stop.check()?;
        let length = ZEROED.min(size - done);
        if !medium.zero(done, length).with_context(|| format!("cannot write byte {done}"))? {
            // A part may be zeros by now: it is written as if it was not.
            return Ok(Blank::Unknown);
        }
        done += length;
        watch.step.bytes(done, size);
    }
    Ok(Blank::Zeroed)
}

/// Copies the image of `size` bytes, but for its first and last piece. `first` is what was read of
/// it already.
///
/// # Errors
/// It cannot be read to its end, cannot be written, or somebody wants it to stop.
pub(super) fn copy(
    source: Source,
    medium: &mut dyn Medium,
    plan: (u64, Blank),
    first: Piece,
    watch: Watch<'_>,
) -> Result<Copied> {
    let (size, blank) = plan;
    let count = size.div_ceil(PIECE);
    let first = first.into_bytes(PIECE.min(size));
    let mut copied =
        Copied { pieces: vec![piece_hash(&first)], size, blank, first, last: Vec::new() };
    let arriving = read_ahead(source, size, count);
    for index in 1..count {
        let Arrived { piece, hash } = next(&arriving, watch.stop)?;
        let start = index * PIECE;
        let length = PIECE.min(size - start);
        copied.pieces.push(hash);
        if index + 1 == count {
            copied.last = piece.into_bytes(length);
        } else {
            write(medium, &piece, (start, length), blank)?;
        }
        watch.step.bytes(start + length, size);
    }
    // What the reader says last is whether the image ended where it should.
    match arriving.recv() {
        Err(_) => (),
        Ok(end) => {
            end?;
        }
    }
    medium.sync().context("cannot make safe what was written")?;
    Ok(copied)
}

/// Reads in a thread of its own, so that both sides are busy. Nobody waits for it: it ends with the
/// program, or when nobody takes what it read.
fn read_ahead(mut source: Source, size: u64, count: u64) -> Receiver<Result<Arrived>> {
    let (give, arriving) = sync_channel(AHEAD);
    thread::spawn(move || {
        for _ in 1..count {
            let read = source.piece(size).map(|piece| {
                let hash = match &piece {
                    Piece::Zeros => None,
                    Piece::Data(bytes) => piece_hash(bytes),
                };
                Arrived { piece, hash }
            });
            let failed = read.is_err();
            if give.send(read.context("cannot read the image")).is_err() || failed {
                return;
            }
        }
        if let Err(error) = source.end(size) {
            // Nobody listens who has given up.
            let _ = give.send(Err(error).context("cannot read the image"));
        }
    });
    arriving
}

fn next(arriving: &Receiver<Result<Arrived>>, stop: &Stop) -> Result<Arrived> {
    loop {
        stop.check()?;
        match arriving.recv_timeout(TICK) {
            Ok(arrived) => return arrived,
            Err(RecvTimeoutError::Timeout) => (),
            Err(RecvTimeoutError::Disconnected) => bail!("cannot read the image: its reader died"),
        }
    }
}

fn write(medium: &mut dyn Medium, piece: &Piece, at: (u64, u64), blank: Blank) -> Result<()> {
    let (start, length) = at;
    match piece {
        Piece::Data(bytes) => write_parts(medium, bytes, start, blank),
        Piece::Zeros if blank != Blank::Unknown => Ok(()),
        Piece::Zeros => write_parts(medium, &Buffer::zeroed(length as usize), start, blank),
    }
    .with_context(|| format!("cannot write byte {start}"))
}

/// Writes a piece; leaves zeros out where zeros are.
fn write_parts(
    medium: &mut dyn Medium,
    bytes: &[u8],
    start: u64,
    blank: Blank,
) -> std::io::Result<()> {
    let is_left_out = is_left_out(medium, bytes, start, blank)?;
    let mut at = 0;
    while at < is_left_out.len() {
        let run = is_left_out[at..].iter().take_while(|out| **out == is_left_out[at]).count();
        let end = ((at + run) * PART).min(bytes.len());
        if !is_left_out[at] {
            medium.write_at(&bytes[at * PART..end], start + (at * PART) as u64)?;
        }
        at += run;
    }
    Ok(())
}

/// Which parts of a piece need not be written. Where nobody knows what is on the medium it is read:
/// that is faster than writing on whatever cannot make zeros by itself.
fn is_left_out(
    medium: &mut dyn Medium,
    bytes: &[u8],
    start: u64,
    blank: Blank,
) -> std::io::Result<Vec<bool>> {
    let mut zeros: Vec<bool> = bytes.chunks(PART).map(is_zero).collect();
    if blank != Blank::Unknown || !zeros.contains(&true) {
        return Ok(zeros);
    }
    let mut there = Buffer::zeroed(bytes.len());
    medium.read_at(&mut there, start)?;
    for (zero, there) in zeros.iter_mut().zip(there.chunks(PART)) {
        *zero &= is_zero(there);
    }
    Ok(zeros)
}

impl Copied {
    /// The digest of the image that was read.
    #[must_use]
    pub(super) fn digest(&self) -> String {
        let mut digest = ImageDigest::new(self.size);
        for (index, hash) in self.pieces.iter().enumerate() {
            if let Some(hash) = hash {
                digest.add(index as u64, hash);
            }
        }
        digest.finish()
    }

    /// Reads back what was written and compares it.
    ///
    /// # Errors
    /// Something else is there, cannot be read, or somebody wants it to stop.
    pub(super) fn check(&self, medium: &mut dyn Medium, watch: Watch<'_>) -> Result<()> {
        let inner = 1..self.pieces.len().saturating_sub(1);
        let is_looked_at =
            |index: &usize| self.pieces[*index].is_some() || self.blank != Blank::New;
        let all: Vec<usize> = inner.filter(is_looked_at).collect();
        let total = all.len() as u64 * PIECE;
        for (done, index) in (1..).zip(&all) {
            watch.stop.check()?;
            self.check_piece(medium, *index)?;
            watch.step.bytes(done * PIECE, total);
        }
        Ok(())
    }

    fn check_piece(&self, medium: &mut dyn Medium, index: usize) -> Result<()> {
        let start = index as u64 * PIECE;
        let mut there = Buffer::zeroed(PIECE.min(self.size - start) as usize);
        let doing = || format!("cannot read back byte {start}");
        medium.read_at(&mut there, start).with_context(doing)?;
        if piece_hash(&there) == self.pieces[index] {
            return Ok(());
        }
        Err(anyhow!(
            "what was written from byte {start} to {} reads back otherwise\nhint: the disk is bad, \
             or is smaller than it says; use another one",
            start + there.len() as u64
        ))
    }
}

impl Piece {
    fn into_bytes(self, length: u64) -> Vec<u8> {
        match self {
            Self::Zeros => vec![0; length as usize],
            Self::Data(bytes) => bytes.to_vec(),
        }
    }
}
