//! What `hostd` takes: memory and processor time with 0, 50 and 200 workloads, the time of a round,
//! and of a look at everything; and `hostd-virt`'s memory.

use std::ops::Add;
use std::time::{Duration, Instant};

use basalt_tests::engine::{Engine, Kind};
use basalt_tests::fleet::{DEADLINE, Fleet};
use basalt_tests::ground::TINY;
use basalt_tests::http::ask;
use basalt_tests::libvirt::Libvirt;
use hostd::containers::{Containers, Settings};
use hostd::registries::Registries;
use hostd::runtime::Runtime;
use serde_json::json;

use crate::memory::{cpu, named, pss_mib};
use crate::pairs::Times;
use crate::print::measure;
use crate::{loop_of_hostd, machines};

/// Workloads, MiB that `hostd` may take with them, and percent of a processor at rest.
const SIZES: [(usize, f64, f64); 3] = [(0, 15.0, 0.2), (50, 20.0, 0.5), (200, 30.0, 1.0)];
const LOOKS: u32 = 20;

pub(crate) fn run(rest: Duration) {
    loop_of_hostd::run();
    let mut fleet = Fleet::start(Kind::Podman).unwrap();
    let mut there = 0;
    for (number, mib, percent) in SIZES {
        fill(&fleet, there, number);
        there = number;
        at_rest(&mut fleet, number, (mib, percent), rest);
    }
    looks(&fleet.ground.engine);
    virt(&mut fleet);
}

/// Applies so many, and waits until all run.
fn fill(fleet: &Fleet, from: usize, to: usize) {
    let spec = |number: usize| {
        json!({
            "name": format!("w{number}"), "kind": "container",
            "container": { "image": TINY, "network": "none", "command": ["sleep", "1000000"] },
        })
    };
    for begin in (from..to).step_by(25) {
        let specs: Vec<_> = (begin..to.min(begin + 25)).map(spec).collect();
        let body = json!({ "workloads": specs }).to_string().into_bytes();
        let asked = ask(&fleet.host.socket(), "POST /v1/workloads", "application/json", &body);
        assert_eq!(asked.unwrap().status, 200);
    }
    let end = Instant::now() + 5 * DEADLINE;
    loop {
        let workloads = fleet.host.workloads().unwrap();
        let running = workloads.values().filter(|one| one["state"] == "running").count();
        if running == to {
            return;
        }
        assert!(Instant::now() < end, "{running} of {to} run");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn at_rest(fleet: &mut Fleet, number: usize, (mib, percent): (f64, f64), rest: Duration) {
    // As after a boot: not what the making of them took.
    fleet.host.kill();
    fleet.host.start();
    fleet.host.stands("connected");
    std::thread::sleep(Duration::from_secs(5));
    let hostd = fleet.host.id();
    eprintln!("{number} workloads: {} s of rest", rest.as_secs());
    let (before, began) = (cpu(hostd), Instant::now());
    std::thread::sleep(rest);
    let share = (cpu(hostd) - before).as_secs_f64() / began.elapsed().as_secs_f64();
    let own = pss_mib(hostd).unwrap();
    measure(&format!("hostd with {number}: PSS"), own, "MiB", Some(mib));
    let what = format!("hostd with {number}: processor over {} s at rest", rest.as_secs());
    measure(&what, share * 100.0, "%", Some(percent));
    let engine = pss_mib(fleet.ground.engine.id()).unwrap();
    let watchers: f64 = named("conmon").into_iter().filter_map(pss_mib).fold(0.0, Add::add);
    measure(&format!("  podman's service with {number}: PSS"), engine, "MiB", None);
    measure(&format!("  conmon of all {number}: PSS"), watchers, "MiB", None);
    let sum = own + engine + watchers;
    measure(&format!("  everything kept alive with {number}: PSS"), sum, "MiB", None);
}

/// A look at everything, as `hostd` makes it, over the one list call that it makes; in turns.
fn looks(engine: &Engine) {
    const LIST: &str =
        "GET /containers/json?all=true&filters=%7B%22label%22%3A%5B%22io.basalt.uid%22%5D%7D";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let containers = Containers::new(Settings::new(engine.socket(), Registries::default()));
    // As in `hostd`: what does not change is asked about once, for changes are heard.
    let all = runtime.block_on(async {
        containers.changed().await;
        containers.observe().await.unwrap();
        containers.changed().await;
        containers.observe().await.unwrap().instances
    });
    let (mut looks, mut lists) = (Times::default(), Times::default());
    for _ in 0..LOOKS {
        let began = Instant::now();
        assert_eq!(runtime.block_on(containers.observe()).unwrap().instances.len(), all.len());
        looks.add(began.elapsed());
        let began = Instant::now();
        let list = engine.ask(LIST);
        lists.add(began.elapsed());
        assert_eq!(list.json().as_array().unwrap().len(), all.len());
    }
    looks.print(&format!("a look at {}", all.len()));
    lists.print(&format!("the list call of {}", all.len()));
    let ratio = looks.median() / lists.median();
    measure("a look over the list call, medians", ratio, "×", Some(1.2));
}

/// `hostd-virt` with one machine.
fn virt(fleet: &mut Fleet) {
    let libvirt = Libvirt::start();
    let image = machines::allow(&fleet.host, &fleet.ground, &libvirt);
    fleet.host.kill();
    fleet.host.start();
    machines::apply(&fleet.host, &image);
    std::thread::sleep(Duration::from_secs(2));
    let virt = named("hostd-virt");
    let mib = pss_mib(virt[0]).unwrap();
    measure("hostd-virt with one machine: PSS", mib, "MiB", Some(20.0));
}
