//! podman's service or dockerd, as a process of the test's.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_cmd::{Cmd, Running};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::ground::orphans;
use crate::http::{Answer, ask};
use crate::image::Image;
use crate::until::until;

/// On a slow and busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a containerd may take to follow its dockerd.
const CONTAINERD_ENDS: Duration = Duration::from_secs(5);

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// podman's service.
    Podman,
    /// dockerd.
    Docker,
}

/// An engine with a store, a state and a socket of its own.
#[derive(Debug)]
pub struct Engine {
    /// Which one it is.
    pub kind: Kind,
    folder: PathBuf,
    running: Option<Running>,
}

impl Kind {
    /// Its program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "dockerd",
        }
    }
}

impl Engine {
    /// Starts an engine that keeps everything in `folder`, once its store was prepared. The caller
    /// is in namespaces of its own.
    ///
    /// # Panics
    /// It does not come up.
    pub(crate) fn start(kind: Kind, folder: &Path, prepare_store: impl FnOnce(&Path)) -> Self {
        fs::create_dir(folder).expect("a folder for the engine");
        fs::create_dir(folder.join("root")).expect("a folder for its store");
        prepare_store(&folder.join("root"));
        configure();
        let mut engine = Self { kind, folder: folder.to_owned(), running: None };
        engine.start_again();
        engine
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("engine.sock")
    }

