//! The real endpoint, the real `hostd` and a real engine: what an operator applies runs, and goes
//! on running whoever is killed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use basalt_api::enrol::JoinString;
use basalt_cmd::{Cmd, Running};
use basalt_tests::engine::Kind;
use basalt_tests::ground::{Ground, TINY};
use basalt_tests::until::until;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// On a slow and busy machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// Runs until it is asked to end, and says so at its beginning.
const LOOP: &str = "echo here; trap 'exit 0' TERM; while :; do sleep 0.1; done";

/// Says what its secret is, and runs on.
const SECRET_LOOP: &str = "echo $DB; trap 'exit 0' TERM; while :; do sleep 0.1; done";

/// One endpoint and one host, which are enrolled at each other.
struct Fleet {
    ground: Ground,
    endpoint: Option<Running>,
    hostd: Option<Running>,
}

/// What a program said.
struct Said {
    ok: bool,
    text: String,
}

fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join(name)
}

impl Fleet {
    fn new(kind: Kind) -> Option<Self> {
        Self::with_join(kind, str::to_owned)
    }

    /// One whose join string is changed first.
    fn with_join(kind: Kind, change: impl FnOnce(&str) -> String) -> Option<Self> {
        let mut fleet = Self { ground: Ground::prepare(kind)?, endpoint: None, hostd: None };
        fleet.start_endpoint();
        fleet.lay_out_host();
        let join = fleet.basaltctl(&["token", "create"]);
        // The string is all of stdout; how long it is good goes to stderr.
        fleet.put("host/etc/basalt/join", &change(join.text.lines().next().unwrap()));
        fleet.start_hostd();
        until(DEADLINE, "the host is enrolled", || {
            let hosts = fleet.basaltctl(&["hosts", "--json"]);
            (hosts.ok && hosts.text.contains("\"present\"")).then_some(())
        });
        Some(fleet)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.ground.path(name)
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A root for `hostd`, with a systemd that finds every unit active.
    fn lay_out_host(&self) {
        for folder in ["run/issue.d", "proc", "sysroot/ostree", "var/lib"] {
            fs::create_dir_all(self.path("host").join(folder)).unwrap();
        }
        let socket = self.ground.engine.socket();
        let config =
            format!("[containers]\nsocket = {socket:?}\ncerts_d = {:?}\n", self.path("certs.d"));
        self.put("host/usr/lib/basalt/hostd.toml", &config);
        self.put("host/etc/machine-id", "f1ee7");
        self.put("host/bin/systemctl", "#!/bin/sh\necho ActiveState=active\n");
        let executable = Permissions::from_mode(0o755);
        fs::set_permissions(self.path("host/bin/systemctl"), executable).unwrap();
    }

    fn start_endpoint(&mut self) {
        let cmd = Cmd::new(program("basalt-endpoint"))
            .arg("--data")
            .arg(self.path("endpoint"))
            .args(["--listen", "127.0.0.1:18443"]);
        self.endpoint = Some(self.spawn(cmd, "endpoint.log"));
        until(DEADLINE, "the endpoint answers", || {
            self.basaltctl(&["hosts", "--json"]).ok.then_some(())
        });
    }

    fn start_hostd(&mut self) {
        self.spawn_hostd();
        until(DEADLINE, "hostd answers", || self.hostctl(&["status", "--json"]).ok.then_some(()));
    }

    fn spawn_hostd(&mut self) {
        let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", self.path("host/bin").display());
        let cmd = Cmd::new(program("hostd")).arg("--root").arg(self.path("host")).env("PATH", path);
        self.hostd = Some(self.spawn(cmd, "hostd.log"));
    }

    fn spawn(&self, cmd: Cmd, log: &str) -> Running {
        let log = File::options().create(true).append(true).open(self.path(log)).unwrap();
        let copy = log.try_clone().unwrap();
        cmd.spawn(Stdio::null(), log.into(), copy.into()).unwrap()
    }

    fn basaltctl(&self, args: &[&str]) -> Said {
        let data = self.path("endpoint");
        let fingerprint = fs::read_to_string(data.join("ca.sha256")).unwrap_or_default();
        let cmd = Cmd::new(program("basaltctl"))
            .args(args)
            .env("BASALT_URL", "https://127.0.0.1:18443")
            .env("BASALT_CA_FINGERPRINT", fingerprint.trim())
            .env("BASALT_TOKEN_FILE", data.join("operator.token"));
        said(cmd)
    }

    fn hostctl(&self, args: &[&str]) -> Said {
        said(Cmd::new(program("hostctl")).arg("--root").arg(self.path("host")).args(args))
    }

    fn apply(&self, name: &str, rest: &str) -> Said {
        let file = self.spec(name, rest);
        self.basaltctl(&["apply", file.to_str().unwrap(), "--wait"])
    }

    /// Writes the file of a workload.
    fn spec(&self, name: &str, rest: &str) -> PathBuf {
        let file = format!("{name}.toml");
        let text = format!(
            "name = {name:?}\nkind = \"container\"\n{rest}\n[container]\nimage = {TINY:?}\n\
             network = \"none\"\ncommand = [\"sh\", \"-c\", {LOOP:?}]\n"
        );
        self.put(&file, &text);
        self.path(&file)
    }

    /// Waits until `hostctl workloads` has these: name and state, by name.
    fn becomes(&self, expected: &[(&str, &str)]) {
        let mut last = String::new();
        until(DEADLINE, &format!("workloads are {expected:?}"), || {
            last = self.hostctl(&["workloads", "--json"]).text;
            let list: Value = serde_json::from_str(&last).ok()?;
            let text = |one: &Value, key: &str| one[key].as_str().unwrap_or_default().to_owned();
            let found: Vec<(String, String)> = list["workloads"]
                .as_array()?
                .iter()
                .map(|one| (text(one, "name"), text(one, "state")))
                .collect();
            let is_it = found.len() == expected.len()
                && found.iter().zip(expected).all(|(one, other)| (&*one.0, &*one.1) == *other);
            is_it.then_some(())
        });
    }

    /// Ids of every container that the engine has, whoever made it.
    fn containers(&self) -> Vec<String> {
        let list = self.ground.engine.ask("GET /containers/json?all=true").json();
        let mut ids: Vec<String> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["Id"].as_str().unwrap().to_owned())
            .collect();
        ids.sort();
        ids
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.path("hostd.log")).unwrap_or_default();
            eprintln!("hostd said\n{log}");
        }
    }
}

