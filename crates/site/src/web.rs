//! A web server with one folder: busybox's.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use crate::service::{Service, folder, free_port};

/// How long a page may take; an emulated host takes seconds.
const PAGE: Duration = Duration::from_secs(20);

/// A web server that runs.
#[derive(Debug)]
pub struct Web {
    folder: PathBuf,
    address: SocketAddr,
    _service: Service,
}

impl Web {
    /// Starts one on a free port of loopback, with a folder of its own in `parent`.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start(parent: &Path) -> Result<Self> {
        let folder = folder(parent.join("web"))?;
        let address = free_port()?;
        let cmd = Cmd::new("busybox")
            .args(["httpd", "-f", "-p", &address.to_string(), "-h"])
            .arg(&folder);
        let service = Service::start(cmd, address, &parent.join("web.log"))?;
        Ok(Self { folder, address, _service: service })
    }

    /// Serves a file under this name, and returns the path of its URL.
    ///
    /// # Errors
    /// It cannot be linked to.
    pub fn serve(&self, name: &str, file: &Path) -> Result<String> {
        let link = self.folder.join(name);
        let file = fs::canonicalize(file);
        file.and_then(|file| symlink(file, &link))
            .with_context(|| format!("cannot make `{}`", link.display()))?;
        Ok(format!("/{name}"))
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

/// The page that is served at a port of this machine's loopback, whoever serves it; none where
/// nobody does. QEMU takes connections for its guest also before somebody listens there.
#[must_use]
pub fn page(port: u16) -> Option<String> {
    let ask = || -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(PAGE))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    head.contains(" 200 ").then(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_served_is_the_file_and_nothing_after_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "a page").unwrap();
        let web = Web::start(folder.path()).unwrap();
        assert_eq!(page(web.port()), None, "there is no page yet");
        assert_eq!(web.serve("index.html", &file).unwrap(), "/index.html");
        assert_eq!(page(web.port()).as_deref(), Some("a page"));
        let port = web.port();
        drop(web);
        assert_eq!(page(port), None);
    }
}
