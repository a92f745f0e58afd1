//! The number of this start of `hostd`, above that of every earlier one: in a small file of its
//! own, so that a ledger that is lost or cannot be written makes nobody look like its own copy.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use basalt_durable::PRIVATE;

const FILE: &str = "session";
/// Bytes of the file that are read: more than any number has.
const MAX_BYTES: u64 = 32;

/// The next one, above `before` and the one in the file, and at least `now` in seconds since 1970:
/// so it rises even where neither could be read or written.
pub(super) fn next(folder: &Path, before: u64, now: u64) -> u64 {
    let last = read(folder).unwrap_or_default().max(before);
    now.max(last.saturating_add(1))
}

/// Keeps it for the next start.
///
/// # Errors
/// It cannot be written.
pub(super) fn keep(folder: &Path, session: u64) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    basalt_durable::write(&folder.join(FILE), format!("{session}\n").as_bytes(), PRIVATE)
}

fn read(folder: &Path) -> Option<u64> {
    let mut text = String::new();
    let file = File::open(folder.join(FILE)).ok()?;
    file.take(MAX_BYTES).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_whatever_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(next(folder.path(), 0, 100), 100);
        keep(folder.path(), 100).unwrap();
        assert_eq!(next(folder.path(), 0, 7), 101);
        assert_eq!(next(folder.path(), 200, 7), 201);
        fs::write(folder.path().join(FILE), "torn").unwrap();
        assert_eq!(next(folder.path(), 0, 300), 300);
    }
}
