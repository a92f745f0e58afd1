//! What a guest writes to its serial console: a file that libvirt appends to, and older pieces of
//! it where virtlogd has moved them away.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use crate::runtime::LogsWanted;

/// Bytes that are read at a time: from memory, as a rule, so it is done where it is asked.
const CHUNK: usize = 64 << 10;
/// Chunks that wait for the reader.
const WAITING: usize = 8;
/// Bytes that are searched for the beginning of the last lines.
const MAX_SEARCHED: u64 = 16 << 20;

/// Reads `pieces`, the oldest first; not all of them need be there.
///
/// # Errors
/// The machine's folder is not there, or a piece cannot be read.
pub(super) fn read(
    folder: &Path,
    pieces: Vec<PathBuf>,
    wanted: LogsWanted,
) -> io::Result<mpsc::Receiver<Bytes>> {
    let watch = Watch::new(folder)?;
    let mut open = Vec::new();
    for piece in &pieces {
        match File::open(piece) {
            Ok(file) => open.push(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(error),
        }
    }
    if let Some(lines) = wanted.tail {
        seek_to_last_lines(&mut open, lines)?;
    }
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        for file in &mut open {
            if !pour(file, &sender).await {
                return;
            }
        }
        if let (true, Some(last)) = (wanted.follow, pieces.last()) {
            follow(watch, last, open.pop(), &sender).await;
        }
    });
    Ok(receiver)
}

/// Goes on with what is written; ends when the machine's folder is gone or nobody reads.
async fn follow(watch: Watch, path: &Path, file: Option<File>, to: &mpsc::Sender<Bytes>) {
    // What was opened last may have been an older piece, when the newest was not there yet.
    let mut file = file.filter(|file| is_at(file, path));
    loop {
        watch.also(path);
        if let Some(file) = &mut file
            && !pour(file, to).await
        {
            return;
        }
        if !file.as_ref().is_some_and(|file| is_at(file, path)) {
            match File::open(path) {
                // Moved away, and another one begun: that is read from its beginning.
                Ok(new) => {
                    file = Some(new);
                    continue;
                }
                Err(_) if path.parent().is_none_or(|folder| !folder.is_dir()) => return,
                Err(_) => (),
            }
        }
        tokio::select! {
            // Cancel-safe: what is not read from the watch stays there.
            changed = watch.changed() => if changed.is_err() { return },
            () = to.closed() => return,
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), path.metadata()) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

/// Sends what is left of a file; whether somebody reads on.
async fn pour(file: &mut File, to: &mpsc::Sender<Bytes>) -> bool {
    let mut buffer = vec![0; CHUNK];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return true,
            Ok(read) => {
                if to.send(Bytes::copy_from_slice(&buffer[..read])).await.is_err() {
                    return false;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => {
                tracing::warn!(%error, "cannot read what a guest wrote");
                return false;
            }
        }
    }
}

/// Drops the files before the one in which the last `lines` begin, and seeks there.
fn seek_to_last_lines(files: &mut Vec<File>, lines: u32) -> io::Result<()> {
    let mut wanted = u64::from(lines);
    let mut is_last_byte = true;
    let mut searched = 0;
    for at in (0..files.len()).rev() {
        let mut end = files[at].metadata()?.len();
        while end > 0 {
            let start = end.saturating_sub(CHUNK as u64);
            let mut chunk = vec![0; usize::try_from(end - start).unwrap_or(0)];
            files[at].read_exact_at(&mut chunk, start)?;
            for (offset, byte) in (start..end).rev().zip(chunk.into_iter().rev()) {
                // The newline that ends the last line begins none after it.
                if byte == b'\n' && !is_last_byte {
                    wanted = wanted.saturating_sub(1);
                }
                if wanted == 0 {
                    files.drain(..at);
                    return files[0].seek(SeekFrom::Start(offset + 1)).map(|_| ());
                }
                is_last_byte = false;
            }
            searched += end - start;
            end = start;
            if searched >= MAX_SEARCHED {
                files.drain(..at);
                return files[0].seek(SeekFrom::Start(end)).map(|_| ());
            }
        }
    }
    Ok(())
}

/// Tells when files of a folder come and go, and when one of them is written. To the kernel's
/// events tokio has no safe way but the one for pipes, which asks nothing else of the two.
struct Watch(pipe::Receiver);

impl Watch {
    fn new(folder: &Path) -> io::Result<Self> {
        let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // Not what is written in the folder: the machine's disk lies there too.
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&watch, folder, flags)?;
        Ok(Self(pipe::Receiver::from_owned_fd_unchecked(watch)?))
    }

    /// One that is not there yet is told of by its folder.
    fn also(&self, file: &Path) {
        let flags = WatchFlags::MODIFY | WatchFlags::MOVE_SELF | WatchFlags::DELETE_SELF;
        let _ = inotify::add_watch(&self.0, file, flags);
    }

    /// Returns when something has happened since the last call.
    async fn changed(&self) -> io::Result<()> {
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut [0; 4096]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (),
                other => return other.map(|_| ()),
            }
        }
    }
}

#[cfg(test)]
mod tests;
