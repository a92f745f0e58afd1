//! A container assigned at the endpoint, until its first line of output, over the same applied at
//! the host itself; each from the moment that an operator types it.

use std::time::{Duration, Instant};

use basalt_tests::engine::Kind;
use basalt_tests::fleet::{Fleet, Said, text};
use basalt_tests::ground::TINY;

use crate::containers::{COMMAND, Outputs};
use crate::pairs::alternate;
use crate::print::measure;

const PAIRS: u32 = 20;

pub(crate) fn run() {
    let fleet = Fleet::start(Kind::Podman).unwrap();
    let outputs = Outputs::of(&fleet.ground);
    let file = fleet.put("measured.toml", &spec());
    let file = text(&file);
    let assigned = || {
        time(
            &fleet,
            &outputs,
            || fleet.endpoint.ctl(&["apply", file]),
            || fleet.endpoint.ctl(&["delete", "measured"]),
        )
    };
    let local = || {
        time(
            &fleet,
            &outputs,
            || fleet.host.ctl(&["apply", file]),
            || fleet.host.ctl(&["delete", "measured"]),
        )
    };
    assigned();
    local();
    let (assigned, local) = alternate(PAIRS, assigned, local);
    assigned.print("`basaltctl apply` → first line");
    local.print("`hostctl apply` → first line");
    let more = assigned.median() - local.median();
    measure("assigned after local, medians", more, "s", Some(0.2));
}

fn spec() -> String {
    format!(
        "name = \"measured\"\nkind = \"container\"\n[container]\nimage = {TINY:?}\n\
         network = \"host\"\ncommand = {COMMAND:?}\n"
    )
}

fn time(
    fleet: &Fleet,
    outputs: &Outputs,
    apply: impl FnOnce() -> Said,
    delete: impl FnOnce() -> Said,
) -> Duration {
    let known = outputs.ids();
    let began = Instant::now();
    let said = apply();
    assert!(said.ok, "{}", said.errors);
    outputs.first_line(&known);
    let took = began.elapsed();
    fleet.host.becomes(&[("measured", "running")]);
    let said = delete();
    assert!(said.ok, "{}", said.errors);
    fleet.host.becomes(&[]);
    std::thread::sleep(Duration::from_millis(200));
    took
}
