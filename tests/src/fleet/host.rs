//! `hostd` and `hostctl`, in a root of their own.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use basalt_cmd::Cmd;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::Value;

use super::program::Program;
use super::{DEADLINE, Said, program, said, text};
use crate::ground::Ground;
use crate::http::{Answer, ask};

/// A host.
#[derive(Debug)]
pub struct Host {
    root: PathBuf,
    program: Program,
}

impl Host {
    /// A root for `hostd` under this name, with a systemd that finds every unit active, and the
    /// ground's engine.
    ///
    /// # Panics
    /// It cannot be laid out.
    #[must_use]
    pub fn new(ground: &Ground, name: &str) -> Self {
        let program = Program::new("hostd", ground.path(&format!("{name}.log")));
        let host = Self { root: ground.path(name), program };
        for folder in ["run", "proc/sys/kernel/random", "sysroot/ostree", "var/lib"] {
            fs::create_dir_all(host.path(folder)).expect("a folder");
        }
        host.empty_run();
        let socket = ground.engine.socket();
        let certificates = ground.path("certs.d");
        host.put(
            "usr/lib/basalt/hostd.toml",
            &format!("[containers]\nsocket = {socket:?}\ncerts_d = {certificates:?}\n"),
        );
        host.put("etc/machine-id", "f1ee7");
        host.boot("boot-1");
        host.put("bin/systemctl", "#!/bin/sh\necho ActiveState=active\n");
        let executable = Permissions::from_mode(0o755);
        fs::set_permissions(host.path("bin/systemctl"), executable).expect("our own file");
        host
    }

    /// A path in its root.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Its root.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.root.clone()
    }

    /// Writes a file in its root.
    ///
    /// # Panics
    /// It cannot.
    pub fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    /// Lays this over its configuration from the next start on.
    pub fn configure(&self, name: &str, text: &str) {
        self.put(&format!("etc/basalt/hostd.toml.d/{name}.toml"), text);
    }

    /// From the next start on it is in this boot.
    pub fn boot(&self, id: &str) {
        self.put("proc/sys/kernel/random/boot_id", id);
    }

    /// Loses what a power cut takes: its `/run`. From the next start on it is in this boot.
    ///
    /// # Panics
    /// It cannot be unmounted.
    pub fn reboot(&self, id: &str) {
        unmount(self.path("run"), UnmountFlags::DETACH).expect("our own mount");
        self.empty_run();
        self.boot(id);
    }

    /// A tmpfs, as `/run` is.
    fn empty_run(&self) {
        let flags = MountFlags::NOSUID | MountFlags::NODEV;
        mount("tmpfs", self.path("run"), "tmpfs", flags, c"mode=755").expect("a tmpfs");
        fs::create_dir(self.path("run/issue.d")).expect("a folder");
    }

    /// Starts with these variables from now on, and no others of before.
    pub fn with_env(&mut self, env: &[(&str, &str)]) {
        self.program.with_env(env);
    }

    /// Starts `hostd`, with all that it had, and waits until it answers.
    ///
    /// # Panics
    /// It does not come up.
    pub fn start(&mut self) {
        let (cmd, socket) = (self.cmd(), self.socket());
        self.program.start(cmd, || {
            let answer = ask(&socket, "GET /v1/status", "application/json", b"").ok()?;
            (answer.status == 200).then_some(())
        });
    }

    /// Starts `hostd` and waits for nothing.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn begin(&mut self) {
        let cmd = self.cmd();
        self.program.begin(cmd);
    }

    fn cmd(&self) -> Cmd {
        let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.path("bin").display());
        Cmd::new(program("hostd")).arg("--root").arg(&self.root).env("PATH", path)
    }

    /// Kills `hostd` (SIGKILL).
    ///
    /// # Panics
    /// It does not run.
    pub fn kill(&mut self) {
        self.program.kill();
    }

    /// The process id of `hostd`.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// What `hostd` wrote.
    #[must_use]
    pub fn log(&self) -> String {
        self.program.log()
    }

    /// Where `hostd` listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path("run/hostd/hostd.sock")
    }

    /// Asks `hostd` over its socket; none where it does not answer.
    #[must_use]
    pub fn ask(&self, request: &str) -> Option<Answer> {
        ask(&self.socket(), request, "application/json", b"").ok()
    }

    /// Runs `hostctl`.
    #[must_use]
    pub fn ctl(&self, args: &[&str]) -> Said {
        hostctl(&self.root, args)
    }

    /// Runs `hostctl` at a terminal where somebody types this. What it prints is all in one.
    #[must_use]
    pub fn ctl_at_a_terminal(&self, args: &[&str], typed: &str) -> Said {
        let hostctl = program("hostctl");
        let line = [&[text(&hostctl), "--root", text(&self.root)], args].concat();
        let script = Cmd::new("script").args(["--quiet", "--return", "--command"]);
        said(script.arg(line.join(" ")).arg("/dev/null").stdin(typed))
    }

    /// How the host is; null where `hostd` does not answer.
    #[must_use]
    pub fn status(&self) -> Value {
        self.ask("GET /v1/status").map(|answer| answer.json()).unwrap_or_default()
    }

    /// Each workload by name; none where `hostd` does not answer.
    #[must_use]
    pub fn workloads(&self) -> Option<BTreeMap<String, Value>> {
        let list = self.ask("GET /v1/workloads").filter(|answer| answer.status == 200)?.json();
        let named = |one: &Value| Some((one["name"].as_str()?.to_owned(), one.clone()));
        list["workloads"].as_array()?.iter().map(named).collect()
    }

    /// Waits until these are all its workloads, each in this state.
    ///
    /// # Panics
    /// They never are; says what was seen last.
    pub fn becomes(&self, expected: &[(&str, &str)]) {
        let end = std::time::Instant::now() + DEADLINE;
        let expected: BTreeMap<&str, &str> = expected.iter().copied().collect();
        loop {
            let workloads = self.workloads().unwrap_or_default();
            let state = |one: &Value| one["state"].as_str().unwrap_or_default().to_owned();
            let found: BTreeMap<&str, String> =
                workloads.iter().map(|(name, one)| (name.as_str(), state(one))).collect();
            let is_it = found.len() == expected.len()
                && found
                    .iter()
                    .zip(&expected)
                    .all(|(one, other)| (*one.0, &**one.1) == (*other.0, *other.1));
            if is_it {
                return;
            }
            let so_far = std::time::Instant::now() < end;
            assert!(
                so_far,
                "workloads never were {expected:?}; last: {workloads:#?}\n{}",
                self.log()
            );
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Waits until it stands so with its endpoint, and returns why.
    ///
    /// # Panics
    /// It never does; says what was seen last.
    pub fn stands(&self, state: &str) -> String {
        let end = std::time::Instant::now() + DEADLINE;
        loop {
            let endpoint = self.status()["endpoint"].clone();
            if endpoint["state"] == state {
                return endpoint["reason"].as_str().unwrap_or_default().to_owned();
            }
            let so_far = std::time::Instant::now() < end;
            assert!(so_far, "it never was {state}, but {endpoint}\n{}", self.log());
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

/// Runs `hostctl` on the host of this root, also while its `hostd` is away.
#[must_use]
pub fn hostctl(root: &Path, args: &[&str]) -> Said {
    said(Cmd::new(program("hostctl")).arg("--root").arg(root).args(args))
}
