//! A program that listens on a port.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_cmd::{Cmd, Running};

/// On a slow and busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks.
const TICK: Duration = Duration::from_millis(20);
/// Lines of its log that an error shows.
const LAST_LINES: usize = 10;

/// A program that listens, and its log. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Service {
    _running: Running,
}

impl Service {
    /// Starts it, its log appended to `log`, and waits until it listens at `address`.
    pub(crate) fn start(cmd: Cmd, address: SocketAddr, log: &Path) -> Result<Self> {
        let line = cmd.line();
        let open = || File::options().create(true).append(true).open(log);
        let (out, err) = open()
            .and_then(|out| Ok((out.try_clone()?, out)))
            .with_context(|| format!("cannot write `{}`", log.display()))?;
        let mut running = cmd.spawn(Stdio::null(), out.into(), err.into())?;
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = running.wait_for(TICK)? {
                bail!("`{line}` ended with {status}: {}", last_lines(log));
            }
            if Instant::now() > end {
                let seconds = DEADLINE.as_secs();
                bail!("`{line}` does not listen after {seconds} s: {}", last_lines(log));
            }
        }
        Ok(Self { _running: running })
    }
}

/// A port of loopback that nobody has now. Another program can take it before it is used; whoever
/// wanted it then says so.
pub(crate) fn free_port() -> Result<SocketAddr> {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    held.and_then(|held| held.local_addr()).context("there is no free port on 127.0.0.1")
}

/// Makes a folder that is not there yet.
pub(crate) fn folder(path: PathBuf) -> Result<PathBuf> {
    match std::fs::create_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make the folder `{}`", path.display()))
        }
        _ => Ok(path),
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_ends_is_told_with_its_last_words() {
        let folder = tempfile::tempdir().unwrap();
        let cmd = Cmd::new("/bin/sh").args(["-c", "echo no such thing >&2; exit 3"]);
        let error = Service::start(cmd, free_port().unwrap(), &folder.path().join("log"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains("exit status: 3: no such thing"), "{error}");
    }

    #[test]
    fn a_program_listens_before_it_counts_as_started() {
        let folder = tempfile::tempdir().unwrap();
        let address = free_port().unwrap();
        let cmd = Cmd::new("busybox").args(["httpd", "-f", "-p", &address.to_string()]);
        let service = Service::start(cmd, address, &folder.path().join("log")).unwrap();
        drop(service);
        // What it forked for our connection was killed too, and may hold the port a moment longer.
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(address).is_ok() {
            assert!(Instant::now() < end, "it ends with what stands for it");
            std::thread::sleep(TICK);
        }
    }
}
