//! What may change the package lock: the definition and its user, never the network.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;

use basalt_builder::definition::Definition;
use basalt_builder::lock::{Archive, Lock, LockedPackage};
use basalt_cmd::{Cmd, Output};
use tempfile::TempDir;

/// A definition with a lock of one package, whose mirror answers everything with 404.
struct Ground {
    folder: TempDir,
}

impl Ground {
    fn new(mirror: &str) -> Self {
        let ground = Self { folder: tempfile::tempdir().expect("a folder") };
        fs::write(ground.path("keyring.gpg"), "").expect("a keyring");
        for name in ["hostd", "hostctl", "hostd-virt", "hostd-os"] {
            fs::write(ground.path(name), "").expect("a program");
        }
        ground.define(mirror, "stone");
        let definition = Definition::load(&ground.path("test.toml")).expect("it is good");
        let package = LockedPackage {
            name: "stone".into(),
            version: "1.2-3".into(),
            architecture: "all".into(),
            sha256: "0".repeat(64),
            size: 7,
            archive: Archive::Debian,
            path: "pool/s/stone_1.2-3_all.deb".into(),
        };
        let request = Lock::request_of(&definition);
        let lock = Lock { form: 1, request, resolved: 1, packages: vec![package] };
        lock.write(&ground.path("test.lock")).expect("a lock");
        ground
    }

    fn define(&self, mirror: &str, package: &str) {
        let text = format!(
            "name = \"test\"\nref = \"test\"\nformats = [\"raw\"]\npackages = [\"{package}\"]\n\
             [debian]\nsuite = \"trixie\"\ncomponents = [\"main\"]\nmirror = \"{mirror}\"\n\
             keyring = \"keyring.gpg\"\n[disk]\nsize = \"12GiB\"\nesp = \"1GiB\"\n\
             root = \"4GiB\"\nvar_min = \"1GiB\"\n"
        );
        fs::write(self.path("test.toml"), text).expect("a definition");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn lock(&self) -> String {
        fs::read_to_string(self.path("test.lock")).expect("the lock is there")
    }

    fn build(&self, flags: &[&str]) -> Output {
        Cmd::new(env!("CARGO_BIN_EXE_basalt"))
            .args([
                "build",
                "test.toml",
                "--out",
                "out",
                "--cache",
                "cache",
                "--host-programs",
                ".",
            ])
            .args(flags)
            .current_dir(self.folder.path())
            .output()
            .expect("basalt runs")
    }

    /// Builds in vain; what it said. The lock is as it was.
    fn refused(&self, flags: &[&str]) -> String {
        let before = self.lock();
        let output = self.build(flags);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(self.lock(), before, "{said}");
        said
    }
}

/// A mirror that has nothing, until the test ends.
fn empty_mirror() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("it has one"));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let reader = BufReader::new(stream.try_clone().expect("a socket"));
            let _ = reader.lines().map_while(Result::ok).find(String::is_empty);
            let head = "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(head.as_bytes());
        }
    });
    address
}

/// An address that refuses every connection.
fn no_mirror() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("it has one"))
}

#[test]
fn a_package_that_cannot_be_had_is_named_and_the_lock_stays() {
    for mirror in [empty_mirror(), no_mirror()] {
        let ground = Ground::new(&mirror);
        for flags in [&[][..], &["--locked"]] {
            let said = ground.refused(flags);
            assert!(said.contains("error: cannot get `stone 1.2-3`:"), "{said}");
            assert!(said.contains("`--update`"), "{said}");
            assert!(!said.contains("package lists"), "{said}");
        }
    }
}

#[test]
fn the_mirror_is_asked_when_the_definition_or_its_user_says_so() {
    let mirror = empty_mirror();
    let ground = Ground::new(&mirror);
    let said = ground.refused(&["--update"]);
    assert!(said.contains("cannot read the package lists of `http://127.0.0.1"), "{said}");
    ground.define(&mirror, "rock");
    let said = ground.refused(&[]);
    assert!(said.contains("cannot read the package lists of `http://127.0.0.1"), "{said}");
    let said = ground.refused(&["--locked"]);
    assert!(said.contains("other packages than the definition asks for"), "{said}");
}
