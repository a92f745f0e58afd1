//! The commands that only look: `basalt check` and `basalt plan`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use basalt_builder::definition::Definition;
use basalt_builder::lock::{Archive, Lock, LockedPackage};
use basalt_cmd::{Cmd, Output};
use tempfile::TempDir;

const DEFINITION: &str = r#"name = "test"
ref = "test"
formats = ["raw"]
packages = ["stone"]
[debian]
suite = "trixie"
components = ["main"]
mirror = "http://127.0.0.1:1"
keyring = "keyring.gpg"
[disk]
size = "12GiB"
esp = "1GiB"
root = "4GiB"
var_min = "1GiB"
"#;

/// A definition, its keyring and the host programs.
struct Ground(TempDir);

impl Ground {
    fn new() -> Self {
        let ground = Self(tempfile::tempdir().expect("a folder"));
        for file in ["keyring.gpg", "hostd", "hostctl", "hostd-virt", "hostd-os"] {
            fs::write(ground.path(file), "").expect("a file");
        }
        fs::write(ground.path("test.toml"), DEFINITION).expect("a definition");
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn lock(&self) {
        let package = LockedPackage {
            name: "stone".into(),
            version: "1.2-3".into(),
            architecture: "all".into(),
            sha256: "0".repeat(64),
            size: 7,
            archive: Archive::Debian,
            path: "pool/s/stone_1.2-3_all.deb".into(),
        };
        let definition = Definition::load(&self.path("test.toml")).expect("it is good");
        let request = Lock::request_of(&definition);
        let lock = Lock { form: 1, request, resolved: 1, packages: vec![package] };
        lock.write(&self.path("test.lock")).expect("a lock");
    }

    fn basalt(&self, args: &[&str]) -> Output {
        let basalt = Cmd::new(env!("CARGO_BIN_EXE_basalt")).args(args);
        basalt.current_dir(self.0.path()).output().expect("basalt runs")
    }

    fn on_places(&self, command: &str, flags: &[&str]) -> Output {
        let places = [command, "test.toml", "--out", "out", "--cache", "cache"];
        self.basalt(&[&places[..], &["--host-programs", "."], flags].concat())
    }
}

/// Exit code, stdout and stderr.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Everything below a folder: path, inode, size, and when it changed to the nanosecond.
fn state(folder: &Path) -> Vec<(PathBuf, u64, u64, i64, i64)> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name();
    let one = |entry: walkdir::DirEntry| {
        let meta = entry.metadata().expect("it is there");
        (entry.into_path(), meta.ino(), meta.len(), meta.ctime(), meta.ctime_nsec())
    };
    entries.into_iter().map(|entry| one(entry.expect("it can be read"))).collect()
}

#[test]
fn check_calls_a_good_definition_good_and_shows_what_is_wrong_with_a_bad_one() {
    let ground = Ground::new();
    let before = state(ground.0.path());
    let (code, out, err) = said(&ground.basalt(&["check", "test.toml"]));
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out, "test.toml: good (test from Debian trixie, 1 packages named, disk of 12GiB)\n");
    assert_eq!(state(ground.0.path()), before);
    let bad = DEFINITION.replace("suite =", "siute =");
    fs::write(ground.path("test.toml"), bad).expect("a definition");
    let (code, out, err) = said(&ground.basalt(&["check", "test.toml"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("error: test.toml:6:1: unknown key `siute`\n"), "{err}");
    assert!(err.contains("\nhint: did you mean `suite`?"), "{err}");
    let (code, out, err) = said(&ground.basalt(&["check", "gone.toml"]));
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.starts_with("error: cannot read the definition `gone.toml`"), "{err}");
}

#[test]
fn a_plan_makes_nothing_where_nothing_is() {
    let ground = Ground::new();
    for locked in [false, true] {
        if locked {
            ground.lock();
        }
        let before = state(ground.0.path());
        let (code, out, err) = said(&ground.on_places("plan", &[]));
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        let stages: Vec<&str> =
            out.lines().filter_map(|line| line.split_whitespace().next()).collect();
        assert_eq!(stages, ["lock", "fetch", "tree", "initramfs", "commit", "disk"], "{out}");
        assert_eq!(state(ground.0.path()), before, "locked: {locked}");
    }
}

#[test]
fn a_plan_leaves_a_cache_and_an_output_folder_as_they_are() {
    let ground = Ground::new();
    ground.lock();
    for (repo, mode) in [("cache/repo", "bare"), ("out/repo", "archive")] {
        fs::create_dir_all(ground.path(repo)).expect("a folder");
        let init = Cmd::new("ostree").args(["init", &format!("--mode={mode}"), "--repo"]);
        init.arg(ground.path(repo)).run().expect("a repository");
    }
    for file in ["cache/tmp/cut", "cache/packages/cut", "out/test/.1.new/cut"] {
        let path = ground.path(file);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, "left by a build that was killed").expect("a file");
    }
    let before = state(ground.0.path());
    let (code, out, err) = said(&ground.on_places("plan", &[]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert_eq!(state(ground.0.path()), before);
}

#[test]
fn without_a_lock_to_keep_a_build_and_a_plan_say_so() {
    let ground = Ground::new();
    for command in ["plan", "build"] {
        let (code, out, err) = said(&ground.on_places(command, &["--locked"]));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert!(err.contains("error: there is no lock `test.lock`\nhint: build once"), "{err}");
        assert!(!ground.path("test.lock").exists());
    }
}
