//! A web server with one folder: busybox's; and, by TLS, Python's.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use crate::certificate::certify;
use crate::service::{Service, folder, free_port};

/// Serves the folder in which it runs; the certificate and the key lie beside it.
const SECURE: &str = "
import http.server, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain('../certificate.pem', '../key.pem')
handler = http.server.SimpleHTTPRequestHandler
server = http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
";

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

    /// Serves the same over https, too, for those who reach it by the name or address `seen_as`.
    ///
    /// # Errors
    /// No such server comes up.
    pub fn secure(&self, seen_as: &str) -> Result<SecureWeb> {
        let parent = self.folder.parent().context("its folder lies in another")?.to_owned();
        certify(&parent, seen_as)?;
        let address = free_port()?;
        let cmd = Cmd::new("python3").args(["-c", SECURE, &address.port().to_string()]);
        let cmd = cmd.current_dir(&self.folder);
        let service = Service::start(cmd, address, &parent.join("secure-web.log"))?;
        Ok(SecureWeb { parent, address, _service: service })
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

/// What a [`Web`] serves, over https.
#[derive(Debug)]
pub struct SecureWeb {
    parent: PathBuf,
    address: SocketAddr,
    _service: Service,
}

impl SecureWeb {
    /// The file of the authority that its certificate is from.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.parent.join("ca.pem")
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

    #[test]
    fn what_is_served_by_tls_is_the_same_to_who_knows_the_authority() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "a page").unwrap();
        let web = Web::start(folder.path()).unwrap();
        web.serve("page", &file).unwrap();
        let secure = web.secure("127.0.0.1").unwrap();
        let url = format!("https://127.0.0.1:{}/page", secure.port());
        let curl = || Cmd::new("curl").args(["--silent", "--show-error", "--fail", &url]);
        let known = curl().arg("--cacert").arg(secure.ca()).run().unwrap();
        assert_eq!(known.stdout_text(), "a page");
        let error = curl().run().unwrap_err().to_string();
        assert!(error.contains("certificate"), "{error}");
    }
}
