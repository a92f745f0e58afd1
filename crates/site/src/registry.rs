//! A real registry with TLS and a password.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use base64::Engine as _;
use serde_json::json;

use crate::certificate::certify;
use crate::image::{Image, hash};
use crate::service::{Service, folder, free_port};

/// Who may use it.
pub const USER: &str = "reader";
/// With this password.
pub const PASSWORD: &str = "a long password";

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// A registry that runs.
#[derive(Debug)]
pub struct Registry {
    /// `HOST:PORT`, as images name it.
    pub host: String,
    folder: PathBuf,
    address: SocketAddr,
    _service: Service,
}

impl Registry {
    /// Starts one on a free port of loopback, which those who fetch reach by the name or address
    /// `seen_as`.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start(parent: &Path, seen_as: &str) -> Result<Self> {
        Self::start_at(parent, free_port()?, seen_as)
    }

    /// The same at this address.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start_at(parent: &Path, address: SocketAddr, seen_as: &str) -> Result<Self> {
        let folder = folder(parent.join(format!("registry-{}", address.port())))?;
        certify(&folder, seen_as)?;
        let htpasswd = Cmd::new("htpasswd").args(["-Bin", USER]).stdin(PASSWORD);
        write(&folder.join("passwords"), &htpasswd.run()?.stdout)?;
        let part = |name: &str| folder.join(name).display().to_string();
        let config = json!({
            "version": "0.1",
            "log": { "level": "warn" },
            "storage": {
                "filesystem": { "rootdirectory": part("data") },
                "cache": { "blobdescriptor": "inmemory" },
            },
            "http": {
                "addr": address.to_string(),
                "tls": { "certificate": part("certificate.pem"), "key": part("key.pem") },
            },
            "auth": { "htpasswd": { "realm": "basalt", "path": part("passwords") } },
        });
        // JSON is YAML, too.
        write(&folder.join("config.yml"), config.to_string().as_bytes())?;
        let cmd = Cmd::new("docker-registry").arg("serve").arg(folder.join("config.yml"));
        let service = Service::start(cmd, address, &folder.join("log"))?;
        let host = format!("{seen_as}:{}", address.port());
        Ok(Self { host, folder, address, _service: service })
    }

    /// The file of the authority that its certificate is from.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The file of a blob with this content.
    #[must_use]
    pub fn blob(&self, content: &[u8]) -> PathBuf {
        let hash = hash(content);
        let path = format!("data/docker/registry/v2/blobs/sha256/{}/{hash}/data", &hash[..2]);
        self.folder.join(path)
    }

    /// Lets somebody else in, too, with this password.
    ///
    /// # Errors
    /// The file of passwords cannot be written.
    pub fn admit(&self, user: &str, password: &str) -> Result<()> {
        let path = self.folder.join("passwords");
        let known = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let htpasswd = Cmd::new("htpasswd").args(["-Bin", user]).stdin(password);
        write(&path, &[known, htpasswd.run()?.stdout].concat())
    }

    /// Puts an image there, and returns the digest of its manifest.
    ///
    /// # Errors
    /// It does not take it.
    pub fn fill(&self, repository: &str, tag: &str, image: &Image) -> Result<String> {
        let config = image.configuration();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {
                "mediaType": "application/vnd.docker.container.image.v1+json",
                "size": config.len(), "digest": format!("sha256:{}", hash(&config)),
            },
            "layers": [{
                "mediaType": image.layer_kind(),
                "size": image.layer().len(), "digest": format!("sha256:{}", hash(image.layer())),
            }],
        });
        let manifest = manifest.to_string().into_bytes();
        for blob in [image.layer(), &config] {
            self.upload(repository, blob)?;
        }
        let path = format!("/v2/{repository}/manifests/{tag}");
        let kind = format!("Content-Type: {MANIFEST}");
        self.curl(&["--request", "PUT", "--header", &kind], &path, &manifest)?;
        Ok(format!("sha256:{}", hash(&manifest)))
    }

    fn upload(&self, repository: &str, blob: &[u8]) -> Result<()> {
        let head = self.curl(
            &["--request", "POST", "--dump-header", "-", "--output", "/dev/null"],
            &format!("/v2/{repository}/blobs/uploads/"),
            b"",
        )?;
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        let place = lines.find(|(key, _)| key.eq_ignore_ascii_case("location"));
        let (_, place) = place.context("the registry gives no place for a blob")?;
        let place = place.trim().trim_start_matches(&format!("https://{}", self.host));
        let path = format!("{place}&digest=sha256:{}", hash(blob));
        let kind = "Content-Type: application/octet-stream";
        self.curl(&["--request", "PUT", "--header", kind], &path, blob).map(drop)
    }

    fn curl(&self, words: &[&str], path: &str, body: &[u8]) -> Result<String> {
        let login = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let curl = Cmd::new("curl")
            .args(["--silent", "--show-error", "--fail", "--data-binary", "@-", "--cacert"])
            .arg(self.ca())
            // By its name, wherever that leads.
            .args(["--connect-to", &format!("{}:{}", self.host, self.address)])
            .args(["--header", &format!("Authorization: Basic {login}")])
            .args(words)
            .arg(format!("https://{}{path}", self.host))
            .stdin(body);
        Ok(curl.run().context("the registry does not take it")?.stdout_text())
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write `{}`", path.display()))
}
