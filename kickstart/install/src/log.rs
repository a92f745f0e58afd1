//! What the installer says: on stderr, on every console that shall show it, and from the moment on
//! that there is a place for it in a file on the installed host.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs, UdpSocket};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use basalt_api::install::InstallState;

use crate::reporter::Reporter;

/// Bytes that are kept as long as there is no file; the last ones.
const KEPT: usize = 1 << 20;

/// The log of one installation.
#[derive(Debug, Default)]
pub(crate) struct Log {
    consoles: Vec<PathBuf>,
    said: String,
    file: Option<File>,
    server: Option<UdpSocket>,
    endpoint: Option<Reporter>,
}

impl Log {
    /// One that also speaks on every console that the kernel has.
    #[must_use]
    pub(crate) fn on_consoles() -> Self {
        Self { consoles: basalt_consoles::active(), ..Self::default() }
    }

    /// Says one or several lines.
    pub(crate) fn say(&mut self, text: &str) {
        for line in text.lines() {
            for console in &self.consoles {
                let _ = basalt_consoles::show(console, line);
            }
            let line = format!("{line}\n");
            // Nobody listens there any more; the others still do.
            let _ = io::stderr().write_all(line.as_bytes());
            if let Some(server) = &self.server {
                // Facility 16, severity 6; it may be away.
                let _ = server.send(format!("<134>1 - - basalt-install - - - {line}").as_bytes());
            }
            self.keep(&line);
        }
    }

    /// Says it, and tells the endpoint, where one is told.
    pub(crate) fn tell(&mut self, state: InstallState, text: &str) {
        self.say(text);
        if let Some(endpoint) = &self.endpoint {
            endpoint.tell(state, text);
        }
    }

    /// From now on an endpoint is told what is [told](Self::tell).
    pub(crate) fn also_to_endpoint(&mut self, reporter: Reporter) {
        self.endpoint = Some(reporter);
    }

    /// Waits until the endpoint knows how it ended, and says where it does not.
    pub(crate) fn end_with_endpoint(&mut self) {
        if let Some(Err(error)) = self.endpoint.take().map(Reporter::finish) {
            self.say(&format!("warning: the endpoint does not know how it ended: {error:#}"));
        }
    }

    /// From now on a server that takes syslog (RFC 5424, over UDP) hears it, too.
    ///
    /// # Errors
    /// There is no way to it.
    pub(crate) fn also_to(&mut self, host: &str, port: u16) -> io::Result<()> {
        let host = host.trim_matches(['[', ']']);
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in (host, port).to_socket_addrs()? {
            let any: IpAddr = match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let socket = UdpSocket::bind((any, 0));
            match socket.and_then(|socket| socket.connect(address).map(|()| socket)) {
                Ok(socket) => {
                    self.server = Some(socket);
                    return Ok(());
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// From now on all of it, what was said before too, is in this file, which only root reads.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn begin_file(&mut self, path: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).append(true).mode(0o600).open(path)?;
        file.write_all(self.said.as_bytes())?;
        self.file = Some(file);
        Ok(())
    }

    /// Makes the file safe, and closes it.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn end_file(&mut self) -> io::Result<()> {
        self.file.take().map_or(Ok(()), |file| file.sync_all())
    }

    fn keep(&mut self, line: &str) {
        if let Some(file) = &mut self.file {
            // A disk that is full or bad is told by what matters more.
            let _ = file.write_all(line.as_bytes());
        }
        self.said.push_str(line);
        if self.said.len() > KEPT {
            let from = self.said.len() - KEPT;
            let from = self.said[from..].find('\n').map_or(from, |at| from + at + 1);
            self.said.drain(..from);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_has_what_was_said_before_it_and_after() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log::default();
        log.say("one\ntwo");
        log.begin_file(&path).unwrap();
        log.say("three");
        log.end_file().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        log.say("four");
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn a_server_hears_each_line() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let mut log = Log::default();
        log.also_to("127.0.0.1", server.local_addr().unwrap().port()).unwrap();
        log.say("one");
        let mut bytes = [0; 256];
        let length = server.recv(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"<134>1 - - basalt-install - - - one\n");
    }

    #[test]
    fn what_is_kept_in_memory_is_bounded() {
        let mut log = Log::default();
        for _ in 0..3 {
            log.keep(&("x".repeat(KEPT / 2) + "\n"));
        }
        assert!(log.said.len() <= KEPT && log.said.starts_with('x'));
    }
}
