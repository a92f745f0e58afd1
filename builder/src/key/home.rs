//! GnuPG homes that hold a secret key for as long as it is used, and no longer: not after an
//! error, not after Ctrl-C, and after a kill only until the next use of a key.
//!
//! A home in use is locked. One that nobody holds was left by a process that was killed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;
use rustix::fs::{FlockOperation, flock};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{emulate_default_handler, pipe};
use tempfile::TempDir;

/// Making a key wants random numbers and GnuPG's agent.
const DEADLINE: Duration = Duration::from_secs(120);
/// Ending the agent, which ends by itself too when its home is gone.
const AGENT_DEADLINE: Duration = Duration::from_secs(5);
/// Short and in /tmp: the agent's socket has a path of at most 107 bytes.
const PARENT: &str = "/tmp";
const PREFIX: &str = "basalt-gpg-";
/// Times a home is made anew when somebody clears it away before it is locked.
const TRIES: usize = 5;

/// The homes of this process, for a signal to remove.
static IN_USE: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// A GnuPG home of our own. It goes, with GnuPG's agent, when this is dropped.
pub(super) struct Home {
    folder: TempDir,
    _lock: File,
}

impl Home {
    pub(super) fn new() -> Result<Self> {
        clear_stale(Path::new(PARENT));
        for _ in 0..TRIES {
            let folder = tempfile::Builder::new()
                .prefix(PREFIX)
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir_in(PARENT)
                .context("cannot make a folder for the key")?;
            IN_USE.lock().unwrap_or_else(PoisonError::into_inner).push(folder.path().to_owned());
            if let Some(lock) = lock(folder.path()) {
                return Ok(Self { folder, _lock: lock });
            }
        }
        bail!("cannot keep a folder for the key in `{PARENT}`")
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn gpg(&self) -> Cmd {
        Cmd::new("gpg")
            .args(["--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", "--homedir"])
            .arg(self.path())
            .deadline(DEADLINE)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        end_agent(self.path());
    }
}

/// Removes the homes of this process when a signal ends it, and then lets it end as if nobody had
/// looked. Called once, before the first key is used.
///
/// # Errors
/// The system does not let the signals be waited for.
pub fn clear_on_signals() -> Result<()> {
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        if is_ignored(signal) {
            // As `nohup` wants it.
            continue;
        }
        let (mut reader, writer) = UnixStream::pair().context("cannot wait for signals")?;
        pipe::register(signal, writer).context("cannot wait for signals")?;
        std::thread::spawn(move || {
            if reader.read_exact(&mut [0]).is_ok() {
                for home in IN_USE.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    remove(home);
                }
                let _ = emulate_default_handler(signal);
            }
        });
    }
    Ok(())
}

/// Whether this process was started with `signal` ignored.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Locks a home for as long as the file is open; `None` when somebody else has it or cleared it
/// away meanwhile.
fn lock(home: &Path) -> Option<File> {
    let folder = File::open(home).ok()?;
    flock(&folder, FlockOperation::NonBlockingLockExclusive).ok()?;
    let (held, there) = (folder.metadata().ok()?, fs::metadata(home).ok()?);
    (held.ino() == there.ino()).then_some(folder)
}

/// Removes our homes that no process holds.
fn clear_stale(parent: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_home = entry.file_name().to_string_lossy().starts_with(PREFIX);
        let is_ours = fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir() && m.uid() == own);
        if is_home
            && is_ours
            && let Some(_lock) = lock(&path)
        {
            remove(&path);
        }
    }
}

/// Ends the agent of a home and removes it.
fn remove(home: &Path) {
    if !home.exists() {
        return;
    }
    end_agent(home);
    match fs::remove_dir_all(home) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("cannot remove `{}`: {error}", home.display());
        }
        _ => (),
    }
}

fn end_agent(home: &Path) {
    let command = Cmd::new("gpgconf").arg("--homedir").arg(home).args(["--kill", "all"]);
    // One that does not end here does so by itself when its home is gone.
    let _ = command.deadline(AGENT_DEADLINE).output();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_that_nobody_holds_is_cleared_and_no_other() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        for name in ["basalt-gpg-held", "basalt-gpg-left", "other"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("secret"), "s").unwrap();
        }
        let held = lock(&at("basalt-gpg-held"));
        assert!(held.is_some());
        clear_stale(parent.path());
        let there = ["basalt-gpg-held", "basalt-gpg-left", "other"].map(|name| at(name).exists());
        assert_eq!(there, [true, false, true]);
    }

    #[test]
    fn a_home_goes_with_its_agent() {
        let home = Home::new().unwrap();
        let path = home.path().to_owned();
        home.gpg().args(["--passphrase", "", "--quick-generate-key", "test"]).run().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        drop(home);
        assert!(!path.exists());
    }
}
