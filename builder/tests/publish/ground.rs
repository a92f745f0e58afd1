//! A build, a key and an archive.

use std::fs;
use std::path::{Path, PathBuf};

use basalt_builder::key;
use basalt_builder::progress::Progress;
use basalt_builder::publish::{self, Options, Published};
use basalt_cmd::Cmd;
use basalt_deploy::{CommitRequest, Repo};
use basalt_release::{Manifest, SecretKey, open};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

pub(crate) const REF: &str = "basalt/trixie/x86_64/base";

/// A build's repository, a release key, and an archive to come.
pub(crate) struct Ground {
    pub(crate) dir: TempDir,
    source: Repo,
}

impl Ground {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let source = Repo::open_or_create(&dir.path().join("repo")).expect("a repository");
        key::create("release", dir.path()).expect("a key");
        Self { dir, source }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// As a build leaves it, with a program of this content; signed by the key of this name.
    pub(crate) fn build(&self, version: &str, program: &[u8], key: Option<&str>) -> String {
        let tree = self.path("tree");
        fs::create_dir_all(tree.join("usr/lib/modules/6.12")).expect("a folder");
        let release = format!("IMAGE_ID=base\nIMAGE_VERSION={version}\n");
        fs::write(tree.join("usr/lib/os-release"), release).expect("a file");
        for name in ["vmlinuz", "initramfs.img"] {
            fs::write(tree.join("usr/lib/modules/6.12").join(name), vec![7; 5000]).expect("a file");
        }
        fs::write(tree.join("usr/hostd"), program).expect("a file");
        let key = key.map(|name| key::load(&self.path(name)).expect("a key"));
        let request = CommitRequest {
            ref_name: REF,
            time: 1,
            version: Some(version),
            build_id: None,
            key: key.as_ref().map(|key| &key.signing),
        };
        self.source.commit(&tree, &request).expect("a commit")
    }

    pub(crate) fn options(&self) -> Options {
        Options {
            source: self.path("repo"),
            to: self.path("site"),
            ref_name: None,
            sign_key: self.path("release.key"),
            trust: Vec::new(),
            deltas: 3,
            valid: SignedDuration::from_hours(24),
            now: Timestamp::from_second(1_000).expect("a time"),
        }
    }

    pub(crate) fn publish(&self) -> Published {
        publish::publish(&self.options(), Progress::Silent).expect("it is published")
    }

    /// As people type it.
    pub(crate) fn command(&self) -> Cmd {
        let path = |name| self.path(name).into_os_string();
        Cmd::new(env!("CARGO_BIN_EXE_basalt"))
            .arg("publish")
            .arg(path("repo"))
            .arg("--to")
            .arg(path("site"))
            .arg("--sign-key")
            .arg(path("release.key"))
    }

    pub(crate) fn refused(&self, options: &Options) -> String {
        format!("{:#}", publish::publish(options, Progress::Silent).expect_err("it is refused"))
    }

    /// What a host believes that knows the public half of the key.
    pub(crate) fn offered(&self, file: &Path) -> Manifest {
        let secret = fs::read(self.path("release.manifest.key")).expect("a key");
        let key = SecretKey::parse(&secret).expect("a key").public();
        open(&fs::read(file).expect("a file"), &[key]).expect("its key signed it")
    }
}

/// Bytes that compress to nothing else.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}
