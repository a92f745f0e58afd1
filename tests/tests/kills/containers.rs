//! Containers, on both engines.

use std::collections::BTreeMap;
use std::time::Instant;

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet};
use basalt_tests::ground::TINY;
use serde_json::{Value, json};

use crate::run::Run;
use crate::wanted::{Wanted, Write, Writer};

/// Kills of each engine's run in CI.
const IN_CI: u32 = 20;
/// Milliseconds within which a kill comes after a write was begun, and a start after a kill.
const KILL_WITHIN: u64 = 400;
const START_WITHIN: u64 = 300;

#[test]
fn what_was_acknowledged_runs_on_podman_whoever_is_killed() {
    kills(Kind::Podman, Run::begin("podman", IN_CI));
}

#[test]
fn what_was_acknowledged_runs_on_dockerd_whoever_is_killed() {
    kills(Kind::Docker, Run::begin("dockerd", IN_CI));
}

/// A container as the engine has it: which one, and as which process.
type Made = (String, u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Hostd,
    Endpoint,
    Engine,
}

impl Victim {
    const ALL: [Self; 3] = [Self::Hostd, Self::Endpoint, Self::Engine];

    fn name(self) -> &'static str {
        match self {
            Self::Hostd => "hostd",
            Self::Endpoint => "endpoint",
            Self::Engine => "engine",
        }
    }

    fn kill(self, fleet: &mut Fleet) {
        match self {
            Self::Hostd => fleet.host.kill(),
            Self::Endpoint => fleet.endpoint.kill(),
            Self::Engine => fleet.ground.engine.kill(),
        }
    }

    fn start(self, fleet: &mut Fleet) {
        match self {
            Self::Hostd => fleet.host.start(),
            Self::Endpoint => fleet.endpoint.start(),
            Self::Engine => fleet.ground.engine.start_again(),
        }
    }
}

fn kills(kind: Kind, mut run: Run) {
    let Some(mut fleet) = Fleet::start(kind) else { return };
    let writer = Writer::of(&fleet);
    let foreign = somebody_elses(&fleet);
    let mut wanted = Wanted::new();
    let mut made = BTreeMap::new();
    let mut killed = 0;
    while killed < run.kills {
        let write = Write::choose(&mut run.rng, &wanted);
        run.note_operation(killed, &format!("{write:?}"));
        let mut victims = Victim::ALL;
        run.rng.shuffle(&mut victims);
        let together = if run.rng.u32(..4) == 0 { 2 } else { 1 };
        let began = Instant::now();
        std::thread::scope(|scope| {
            let written = scope.spawn(|| write.carry_out(&writer));
            for victim in &victims[..together] {
                run.pause(KILL_WITHIN);
                victim.kill(&mut fleet);
                run.note_kill(killed, victim.name());
                killed += 1;
            }
            for victim in &victims[..together] {
                run.pause(START_WITHIN);
                victim.start(&mut fleet);
            }
            written.join().unwrap();
        });
        let before = wanted.clone();
        write.note(&mut wanted);
        acknowledged_is_there(&fleet, &wanted);
        let now = settle(&fleet, &wanted);
        run.note_settled(began.elapsed());
        what_nobody_wrote_about_goes_on(&before, &wanted, &made, &now);
        assert_eq!(processes(&fleet, &foreign), foreign, "what is not ours was touched");
        made = now;
    }
    run.end();
}

/// Containers that are not ours, one with a name as ours have.
fn somebody_elses(fleet: &Fleet) -> BTreeMap<String, Made> {
    let engine = &fleet.ground.engine;
    for name in ["stranger", "a1-0f8fad5b"] {
        let body = json!({
            "Image": TINY, "Cmd": ["sleep", "100000"], "Labels": { "io.basalt.name": name },
            "HostConfig": { "NetworkMode": "none" },
        });
        let answer = engine.send(&format!("POST /containers/create?name={name}"), &body);
        assert_eq!(answer.status, 201);
        assert_eq!(engine.ask(&format!("POST /containers/{name}/start")).status, 204);
    }
    let names = ["stranger", "a1-0f8fad5b"].map(|name| (name.to_owned(), (String::new(), 0)));
    processes(fleet, &BTreeMap::from(names))
}

fn processes(fleet: &Fleet, of: &BTreeMap<String, Made>) -> BTreeMap<String, Made> {
    let made = |name: &String| (name.clone(), made(&fleet.ground.engine.inspect(name)));
    of.keys().map(made).collect()
}

fn made(inspected: &Value) -> Made {
    let id = inspected["Id"].as_str().unwrap_or_default().to_owned();
    (id, inspected["State"]["Pid"].as_u64().unwrap_or_default())
}

