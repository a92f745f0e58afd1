//! Small images of containers, made from a static busybox.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Users that the images have beside root.
const PASSWD: &str = "root:x:0:0::/:/bin/sh\nweb:x:1234:1235::/:/bin/sh\n";
const GROUP: &str = "root:x:0:\nweb:x:1235:\n";
/// Commands that tests use in them.
const COMMANDS: &[&str] = &[
    "sh", "sleep", "cat", "echo", "env", "head", "httpd", "id", "ls", "mkdir", "mount", "nc",
    "pwd", "seq", "stat", "tail", "touch", "true", "false", "kill", "dd", "yes",
];
/// What [`Image::tiny`] has at `/srv/index.html`.
pub const PAGE: &str = "hello\n";
/// Bytes that a layer may have.
const MAX_LAYER: usize = 256 << 20;

/// An image: one layer, and how it runs.
#[derive(Debug, Clone)]
pub struct Image {
    tag: String,
    layer: Vec<u8>,
    packed: Option<Vec<u8>>,
    config: Value,
}

impl Image {
    /// busybox in a tree of its own; ends at once unless it is told what to do.
    ///
    /// # Errors
    /// There is no busybox, or its tree cannot be written.
    pub fn tiny(tag: &str) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for an image")?;
        let tree = folder.path();
        lay_out(tree).context("cannot lay out an image")?;
        let busybox = busybox()?;
        fs::copy(busybox, tree.join("bin/busybox"))
            .with_context(|| format!("cannot copy `{busybox}` into an image"))?;
        let config = json!({ "Env": ["PATH=/bin"], "Cmd": ["/bin/true"] });
        Ok(Self { tag: tag.to_owned(), layer: tar(tree, ".")?, packed: None, config })
    }

    /// The same with something else in its configuration, as `User`.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    /// The same with so many bytes more that do not compress.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn heavier(mut self, bytes: usize) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for an image")?;
        let mut noise = Vec::with_capacity(bytes + 32);
        let mut block = Sha256::digest(b"noise");
        while noise.len() < bytes {
            noise.extend_from_slice(&block);
            block = Sha256::digest(block);
        }
        fs::write(folder.path().join("noise"), noise).context("cannot write an image")?;
        self.append(folder.path(), "noise")?;
        Ok(self)
    }

    /// The same with so many zero bytes more, which a registry keeps packed (gzip).
    ///
    /// # Errors
    /// They cannot be written.
    pub fn packed_with_zeros(mut self, bytes: u64) -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for an image")?;
        fs::File::create(folder.path().join("zeros"))
            .and_then(|file| file.set_len(bytes))
            .context("cannot write an image")?;
        self.append(folder.path(), "zeros")?;
        let gzip = Cmd::new("gzip").arg("-n").stdin(self.layer.clone()).output_cap(MAX_LAYER);
        self.packed = Some(gzip.run().context("cannot pack an image")?.stdout);
        Ok(self)
    }

    /// Two archives in one: the first one's end must go.
    fn append(&mut self, folder: &Path, name: &str) -> Result<()> {
        let end = self.layer.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        self.layer.truncate(end.next_multiple_of(512));
        self.layer.extend(tar(folder, name)?);
        Ok(())
    }

    /// The layer, as a registry keeps it.
    #[must_use]
    pub fn layer(&self) -> &[u8] {
        self.packed.as_ref().unwrap_or(&self.layer)
    }

    /// What a manifest calls it.
    #[must_use]
    pub(crate) fn layer_kind(&self) -> &'static str {
        match self.packed {
            Some(_) => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            None => "application/vnd.docker.image.rootfs.diff.tar",
        }
    }

    /// The configuration, as a registry keeps it.
    #[must_use]
    pub fn configuration(&self) -> Vec<u8> {
        let layer = format!("sha256:{}", hash(&self.layer));
        let config = json!({
            "architecture": architecture(), "os": "linux", "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": [layer] },
            "history": [{ "created_by": "basalt" }],
        });
        config.to_string().into_bytes()
    }

    /// The archive that `docker save` would make.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn archive(&self) -> Result<Vec<u8>> {
        let folder = tempfile::tempdir().context("cannot make a folder for an image")?;
        let manifest = json!([
            { "Config": "config.json", "RepoTags": [self.tag], "Layers": ["layer.tar"] },
        ]);
        let parts = [
            ("layer.tar", self.layer.clone()),
            ("config.json", self.configuration()),
            ("manifest.json", manifest.to_string().into_bytes()),
        ];
        for (name, bytes) in parts {
            fs::write(folder.path().join(name), bytes).context("cannot write an image")?;
        }
        tar(folder.path(), ".")
    }
}

/// SHA-256 in hex.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The static busybox of this machine.
pub(crate) fn busybox() -> Result<&'static str> {
    let places = ["/bin/busybox", "/usr/bin/busybox"];
    let found = places.into_iter().find(|place| Path::new(place).exists());
    found.context("there is no busybox\nhint: install the package `busybox-static`")
}

fn lay_out(tree: &Path) -> std::io::Result<()> {
    for part in ["bin", "dev", "etc", "proc", "run", "srv", "sys", "tmp"] {
        fs::create_dir(tree.join(part))?;
    }
    // Whoever runs in it must get to both.
    for (part, mode) in [(".", 0o755), ("tmp", 0o1777)] {
        fs::set_permissions(tree.join(part), fs::Permissions::from_mode(mode))?;
    }
    for command in COMMANDS {
        symlink("busybox", tree.join("bin").join(command))?;
    }
    fs::write(tree.join("etc/passwd"), PASSWD)?;
    fs::write(tree.join("etc/group"), GROUP)?;
    fs::write(tree.join("srv/index.html"), PAGE)
}

/// As images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn tar(folder: &Path, what: &str) -> Result<Vec<u8>> {
    let words = ["--create", "--owner=0", "--group=0", "--numeric-owner", "--directory"];
    let tar = Cmd::new("tar").args(words).arg(folder).arg(what).output_cap(MAX_LAYER);
    Ok(tar.run().context("cannot make an archive")?.stdout)
}
