//! `hostd` in a root of its own, asked by `hostctl`, whose machines some libvirt runs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_cmd::{Cmd, Running};
use serde_json::Value;
use tempfile::TempDir;

use crate::ground::{program, sha256};
use crate::guest;

/// An emulated processor boots the guest in seconds; a busy machine takes its time.
const DEADLINE: Duration = Duration::from_secs(120);

/// A root for `hostd`, and the `hostd` in it.
pub(crate) struct Stage {
    // Before its root, which it has to leave first.
    _hostd: Running,
    root: TempDir,
}

/// What `hostctl` said.
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Stage {
    /// Starts it, with these lines in the table of its policy.
    pub(crate) fn start(root: TempDir, uri: &str, policy: &str) -> Self {
        // QEMU is another user.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).unwrap();
        for folder in ["usr/lib/basalt", "etc", "run/issue.d", "proc", "sysroot/ostree", "bin"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let put = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
        let images = guest::folder();
        put(
            "usr/lib/basalt/hostd.toml",
            &format!(
                "round_interval_s = 1\n[machines]\nuri = {uri:?}\naccel = \"tcg\"\n[policy]\n\
                 host_paths = [{images:?}, {:?}]\n{policy}\n",
                root.path()
            ),
        );
        put("etc/machine-id", "f1ee7");
        put("bin/systemctl", "#!/bin/sh\necho ActiveState=active\n");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(root.path().join("bin/systemctl"), executable).unwrap();
        let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", root.path().join("bin").display());
        let log = fs::File::create(root.path().join("log")).unwrap();
        let hostd = Cmd::new(program("hostd")).arg("--root").arg(root.path()).env("PATH", path);
        let hostd = hostd.spawn(Stdio::null(), log.try_clone().unwrap().into(), log.into());
        let stage = Self { root, _hostd: hostd.unwrap() };
        stage.until("hostd answers", || stage.hostctl(&["workloads"]).ok.then_some(()));
        stage
    }

    /// A path in its root.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn hostctl(&self, args: &[&str]) -> Said {
        let cmd = Cmd::new(program("hostctl")).arg("--root").arg(self.root.path()).args(args);
        let output = cmd.deadline(DEADLINE).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        Said { ok: output.status.success(), out: output.stdout_text(), err }
    }

    /// What it says where it must not fail.
    pub(crate) fn must(&self, args: &[&str]) -> String {
        let said = self.hostctl(args);
        assert!(said.ok, "{args:?}: {}", said.err);
        said.out
    }

    /// A workload, as JSON has it; none where it is not there.
    pub(crate) fn workload(&self, name: &str) -> Option<Value> {
        let list: Value = serde_json::from_str(&self.must(&["workloads", "--json"])).unwrap();
        list["workloads"].as_array().unwrap().iter().find(|one| one["name"] == name).cloned()
    }

    /// Waits until it is in this state.
    pub(crate) fn is(&self, name: &str, state: &str) -> Value {
        let what = format!("{name} is {state}");
        self.until(&what, || self.workload(name).filter(|one| one["state"] == state))
    }

    /// Waits until the guest has said this so often.
    pub(crate) fn hears(&self, name: &str, line: &str, times: usize) {
        self.until(&format!("{name} said {line:?}"), || {
            let log = self.hostctl(&["logs", name]);
            (log.ok && says(&log.out, line) >= times).then_some(())
        });
    }

    pub(crate) fn until<T>(&self, what: &str, is_so: impl Fn() -> Option<T>) -> T {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(it) = is_so() {
                return it;
            }
            let log = || fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(Instant::now() < until, "it never was so: {what}; hostd says\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Applies a machine with this disk; `vm` stands in its table.
    pub(crate) fn apply(&self, name: &str, memory_mib: u32, vm: &str, disk: &str) {
        let path = self.path(&format!("{name}.toml"));
        let text = format!(
            "name = {name:?}\nkind = \"vm\"\n[resources]\ncpus = 1\nmemory_mib = {memory_mib}\n\
             [vm]\nnetwork = \"none\"\n{vm}\n[vm.disk]\n{disk}\n"
        );
        fs::write(&path, text).unwrap();
        let said = self.must(&["apply", path.to_str().unwrap()]);
        assert_eq!(said, format!("{name}: created"));
    }

    /// Folders of machines.
    pub(crate) fn machines(&self) -> Vec<PathBuf> {
        let folder = self.path("var/lib/hostd-virt/machines");
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

/// How a disk from this file is written.
pub(crate) fn file(path: &Path, format: &str) -> String {
    let sha256 = sha256(&fs::read(path).unwrap());
    format!("file = {path:?}\nsha256 = {sha256:?}\nformat = {format:?}")
}

/// How many lines have this in them.
pub(crate) fn says(log: &str, line: &str) -> usize {
    log.lines().filter(|said| said.contains(line)).count()
}

/// The process that is this machine.
pub(crate) fn emulator(uid: &str) -> String {
    let pattern = format!("^[^ ]*qemu-system-x86_64 .*-uuid {uid} ");
    let pids = Cmd::new("pgrep").args(["-f", &pattern]).output().unwrap().stdout_text();
    pids.trim().to_owned()
}
