//! A virtual machine through all of it: `hostctl`, `hostd`, `hostd-virt`, libvirtd, QEMU, the guest.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_cmd::{Cmd, Running};
use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::{Daemon, may_run};
use crate::ground::{program, sha256};
use crate::guest;

/// An emulated processor boots the guest in seconds; a busy machine takes its time.
const DEADLINE: Duration = Duration::from_secs(120);

/// A root for `hostd`, and the `hostd` in it.
struct Whole {
    root: TempDir,
    _hostd: Running,
}

struct Said {
    ok: bool,
    out: String,
    err: String,
}

impl Whole {
    fn start(daemon: &Daemon) -> Self {
        let root = tempfile::tempdir().unwrap();
        // QEMU is another user.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).unwrap();
        for folder in ["usr/lib/basalt", "etc", "run/issue.d", "proc", "sysroot/ostree", "bin"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let put = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
        let images = guest::image().parent().unwrap().to_owned();
        put(
            "usr/lib/basalt/hostd.toml",
            &format!(
                "round_interval_s = 1\n[machines]\nuri = {:?}\naccel = \"tcg\"\n[policy]\n\
                 host_paths = [{images:?}]\n",
                daemon.uri()
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
        let whole = Self { root, _hostd: hostd.unwrap() };
        whole.until("hostd answers", || whole.hostctl(&["workloads"]).ok.then_some(()));
        whole
    }

    fn hostctl(&self, args: &[&str]) -> Said {
        let cmd = Cmd::new(program("hostctl")).arg("--root").arg(self.root.path()).args(args);
        let output = cmd.deadline(DEADLINE).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        Said { ok: output.status.success(), out: output.stdout_text(), err }
    }

    fn must(&self, args: &[&str]) -> String {
        let said = self.hostctl(args);
        assert!(said.ok, "{args:?}: {}", said.err);
        said.out
    }

    /// The one workload, as JSON has it; none where there is none.
    fn workload(&self) -> Option<Value> {
        let list: Value = serde_json::from_str(&self.must(&["workloads", "--json"])).unwrap();
        list["workloads"].as_array().unwrap().first().cloned()
    }

    fn is(&self, state: &str) -> Value {
        self.until(state, || self.workload().filter(|one| one["state"] == state))
    }

    fn until<T>(&self, what: &str, is_so: impl Fn() -> Option<T>) -> T {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(it) = is_so() {
                return it;
            }
            let log = || fs::read_to_string(self.root.path().join("log")).unwrap_or_default();
            assert!(Instant::now() < until, "it never was so: {what}; hostd says\n{}", log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn spec(&self) -> PathBuf {
        let image = guest::image();
        let path = self.root.path().join("guest.toml");
        let text = format!(
            "name = \"guest\"\nkind = \"vm\"\n[resources]\ncpus = 1\nmemory_mib = 256\n[vm]\n\
             firmware = \"uefi\"\nnetwork = \"none\"\nstop_grace_s = 60\n\
             [vm.disk]\nfile = {image:?}\nsha256 = \"{}\"\nformat = \"raw\"\n",
            sha256(&fs::read(&image).unwrap())
        );
        fs::write(&path, text).unwrap();
        path
    }

    fn machines(&self) -> Vec<PathBuf> {
        let folder = self.root.path().join("var/lib/hostd-virt/machines");
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

fn kill_qemu(uid: &str) {
    let pattern = format!("^[^ ]*qemu-system-x86_64 .*-uuid {uid} ");
    let pids = Cmd::new("pgrep").args(["-f", &pattern]).run().unwrap().stdout_text();
    Cmd::new("kill").args(["-9", pids.trim()]).run().unwrap();
}

fn says(log: &str, line: &str) -> usize {
    log.lines().filter(|said| said.contains(line)).count()
}

#[tokio::test]
async fn a_machine_is_applied_speaks_comes_back_and_goes_with_its_disk() {
    if !may_run() {
        return;
    }
    let daemon = Daemon::start();
    let whole = Whole::start(&daemon);
    let spec = whole.spec();
    assert_eq!(whole.must(&["apply", spec.to_str().unwrap()]), "guest: created");
    let uid = whole.is("running")["uid"].as_str().unwrap().to_owned();
    let up = |times| {
        let log = whole.hostctl(&["logs", "guest"]);
        (log.ok && says(&log.out, "guest is up") >= times).then_some(())
    };
    whole.until("the guest is up", || up(1));
    assert_eq!(says(&whole.must(&["logs", "guest", "--tail", "1"]), "guest is up"), 1);

    kill_qemu(&uid);
    whole.until("it came back", || whole.workload().filter(|one| one["restarts"] == 1));
    whole.is("running");
    whole.until("the guest is up again", || up(2));

    let domain = format!("guest-{}", &uid[..8]);
    // Drift: whatever somebody does to it by virsh, it runs again, once.
    for (count, drift) in [(3, &["destroy"][..]), (4, &["undefine", "destroy"])] {
        for word in drift {
            let nvram: &[&str] = if *word == "undefine" { &["--nvram"] } else { &[] };
            daemon.virsh(&[&[*word, domain.as_str()], nvram].concat());
        }
        whole.until("the guest is up once more", || up(count));
        whole.is("running");
        let domains = daemon.virsh(&["list", "--all", "--name"]);
        assert_eq!(domains.trim(), domain, "{drift:?}");
    }
    daemon.virsh(&["suspend", &domain]);
    let reason = whole.is("failed")["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("it is paused: somebody paused it in libvirt"), "{reason}");
    whole.must(&["start", "guest"]);
    whole.is("running");

    whole.must(&["delete", "guest"]);
    whole.until("it is gone", || whole.workload().is_none().then_some(()));
    assert_eq!(whole.machines(), Vec::<PathBuf>::new());
    assert_eq!(daemon.virsh(&["list", "--all", "--name"]).trim(), "");
    assert!(!Path::new(&format!("/run/hostd-virt/seeds/{uid}.img")).exists());
}