fn said(cmd: Cmd) -> Said {
    let output = cmd.deadline(DEADLINE).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let text = format!("{}\n{stderr}", output.stdout_text());
    Said { ok: output.status.success(), text }
}

fn kill(running: &mut Option<Running>) {
    let mut running = running.take().unwrap();
    running.kill();
}

fn what_is_applied_runs_speaks_and_goes(kind: Kind) {
    let Some(fleet) = Fleet::new(kind) else { return };
    let applied = fleet.apply("web", "");
    assert!(applied.ok, "{}", applied.text);
    fleet.becomes(&[("web", "running")]);
    assert_eq!(fleet.basaltctl(&["logs", "web"]).text.trim(), "here");
    assert_eq!(fleet.hostctl(&["logs", "web"]).text.trim(), "here");
    assert!(fleet.basaltctl(&["delete", "web"]).ok);
    fleet.becomes(&[]);
    assert_eq!(fleet.containers(), Vec::<String>::new());
}

fn nothing_stops_and_nothing_doubles_when_either_is_killed(kind: Kind) {
    let Some(mut fleet) = Fleet::new(kind) else { return };
    for name in ["a", "b"] {
        assert!(fleet.apply(name, "").ok);
    }
    let before = fleet.containers();
    assert_eq!(before.len(), 2);
    kill(&mut fleet.hostd);
    fleet.start_hostd();
    fleet.becomes(&[("a", "running"), ("b", "running")]);
    kill(&mut fleet.endpoint);
    kill(&mut fleet.hostd);
    // The host comes back without its endpoint and knows what it runs.
    fleet.start_hostd();
    fleet.becomes(&[("a", "running"), ("b", "running")]);
    fleet.start_endpoint();
    assert!(fleet.basaltctl(&["delete", "a"]).ok);
    fleet.becomes(&[("b", "running")]);
    let after = fleet.containers();
    assert!(after.len() == 1 && before.contains(&after[0]), "{before:?} became {after:?}");
}

