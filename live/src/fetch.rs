//! Brings the rootfs into a file, checked while it comes.

mod volume;
mod web;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_live::{Rootfs, Source};
use ring::digest::{self, SHA256};

use crate::console::say;

/// The slowest fetch that is still waited for, in bytes a second.
const SLOWEST: u64 = 50_000;
/// What any fetch may take, however little there is to fetch.
const ANYWAY: Duration = Duration::from_secs(15 * 60);
/// How often it is said how far it is.
const SAY: Duration = Duration::from_secs(5);
const PIECE: usize = 128 << 10;

/// Brings `rootfs` from where it lies into the file `to`, which is there only if it is that one.
///
/// # Errors
/// Nobody gives it, what came is another, or there is no memory.
pub fn fetch(from: &Source, rootfs: &Rootfs, to: &Path) -> Result<()> {
    match from {
        Source::Web(url) => web::fetch(url, rootfs, to),
        Source::Volume(file) => volume::fetch(file, rootfs, to),
    }
}

/// Takes what comes into the file `to`, which is there only if it is `rootfs`.
fn take_into(from: &mut impl Read, rootfs: &Rootfs, to: &Path) -> Result<()> {
    let part = to.with_extension("part");
    let file = File::create(&part).with_context(|| format!("cannot make `{}`", part.display()))?;
    take(from, rootfs, file)?;
    fs::rename(&part, to).with_context(|| format!("cannot name `{}`", to.display()))
}

/// Takes all of it and no more, and compares it with what it must be.
fn take(from: &mut impl Read, rootfs: &Rootfs, mut to: impl Write) -> Result<()> {
    let mut pace = Pace::new(rootfs.size);
    let mut hash = digest::Context::new(&SHA256);
    let mut buffer = vec![0; PIECE];
    let mut done: u64 = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("it broke off"),
        };
        done += read as u64;
        if done > rootfs.size {
            return Err(another(&format!("goes on after {} bytes", rootfs.size)));
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read]).map_err(no_memory)?;
        pace.goes_on(done, Instant::now())?;
    }
    if done != rootfs.size {
        return Err(another(&format!("ends after {done} bytes, not {}", rootfs.size)));
    }
    let found = hex::encode(hash.finish());
    if found != rootfs.sha256 {
        return Err(another(&format!("has the SHA-256 {found} and not {}", rootfs.sha256)));
    }
    Ok(())
}

fn another(how: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "what is there is not the rootfs of this initrd: it {how}\nhint: kernel, initrd and rootfs \
         of one build belong together"
    )
}

fn no_memory(error: io::Error) -> anyhow::Error {
    anyhow::Error::from(error).context("there is no room for it in memory")
}

/// How fast it comes.
struct Pace {
    size: u64,
    began: Instant,
    said: Instant,
}

impl Pace {
    fn new(size: u64) -> Self {
        let now = Instant::now();
        Self { size, began: now, said: now }
    }

    /// Says now and then how far it is, and gives up what comes by drops.
    fn goes_on(&mut self, done: u64, now: Instant) -> Result<()> {
        let elapsed = now - self.began;
        let allowed = allowed(self.size);
        if elapsed > allowed {
            bail!("{done} bytes came in {} s, which is too slow", allowed.as_secs());
        }
        if now - self.said >= SAY {
            self.said = now;
            say(&progress(done, self.size, elapsed));
        }
        Ok(())
    }
}

/// How long a fetch of so many bytes may take. Pure.
fn allowed(size: u64) -> Duration {
    ANYWAY + Duration::from_secs(size / SLOWEST)
}

fn progress(done: u64, size: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(0.001) / 1e6;
    format!("{} of {} MB, {rate:.1} MB/s", done / 1_000_000, size / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rootfs(bytes: &[u8]) -> Rootfs {
        let hash = hex::encode(digest::digest(&SHA256, bytes));
        Rootfs::new("base", "5", bytes.len() as u64, &hash)
    }

    /// What is said of `came` where `named` was to come.
    fn check(named: &[u8], came: &[u8], expected: &str) {
        let mut taken = Vec::new();
        let error = take(&mut &*came, &rootfs(named), &mut taken).unwrap_err();
        let told = basalt_explain::explain(&error);
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn the_rootfs_that_the_initrd_names_is_taken_and_no_other() {
        let mut taken = Vec::new();
        take(&mut &b"a rootfs"[..], &rootfs(b"a rootfs"), &mut taken).unwrap();
        assert_eq!(taken, b"a rootfs");
        check(b"a rootfs", b"a r00tfs", "has the SHA-256");
        check(b"a rootfs", b"a root", "ends after 6 bytes, not 8");
        check(b"a rootfs", b"a rootfs, and more", "goes on after 8 bytes");
        check(b"a rootfs", b"", "hint: kernel, initrd and rootfs of one build belong together");
    }

    #[test]
    fn what_finds_no_room_is_told() {
        let full = &mut [0; 3][..];
        let error = take(&mut &b"a rootfs"[..], &rootfs(b"a rootfs"), full).unwrap_err();
        assert!(error.to_string().contains("no room for it in memory"), "{error:#}");
    }

    #[test]
    fn what_comes_by_drops_is_given_up_and_no_sooner() {
        let mut pace = Pace::new(300_000_000);
        let limit = allowed(pace.size);
        assert_eq!(limit.as_secs(), 900 + 6000);
        let began = pace.began;
        pace.goes_on(1, began + limit).unwrap();
        let late = pace.goes_on(1, began + limit + Duration::from_secs(1)).unwrap_err();
        assert_eq!(late.to_string(), "1 bytes came in 6900 s, which is too slow");
    }

    #[test]
    fn progress_says_how_much_and_how_fast() {
        let said = progress(30_000_000, 300_000_000, Duration::from_secs(10));
        assert_eq!(said, "30 of 300 MB, 3.0 MB/s");
    }
}
