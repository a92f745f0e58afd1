//! A container applied at `hostd`'s socket, until its first line of output is written down, over the
//! same by hand at the engine's socket; `podman run` beside them.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Host};
use basalt_tests::ground::{Ground, TINY};
use basalt_tests::http::ask;
use serde_json::{Value, json};

use crate::pairs::{Times, alternate};
use crate::print::measure;

const PAIRS: u32 = 30;
const RUNS: u32 = 10;
/// Says one line, and ends when it is asked to.
pub(crate) const COMMAND: [&str; 3] =
    ["sh", "-c", "echo here; trap 'exit 0' TERM; while :; do sleep 0.1; done"];

pub(crate) fn run() {
    let ground = Ground::prepare(Kind::Podman).unwrap();
    let mut host = Host::new(&ground, "host");
    host.start();
    let outputs = Outputs::of(&ground);
    // The first ones pay for what is kept later.
    for _ in 0..2 {
        by_hostd(&ground, &host, &outputs);
        by_hand(&ground, &outputs);
    }
    let (ours, hand) =
        alternate(PAIRS, || by_hostd(&ground, &host, &outputs), || by_hand(&ground, &outputs));
    let mut podman = Times::default();
    for _ in 0..RUNS {
        podman.add(by_podman(&ground, &outputs));
    }
    ours.print("hostd: apply → first line");
    hand.print("by hand: create + start → first line");
    podman.print("`podman run -d` → first line");
    measure("apply over by hand, medians", ours.median() / hand.median(), "×", Some(1.2));
    let tails = ours.percentile(95) / hand.percentile(95);
    measure("apply over by hand, p95", tails, "×", Some(1.2));
}

/// What containers wrote, as podman's `k8s-file` driver keeps it: looked at without asking anybody.
pub(crate) struct Outputs {
    folder: PathBuf,
}

impl Outputs {
    pub(crate) fn of(ground: &Ground) -> Self {
        Self { folder: ground.path("engine/root/overlay-containers") }
    }

    /// Ids of all containers.
    pub(crate) fn ids(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let folders = entries.filter(|entry| entry.path().is_dir());
        folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Waits until a container that is not among these has written something; which one.
    pub(crate) fn first_line(&self, known: &BTreeSet<String>) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let mut new = self.ids().into_iter().filter(|id| !known.contains(id));
            let written = new.find(|id| {
                let log = self.folder.join(id).join("userdata/ctr.log");
                fs::metadata(log).is_ok_and(|log| log.len() > 0)
            });
            if let Some(id) = written {
                return id;
            }
            assert!(Instant::now() < end, "no container writes anything");
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

/// The spec as `hostd` takes it.
fn spec(name: &str) -> Value {
    json!({
        "name": name, "kind": "container",
        "container": { "image": TINY, "network": "host", "command": COMMAND },
    })
}

fn by_hostd(ground: &Ground, host: &Host, outputs: &Outputs) -> Duration {
    let known = outputs.ids();
    let body = json!({ "workloads": [spec("measured")] }).to_string().into_bytes();
    let began = Instant::now();
    let answer = ask(&host.socket(), "POST /v1/workloads", "application/json", &body).unwrap();
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    outputs.first_line(&known);
    let took = began.elapsed();
    // Both sides begin with an engine and a hostd that have nothing to do.
    host.becomes(&[("measured", "running")]);
    assert_eq!(host.ask("DELETE /v1/workloads/measured").unwrap().status, 200);
    host.becomes(&[]);
    calm(ground);
    took
}

fn by_hand(ground: &Ground, outputs: &Outputs) -> Duration {
    let (known, engine) = (outputs.ids(), &ground.engine);
    let body = json!({ "Image": TINY, "Cmd": COMMAND, "HostConfig": { "NetworkMode": "host" } });
    let began = Instant::now();
    let made = engine.send("POST /containers/create?name=by-hand", &body);
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    assert_eq!(engine.ask("POST /containers/by-hand/start").status, 204);
    outputs.first_line(&known);
    let took = began.elapsed();
    remove(ground, "by-hand");
    took
}

fn by_podman(ground: &Ground, outputs: &Outputs) -> Duration {
    let known = outputs.ids();
    let words = ["run", "--detach", "--name", "by-podman", "--network", "host", TINY];
    let cmd = ground.engine.podman().args(words).args(COMMAND);
    let began = Instant::now();
    cmd.run().unwrap();
    outputs.first_line(&known);
    let took = began.elapsed();
    remove(ground, "by-podman");
    took
}

fn remove(ground: &Ground, name: &str) {
    let remove = format!("DELETE /containers/{name}?force=true");
    assert!(ground.engine.ask(&remove).status < 300);
    calm(ground);
}

/// Waits until the engine has nothing, and a little longer for what it does after an answer.
fn calm(ground: &Ground) {
    basalt_tests::until::until(DEADLINE, "the engine has nothing", || {
        let list = ground.engine.ask("GET /containers/json?all=true").json();
        list.as_array().is_some_and(Vec::is_empty).then_some(())
    });
    std::thread::sleep(Duration::from_millis(200));
}