/// No write that the endpoint acknowledged is gone.
fn acknowledged_is_there(fleet: &Fleet, wanted: &Wanted) {
    let said = fleet.endpoint.ctl(&["workloads", "--json"]);
    assert!(said.ok, "{}", said.errors);
    let list = said.json();
    let found: BTreeMap<String, String> = list["workloads"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            let version = &one["spec"]["container"]["environment"]["VERSION"];
            (word(&one["spec"]["name"]), word(version))
        })
        .collect();
    let assigned = wanted.iter().filter(|(_, want)| !want.is_local);
    let expected: BTreeMap<String, String> =
        assigned.map(|(name, want)| ((*name).to_owned(), want.version.to_string())).collect();
    assert_eq!(found, expected, "what was acknowledged is not what the endpoint has");
}

/// Waits until the host has what shall be there, and the engine each of it once; what it has then.
fn settle(fleet: &Fleet, wanted: &Wanted) -> BTreeMap<String, Made> {
    let end = Instant::now() + DEADLINE;
    loop {
        match look(fleet, wanted) {
            Ok(made) => return made,
            Err(why) => {
                assert!(Instant::now() < end, "{why}\nwanted: {wanted:?}\n{}", fleet.host.log());
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn look(fleet: &Fleet, wanted: &Wanted) -> Result<BTreeMap<String, Made>, String> {
    let workloads = fleet.host.workloads().ok_or("hostd does not answer")?;
    let found: BTreeMap<&str, (String, String)> = workloads
        .iter()
        .map(|(name, one)| (name.as_str(), (word(&one["source"]), word(&one["state"]))))
        .collect();
    let expected: BTreeMap<&str, (String, String)> = wanted
        .iter()
        .map(|(name, want)| {
            let source = if want.is_local { "local" } else { "assigned" };
            let state = if want.held { "stopped" } else { "running" };
            (*name, (source.to_owned(), state.to_owned()))
        })
        .collect();
    if found != expected {
        return Err(format!("hostd has {found:?}"));
    }
    containers(fleet, wanted)
}

/// Our containers, by the workload's name, when each is there once and is what it shall be.
fn containers(fleet: &Fleet, wanted: &Wanted) -> Result<BTreeMap<String, Made>, String> {
    let engine = &fleet.ground.engine;
    let list = engine.ask("GET /containers/json?all=true").json();
    let ours = list.as_array().ok_or("the engine has no list")?;
    let ours = ours.iter().filter(|one| one["Labels"]["io.basalt.uid"].is_string());
    let mut found = BTreeMap::new();
    for one in ours {
        let name = word(&one["Labels"]["io.basalt.name"]);
        let want = wanted.get(name.as_str()).ok_or_else(|| format!("{name} is still there"))?;
        let inspected = engine.inspect(&word(&one["Id"]));
        let is_running = inspected["State"]["Running"] == true;
        let version = format!("VERSION={}", want.version);
        let variables = inspected["Config"]["Env"].as_array().cloned().unwrap_or_default();
        let is_it = variables.iter().any(|variable| *variable == version.as_str());
        if want.held == is_running || (is_running && !is_it) {
            return Err(format!("{name} runs: {is_running}, is it: {is_it}"));
        }
        if let Some(other) = found.insert(name.clone(), made(&inspected)) {
            return Err(format!("{name} is there twice: {other:?} and {inspected}"));
        }
    }
    each_runs_once(fleet, wanted)?;
    // One that is held need not have been made.
    let missing = wanted.iter().find(|(name, want)| !want.held && !found.contains_key(**name));
    missing.map_or(Ok(found), |(name, _)| Err(format!("{name} has no container")))
}

/// In the kernel, too: an engine that was killed within a start may not know what it began.
fn each_runs_once(fleet: &Fleet, wanted: &Wanted) -> Result<(), String> {
    let mut run = fleet.ground.shells_with("VERSION");
    let running = wanted.values().filter(|want| !want.held);
    let mut expected: Vec<String> = running.map(|want| want.version.to_string()).collect();
    run.sort();
    expected.sort();
    if run == expected { Ok(()) } else { Err(format!("{run:?} run, not {expected:?}")) }
}

/// What is wanted as before runs as the same process, in the same container.
fn what_nobody_wrote_about_goes_on(
    before: &Wanted,
    wanted: &Wanted,
    made: &BTreeMap<String, Made>,
    now: &BTreeMap<String, Made>,
) {
    for (name, want) in wanted.iter().filter(|(_, want)| !want.held) {
        if before.get(name) == Some(want) {
            assert_eq!(made.get(*name), now.get(*name), "{name} was not left alone");
        }
    }
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