    /// Starts it after it ended, with all that it had.
    ///
    /// # Panics
    /// It does not come up.
    pub fn start_again(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.join("log"));
        let log = log.expect("a log");
        let copy = log.try_clone().expect("a second handle");
        self.let_containerd_end();
        // A socket of a killed one would be asked before the new one listens.
        let _ = fs::remove_file(self.socket());
        let running = self.command().spawn(Stdio::null(), log.into(), copy.into());
        self.running = Some(running.expect("the engine can be started"));
        let socket = self.socket();
        until(DEADLINE, "the engine answers", || {
            let answer = ask(&socket, "GET /_ping", "text/plain", b"").ok();
            if self.has_ended() {
                panic!("the engine ended: {}", self.log());
            }
            answer.filter(|answer| answer.status == 200)
        });
    }

    /// A killed dockerd takes its containerd along, a moment later; until then the next dockerd
    /// takes it for one that serves, and gives up on it after 15 s. One that goes on does serve.
    fn let_containerd_end(&self) {
        let pid = fs::read_to_string(self.folder.join("exec/containerd/containerd.pid"));
        let end = Instant::now() + CONTAINERD_ENDS;
        loop {
            orphans::reap();
            let process = pid.as_ref().map(|pid| Path::new("/proc").join(pid.trim()));
            if !process.is_ok_and(|process| process.exists()) || Instant::now() > end {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `podman` on this engine's store, beside its service.
    pub fn podman(&self) -> Cmd {
        let part = |name: &str| self.folder.join(name);
        Cmd::new("podman")
            .arg("--root")
            .arg(part("root"))
            .arg("--runroot")
            .arg(part("run"))
            .arg("--tmpdir")
            .arg(part("tmp"))
    }

    fn command(&self) -> Cmd {
        let part = |name: &str| self.folder.join(name);
        let listen = format!("unix://{}", self.socket().display());
        match self.kind {
            Kind::Podman => self.podman().args(["system", "service", "--time=0", listen.as_str()]),
            Kind::Docker => Cmd::new("dockerd")
                .arg("--data-root")
                .arg(part("root"))
                .arg("--exec-root")
                .arg(part("exec"))
                .arg("--pidfile")
                .arg(part("pid"))
                .args(["--live-restore", "--host", listen.as_str()]),
        }
    }

    /// Its process id.
    ///
    /// # Panics
    /// It does not run.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.running.as_ref().expect("it runs").id()
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Kills it (SIGKILL) and nothing of what it runs.
    ///
    /// # Panics
    /// It does not run, or survives.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let running = self.running.as_mut().expect("it was started");
        let ended = running.wait_for(DEADLINE).expect("it is ours");
        assert!(ended.is_some(), "it survives a SIGKILL");
        self.running = None;
    }

    /// Has a killed dockerd forget that it started a container, as one does that was killed after
    /// its containerd had the task and before it wrote that down.
    ///
    /// # Panics
    /// It has no such container.
    pub fn forget_start(&self, id: &str) {
        let path = self.folder.join("root/containers").join(id).join("config.v2.json");
        let text = fs::read(&path).expect("a container of dockerd's");
        let mut config: Value = serde_json::from_slice(&text).expect("JSON");
        let state = &mut config["State"];
        (state["Running"], state["Pid"]) = (false.into(), 0.into());
        state["StartedAt"] = "0001-01-01T00:00:00Z".into();
        fs::write(&path, config.to_string()).expect("our own file");
    }

    /// Has a killed podman forget its containers but for their names, as one does of a container that
    /// was killed after its store had it and before it wrote that down.
    ///
    /// # Panics
    /// It never had any.
    pub fn forget_containers(&self) {
        let known = self.folder.join("root/libpod/bolt_state.db");
        fs::remove_file(known).expect("podman's own file");
    }

    /// Has a killed podman's store forget its containers, as of one that was killed within a removal
    /// after its store had none of the container any more.
    ///
    /// # Panics
    /// It has no such store.
    pub fn forget_in_store(&self) {
        let stored = self.folder.join("root/overlay-containers/containers.json");
        assert!(stored.exists(), "another store");
        fs::write(stored, "[]").expect("our own file");
    }

    /// Makes it hang: it takes connections and answers nothing.
    ///
    /// # Panics
    /// It does not run, or goes on.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
        // A signal takes its time on a busy machine, and each thread stops by itself.
        let id = self.running.as_ref().expect("it runs").id();
        let tasks = format!("/proc/{id}/task");
        until(DEADLINE, "every thread of the engine stops", || {
            let mut tasks = fs::read_dir(&tasks).ok()?.flatten();
            tasks.all(|task| is_stopped(&task.path())).then_some(())
        });
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to end (SIGTERM) and waits for it; kills it where it does not.
    pub fn end(&mut self) {
        if let Some(mut running) = self.running.take() {
            if let Some(pid) = pid_of(&running) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let _ = running.wait_for(DEADLINE);
        }
    }

    /// Kills it, whatever it does.
    pub(crate) fn abandon(&mut self) {
        self.running = None;
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.as_ref().expect("it runs");
        let pid = pid_of(running).expect("a process id");
        kill_process(pid, signal).expect("it is ours");
    }

    fn has_ended(&mut self) -> bool {
        let running = self.running.as_mut();
        running.is_none_or(|running| running.wait_for(Duration::ZERO).is_ok_and(|it| it.is_some()))
    }

    /// Asks it, as `GET /containers/json`.
    ///
    /// # Panics
    /// It does not answer.
    #[must_use]
    pub fn ask(&self, request: &str) -> Answer {
        self.send(request, &Value::Null)
    }

    /// Asks it with a body.
    ///
    /// # Panics
    /// It does not answer.
    #[must_use]
    pub fn send(&self, request: &str, body: &Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        ask(&self.socket(), request, "application/json", &body).expect("the engine answers")
    }

    /// What it tells about a container.
    #[must_use]
    pub fn inspect(&self, container: &str) -> Value {
        self.ask(&format!("GET /containers/{container}/json")).json()
    }

    /// Puts an image into its store.
    ///
    /// # Panics
    /// It does not take it.
    pub fn load(&self, image: &Image) {
        let answer =
            ask(&self.socket(), "POST /images/load", "application/x-tar", &image.archive());
        let answer = answer.expect("the engine answers");
        let text = String::from_utf8_lossy(&answer.body);
        assert!(answer.status == 200 && text.contains("Loaded image"), "{}: {text}", answer.status);
    }

    /// Removes every container, whoever made it; an engine that is gone or hangs is left alone.
    pub(crate) fn remove_all(&mut self) {
        if self.has_ended() {
            return;
        }
        self.thaw();
        let Ok(listed) = ask(&self.socket(), "GET /containers/json?all=true", "text/plain", b"")
        else {
            return;
        };
        for container in listed.json().as_array().into_iter().flatten() {
            let id = container["Id"].as_str().unwrap_or_default();
            let remove = format!("DELETE /containers/{id}?force=true&v=true");
            let _ = ask(&self.socket(), &remove, "text/plain", b"");
        }
    }
}

/// Whether a thread, by its folder in `/proc`, is stopped by a signal (proc(5)).
fn is_stopped(task: &Path) -> bool {
    let status = fs::read_to_string(task.join("status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:\tT"))
}

fn pid_of(running: &Running) -> Option<Pid> {
    Pid::from_raw(i32::try_from(running.id()).ok()?)
}

/// What podman needs on a machine without systemd, and as a user of few limits. dockerd needs
/// nothing.
fn configure() {
    let folder = Path::new("/etc/containers");
    fs::create_dir_all(folder).expect("our own /etc");
    // podman would ask for more than a process without CAP_SYS_RESOURCE may have.
    let limit = |resource, enough: u64| {
        rustix::process::getrlimit(resource).maximum.unwrap_or(enough).min(enough)
    };
    let files = limit(rustix::process::Resource::Nofile, 20_000);
    let processes = limit(rustix::process::Resource::Nproc, 32_768);
    let text = format!(
        "[containers]\n\
         default_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n\
         [engine]\n\
         runtime = \"runc\"\n\
         cgroup_manager = \"cgroupfs\"\n\
         events_logger = \"file\"\n\
         [network]\n\
         network_backend = \"netavark\"\n"
    );
    fs::write(folder.join("containers.conf"), text).expect("our own /etc");
    let trust = r#"{ "default": [{ "type": "insecureAcceptAnything" }] }"#;
    fs::write(folder.join("policy.json"), trust).expect("our own /etc");
}

/// Runs each of these tests on both engines, each on a thread of its own: it asks real programs and
/// blocks. They take the [`Kind`].
#[macro_export]
macro_rules! on_both_engines {
    ($($name:ident),* $(,)?) => {
        mod podman {
            $(#[test]
            fn $name() {
                super::$name($crate::engine::Kind::Podman);
            })*
        }
        mod dockerd {
            $(#[test]
            fn $name() {
                super::$name($crate::engine::Kind::Docker);
            })*
        }
    };
}