fn a_container_that_is_killed_comes_back(kind: Kind) {
    let Some(fleet) = Fleet::new(kind) else { return };
    assert!(fleet.apply("web", "").ok);
    let id = fleet.containers().remove(0);
    if kind == Kind::Podman {
        // Not by the engine: it answers once it has seen the end, which a restart at once hides.
        let inspected = fleet.ground.engine.ask(&format!("GET /containers/{id}/json")).json();
        let pid = i32::try_from(inspected["State"]["Pid"].as_i64().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    } else {
        let answer = fleet.ground.engine.ask(&format!("POST /containers/{id}/kill"));
        assert_eq!(answer.status, 204);
    }
    until(DEADLINE, "it was started again", || {
        let text = fleet.hostctl(&["workloads", "--json"]).text;
        let list: Value = serde_json::from_str(&text).ok()?;
        let one = &list["workloads"][0];
        (one["restarts"] == 1 && one["state"] == "running").then_some(())
    });
}

fn a_hold_of_the_hosts_operator_outlives_hostd(kind: Kind) {
    let Some(mut fleet) = Fleet::new(kind) else { return };
    assert!(fleet.apply("web", "").ok);
    assert!(fleet.hostctl(&["stop", "web"]).ok);
    fleet.becomes(&[("web", "stopped")]);
    kill(&mut fleet.hostd);
    fleet.start_hostd();
    fleet.becomes(&[("web", "stopped")]);
    assert!(fleet.hostctl(&["start", "web"]).ok);
    fleet.becomes(&[("web", "running")]);
}

fn what_the_policy_denies_is_told_and_harms_no_other(kind: Kind) {
    let Some(fleet) = Fleet::new(kind) else { return };
    fleet.put(
        "greedy.toml",
        &format!(
            "name = \"greedy\"\nkind = \"container\"\n[container]\nimage = {TINY:?}\n\
             privileged = true\n"
        ),
    );
    assert!(fleet.basaltctl(&["apply", fleet.path("greedy.toml").to_str().unwrap()]).ok);
    assert!(fleet.apply("web", "").ok);
    fleet.becomes(&[("greedy", "refused"), ("web", "running")]);
    let told = fleet.basaltctl(&["describe", "greedy"]).text;
    assert!(told.contains("this host does not allow privileged containers"), "{told}");
}

fn a_secret_comes_from_whichever_url_answers(kind: Kind) {
    let with_a_dead_url_first = |join: &str| {
        let mut join: JoinString = join.parse().unwrap();
        join.urls.insert(0, "https://127.0.0.1:9".to_owned());
        join.reveal()
    };
    let Some(fleet) = Fleet::with_join(kind, with_a_dead_url_first) else { return };
    fleet.put("value", "canary");
    let value = fleet.path("value");
    let set = fleet.basaltctl(&["secret", "set", "db", "--file", value.to_str().unwrap()]);
    assert!(set.ok, "{}", set.text);
    fleet.put(
        "web.toml",
        &format!(
            "name = \"web\"\nkind = \"container\"\n[container]\nimage = {TINY:?}\n\
             network = \"none\"\ncommand = [\"sh\", \"-c\", {SECRET_LOOP:?}]\n\
             secrets = [{{ name = \"db\", variable = \"DB\" }}]\n"
        ),
    );
    let applied = fleet.basaltctl(&["apply", fleet.path("web.toml").to_str().unwrap(), "--wait"]);
    assert!(applied.ok, "{}", applied.text);
    until(DEADLINE, "it has its secret", || {
        fleet.hostctl(&["logs", "web"]).text.contains("canary").then_some(())
    });
    // Logs go where the check-in is answered, too.
    let logs = fleet.basaltctl(&["logs", "web"]);
    assert!(logs.ok && logs.text.contains("canary"), "{}", logs.text);
}

fn what_no_ledger_knows_is_adopted_or_purged_and_left_alone_before(kind: Kind) {
    let Some(mut fleet) = Fleet::new(kind) else { return };
    let [a, b] = ["a", "b"].map(|name| fleet.spec(name, ""));
    for file in [&a, &b] {
        assert!(fleet.hostctl(&["apply", file.to_str().unwrap()]).ok);
    }
    fleet.becomes(&[("a", "running"), ("b", "running")]);
    let before = fleet.containers();
    kill(&mut fleet.hostd);
    for name in ["ledger.a", "ledger.b", "ledger.mark"] {
        fs::remove_file(fleet.path("host/var/lib/hostd").join(name)).unwrap();
    }
    fleet.start_hostd();
    fleet.becomes(&[("a", "running"), ("b", "running")]);
    let listed = fleet.hostctl(&["workloads"]).text;
    assert!(listed.contains("orphaned") && listed.contains("no ledger knows it"), "{listed}");
    assert_eq!(fleet.containers(), before);
    let asked = fleet.hostctl(&["purge", "a", "b"]);
    assert!(
        !asked.ok && asked.text.contains("hint: `--yes` purges without asking"),
        "{}",
        asked.text
    );
    let unknown = fleet.hostctl(&["adopt", "a"]);
    assert!(!unknown.ok && unknown.text.contains("`--spec FILE`"), "{}", unknown.text);
    let adopted = fleet.hostctl(&["adopt", "a", "--spec", a.to_str().unwrap()]);
    assert!(adopted.ok, "{}", adopted.text);
    assert!(fleet.hostctl(&["purge", "--all", "--yes"]).ok);
    fleet.becomes(&[("a", "running")]);
    let after = fleet.containers();
    assert!(after.len() == 1 && before.contains(&after[0]), "{before:?} became {after:?}");
    assert!(!fleet.hostctl(&["purge", "a", "--yes"]).ok, "it is no orphan any more");
    assert!(fleet.hostctl(&["delete", "a"]).ok);
    fleet.becomes(&[]);
    assert_eq!(fleet.containers(), Vec::<String>::new());
}

fn the_gate_waits_for_what_ran_before_the_boot(kind: Kind) {
    let Some(mut fleet) = Fleet::new(kind) else { return };
    fleet.put("host/etc/basalt/hostd.toml", "round_interval_s = 1\n");
    assert!(fleet.apply("web", "").ok);
    let list: Value =
        serde_json::from_str(fleet.hostctl(&["workloads", "--json"]).text.trim()).unwrap();
    let uid = list["workloads"][0]["uid"].as_str().unwrap().to_owned();
    // As if it had run long enough in the boot before, and this were another one.
    let boot = |fleet: &mut Fleet, images: &[&str]| {
        kill(&mut fleet.hostd);
        let text = format!(r#"{{"boot_id":"another","is_good":true,"ran":["{uid}"],"before":[]}}"#);
        fleet.put("host/var/lib/hostd/ran.json", &text);
        for id in fleet.containers() {
            let gone = fleet.ground.engine.ask(&format!("DELETE /containers/{id}?force=true"));
            assert!(gone.status < 300, "{}", gone.status);
        }
        for image in images {
            let gone = fleet.ground.engine.ask(&format!("DELETE /images/{image}?force=true"));
            assert!(gone.status < 300, "{}", gone.status);
        }
        fleet.spawn_hostd();
    };
    boot(&mut fleet, &[]);
    let gate = fleet.hostctl(&["gate", "--deadline", "50"]);
    assert!(gate.ok, "{}", gate.text);
    fleet.becomes(&[("web", "running")]);
    // A boot in which it cannot come back.
    boot(&mut fleet, &[TINY]);
    let gate = fleet.hostctl(&["gate", "--deadline", "10"]);
    let expected = "web: it ran before the host booted, and is ";
    assert!(!gate.ok && gate.text.contains(expected), "{}", gate.text);
    assert!(fleet.hostctl(&["status"]).text.contains(expected));
    // Held by somebody, it does not have to come back.
    assert!(fleet.hostctl(&["stop", "web"]).ok);
    assert!(fleet.hostctl(&["gate", "--deadline", "20"]).ok);
}

/// Runs each test on both engines, each on a thread of its own.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod podman {
            $(#[test]
            fn $name() {
                super::$name(basalt_tests::engine::Kind::Podman);
            })*
        }
        mod dockerd {
            $(#[test]
            fn $name() {
                super::$name(basalt_tests::engine::Kind::Docker);
            })*
        }
    };
}
on_both!(
    what_is_applied_runs_speaks_and_goes,
    nothing_stops_and_nothing_doubles_when_either_is_killed,
    a_container_that_is_killed_comes_back,
    a_hold_of_the_hosts_operator_outlives_hostd,
    what_the_policy_denies_is_told_and_harms_no_other,
    a_secret_comes_from_whichever_url_answers,
    what_no_ledger_knows_is_adopted_or_purged_and_left_alone_before,
    the_gate_waits_for_what_ran_before_the_boot,
);
