//! A real registry with TLS and passwords, on loopback of a test's own network.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use basalt_cmd::{Cmd, Running};
use base64::Engine as _;
use serde_json::json;

use crate::ground::{ADDRESS, Ground, HOST};
use crate::image::{Image, hash};
use crate::until::until;

/// Who may use it.
pub const USER: &str = "reader";
/// With this password.
pub const PASSWORD: &str = "a long password";

const DEADLINE: Duration = Duration::from_secs(20);
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A registry that runs.
#[derive(Debug)]
pub struct Registry {
    /// `HOST:PORT`, as images name it.
    pub host: String,
    folder: PathBuf,
    _running: Running,
}

impl Registry {
    /// Starts one at [`HOST`] on this port.
    ///
    /// # Panics
    /// It does not come up.
    #[must_use]
    pub fn start(ground: &Ground, port: u16) -> Self {
        let folder = ground.path(&format!("registry-{port}"));
        fs::create_dir(&folder).expect("a folder");
        certify(&folder, HOST);
        let words = ["-Bbn", USER, PASSWORD];
        let passwords = Cmd::new("htpasswd").args(words).run().expect("a password").stdout;
        fs::write(folder.join("passwords"), passwords).expect("a file");
        let part = |name: &str| folder.join(name).display().to_string();
        let config = json!({
            "version": "0.1",
            "log": { "level": "warn" },
            "storage": {
                "filesystem": { "rootdirectory": part("data") },
                "cache": { "blobdescriptor": "inmemory" },
            },
            "http": {
                "addr": format!("{ADDRESS}:{port}"),
                "tls": { "certificate": part("certificate.pem"), "key": part("key.pem") },
            },
            "auth": { "htpasswd": { "realm": "test", "path": part("passwords") } },
        });
        // JSON is YAML, too.
        fs::write(folder.join("config.yml"), config.to_string()).expect("a file");
        let log = fs::File::create(folder.join("log")).expect("a log");
        let copy = log.try_clone().expect("a second handle");
        let serve = Cmd::new("docker-registry").arg("serve").arg(folder.join("config.yml"));
        let running = serve.spawn(Stdio::null(), log.into(), copy.into()).expect("it starts");
        until(DEADLINE, "the registry listens", || TcpStream::connect((ADDRESS, port)).ok());
        Self { host: format!("{HOST}:{port}"), folder, _running: running }
    }

    /// The file of the authority that its certificate is from.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// Puts an image there, and returns the digest of its manifest.
    ///
    /// # Panics
    /// It cannot.
    #[must_use]
    pub fn fill(&self, repository: &str, tag: &str, image: &Image) -> String {
        let config = image.configuration();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": config.len(), "digest": format!("sha256:{}", hash(&config)),
            },
            "layers": [{
                "mediaType": "application/vnd.docker.image.rootfs.diff.tar",
                "size": image.layer().len(), "digest": format!("sha256:{}", hash(image.layer())),
            }],
        });
        let manifest = manifest.to_string().into_bytes();
        for blob in [image.layer(), &config] {
            self.upload(repository, blob);
        }
        let path = format!("/v2/{repository}/manifests/{tag}");
        self.curl(
            &["--request", "PUT", "--header", &format!("Content-Type: {MANIFEST}")],
            &path,
            &manifest,
        );
        format!("sha256:{}", hash(&manifest))
    }

    fn upload(&self, repository: &str, blob: &[u8]) {
        let head = self.curl(
            &["--request", "POST", "--dump-header", "-", "--output", "/dev/null"],
            &format!("/v2/{repository}/blobs/uploads/"),
            b"",
        );
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let place = lines.find(|(key, _)| key.eq_ignore_ascii_case("location"));
        let (_, place) = place.expect("a place for the blob");
        let place = place.trim().trim_start_matches(&format!("https://{}", self.host));
        let path = format!("{place}&digest=sha256:{}", hash(blob));
        let kind = "Content-Type: application/octet-stream";
        self.curl(&["--request", "PUT", "--header", kind], &path, blob);
    }

    fn curl(&self, words: &[&str], path: &str, body: &[u8]) -> String {
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let curl = Cmd::new("curl")
            .args(["--silent", "--show-error", "--fail", "--data-binary", "@-", "--cacert"])
            .arg(self.ca())
            .args(["--header", &format!("Authorization: Basic {login}")])
            .args(words)
            .arg(format!("https://{}{path}", self.host))
            .stdin(body);
        curl.run().expect("the registry takes it").stdout_text()
    }

    /// Changes the bytes of a layer behind the registry's back.
    ///
    /// # Panics
    /// It has no such blob.
    pub fn damage(&self, blob: &[u8]) {
        let hash = hash(blob);
        let path = format!("data/docker/registry/v2/blobs/sha256/{}/{hash}/data", &hash[..2]);
        let path = self.folder.join(path);
        let mut bytes = fs::read(&path).expect("the blob is there");
        let last = bytes.len() / 2;
        bytes[last] ^= 1;
        fs::write(&path, bytes).expect("our own registry");
    }
}

/// An authority, and a certificate of it for this name.
fn certify(folder: &Path, name: &str) {
    let openssl = |words: &[&str]| {
        Cmd::new("openssl").args(words).current_dir(folder).run().expect("openssl");
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let mut words = vec!["req", "-x509", "-keyout", "ca-key.pem", "-out", "ca.pem"];
    words.extend(["-subj", "/CN=authority of a test", "-days", "2"]);
    openssl(&[&words[..], &key].concat());
    let subject = format!("/CN={name}");
    let words = ["req", "-keyout", "key.pem", "-out", "request.pem", "-subj", &subject];
    openssl(&[&words[..], &key].concat());
    fs::write(folder.join("names"), format!("subjectAltName=DNS:{name}")).expect("a file");
    let mut words = vec!["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey"];
    words.extend(["ca-key.pem", "-CAcreateserial", "-days", "2", "-extfile", "names"]);
    words.extend(["-out", "certificate.pem"]);
    openssl(&words);
}
