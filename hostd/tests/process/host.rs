//! A host in a folder: its root, its systemd, and what runs on it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_cmd::{Cmd, Running};
use serde_json::Value;
use tempfile::TempDir;

/// Far beyond what anything here takes.
const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Host {
    root: TempDir,
}

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Host {
    /// One that was booted from slot a and is blessed.
    pub(crate) fn new() -> Self {
        let host = Self { root: tempfile::tempdir().unwrap() };
        for folder in ["usr/lib/basalt", "etc/basalt", "run/issue.d", "proc", "sysroot/ostree"] {
            fs::create_dir_all(host.path(folder)).unwrap();
        }
        host.put("usr/lib/basalt/hostd.toml", "");
        host.put("usr/lib/os-release", "IMAGE_ID=base\nIMAGE_VERSION=3\nBUILD_ID=b\n");
        host.put("proc/cmdline", "quiet androidboot.slot_suffix=_a ostree");
        symlink("deploy/basalt/deploy/11aa.0", host.path("sysroot/ostree/root.a")).unwrap();
        host.play_systemctl();
        host
    }

    /// systemd tells of a unit what the file `unit-state` says.
    fn play_systemctl(&self) {
        fs::create_dir(self.path("bin")).unwrap();
        let state = self.path("unit-state");
        let script = format!("#!/bin/sh\necho ActiveState=$(cat {})\n", state.display());
        self.put("bin/systemctl", &script);
        fs::set_permissions(self.path("bin/systemctl"), PermissionsExt::from_mode(0o755)).unwrap();
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    pub(crate) fn config(&self, text: &str) {
        self.put("etc/basalt/hostd.toml", text);
    }

    pub(crate) fn unit_state(&self, state: &str) {
        self.put("unit-state", state);
    }

    /// Starts `hostd` and waits until it is ready.
    pub(crate) fn start(&self) -> Hostd {
        let socket = self.path("notify");
        let _ = fs::remove_file(&socket);
        let notify = UnixDatagram::bind(&socket).unwrap();
        notify.set_read_timeout(Some(DEADLINE)).unwrap();
        let log = fs::File::create(self.path("log")).unwrap();
        let program = self.cmd(env!("CARGO_BIN_EXE_hostd")).env("NOTIFY_SOCKET", &socket);
        let program = program.spawn(Stdio::null(), Stdio::null(), log.into()).unwrap();
        let log = self.path("log");
        let mut hostd = Hostd { program, notify, log, began_with: String::new() };
        hostd.began_with = hostd.heard();
        hostd
    }

    /// Runs a `hostd` that should end by itself.
    pub(crate) fn hostd(&self) -> Ended {
        run(self.cmd(env!("CARGO_BIN_EXE_hostd")))
    }

    /// The same with these arguments.
    pub(crate) fn hostd_with(&self, args: &[&str]) -> Ended {
        run(self.cmd(env!("CARGO_BIN_EXE_hostd")).args(args))
    }

    pub(crate) fn hostctl(&self, args: &[&str]) -> Ended {
        run(self.cmd(env!("CARGO_BIN_EXE_hostctl")).args(args))
    }

    pub(crate) fn status(&self) -> Value {
        let ended = self.hostctl(&["status", "--json"]);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{}", ended.stderr))
    }

    pub(crate) fn wait_until(&self, is_so: impl Fn() -> bool) {
        let until = Instant::now() + DEADLINE;
        while !is_so() {
            assert!(Instant::now() < until, "it never was so; the log: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn cmd(&self, program: &str) -> Cmd {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        Cmd::new(program)
            .arg("--root")
            .arg(self.root.path())
            .env_clear()
            .env("PATH", path)
            .env("CREDENTIALS_DIRECTORY", self.path("credentials"))
    }
}

fn run(cmd: Cmd) -> Ended {
    let output = cmd.deadline(2 * DEADLINE).output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: output.stdout_text(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A `hostd` that runs; dropping it kills it.
pub(crate) struct Hostd {
    program: Running,
    notify: UnixDatagram,
    log: PathBuf,
    /// The first thing that it told systemd.
    pub(crate) began_with: String,
}

impl Hostd {
    /// The next thing that it tells systemd.
    pub(crate) fn heard(&self) -> String {
        let mut bytes = [0; 4096];
        let length = self.notify.recv(&mut bytes);
        let length = length.unwrap_or_else(|error| panic!("silent ({error}): {}", self.log()));
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }

    pub(crate) fn kill(mut self) {
        self.program.kill();
    }

    /// Asks it to end; its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        self.program.terminate();
        self.program.wait_for(DEADLINE).unwrap().and_then(|status| status.code())
    }

    /// Asks it to end; everything that it told systemd from then on.
    pub(crate) fn ends_with(mut self) -> String {
        self.program.terminate();
        let ended = self.program.wait_for(DEADLINE).unwrap();
        assert!(ended.is_some_and(|status| status.success()), "{}", self.log());
        self.notify.set_nonblocking(true).unwrap();
        let mut said = String::new();
        let mut bytes = [0; 4096];
        while let Ok(length) = self.notify.recv(&mut bytes) {
            said.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        said
    }

    fn log(&self) -> String {
        read(&self.log)
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
