//! Check-ins of many hosts at one endpoint, over the same TLS long poll on a handler that does
//! nothing; the endpoint's memory per host.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use basalt_cmd::{Cmd, Running};
use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet};
use basalt_tests::until::until;
use serde_json::Value;

use crate::memory::pss_mib;
use crate::print::measure;
use crate::simulator::HOSTS;
use crate::statically;

/// The simulator, and what it says.
struct Simulator {
    running: Running,
    said: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

pub(crate) fn run() {
    let mut fleet = Fleet::prepare(Kind::Podman).unwrap();
    fleet.endpoint.start();
    let empty = pss_mib(fleet.endpoint.id()).unwrap();
    let folder = fleet.ground.path("simulator");
    fs::create_dir(&folder).unwrap();
    let said = fleet.endpoint.ctl(&["token", "create", "--uses", &HOSTS.to_string()]);
    fs::write(folder.join("join"), said.text.lines().next().unwrap()).unwrap();
    let mut simulator = Simulator::start(&folder);
    let enrolled = simulator.hears("enrolled");
    measure(
        &format!("{HOSTS} enrolments and first check-ins, each"),
        number(&enrolled, "each_s"),
        "s",
        None,
    );

    // It knows its hosts, and nobody has come yet.
    fleet.endpoint.kill();
    fleet.endpoint.start();
    simulator.tell("https://127.0.0.1:18443 enrolled");
    simulator.hears("waiting");
    let full = pss_mib(fleet.endpoint.id()).unwrap();
    let ours = simulator.hears("times");
    fleet.endpoint.kill();

    let _handler = start("static", &folder);
    until(DEADLINE, "the static handler listens", || TcpStream::connect(statically::ADDRESS).ok());
    simulator.tell(&format!("https://{} static", statically::ADDRESS));
    simulator.hears("waiting");
    let other = simulator.hears("times");
    for (name, times) in [("check-in", &ours), ("static handler", &other)] {
        for key in ["p50_s", "p99_s"] {
            let what = format!("{name} beyond its hold, {}", key.trim_end_matches("_s"));
            measure(&what, number(times, key) * 1000.0, "ms", None);
        }
        measure(&format!("{name}s that were timed"), number(times, "timed"), "", None);
        measure(&format!("{name}s that failed"), number(times, "failed"), "", Some(0.0));
    }
    for key in ["p50_s", "p99_s"] {
        let what = format!("check-in over static handler, {}", key.trim_end_matches("_s"));
        measure(&what, number(&ours, key) / number(&other, key), "×", None);
    }
    measure("endpoint without hosts: PSS", empty, "MiB", None);
    measure(&format!("endpoint with {HOSTS} waiting: PSS"), full, "MiB", None);
    let hosts = f64::from(HOSTS);
    measure("endpoint's memory per host", (full - empty) * 1024.0 / hosts, "KiB", None);
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap()
}

/// This program, as another one of its parts.
fn start(part: &str, folder: &Path) -> Running {
    let own = std::env::current_exe().unwrap();
    let cmd = Cmd::new(own).arg(part).arg(folder);
    cmd.spawn(Stdio::piped(), Stdio::piped(), Stdio::inherit()).unwrap()
}

impl Simulator {
    fn start(folder: &Path) -> Self {
        let mut running = start("simulator", folder);
        let said = BufReader::new(running.child().stdout.take().unwrap()).lines();
        Self { running, said }
    }

    /// What it says next, which must be about this.
    fn hears(&mut self, about: &str) -> Value {
        let line = self.said.next().expect("the simulator goes on").unwrap();
        eprintln!("simulator: {line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        value.get(about).unwrap_or_else(|| panic!("it says {line}")).clone()
    }

    fn tell(&mut self, line: &str) {
        let stdin = self.running.child().stdin.as_mut().unwrap();
        writeln!(stdin, "{line}").unwrap();
    }
}
