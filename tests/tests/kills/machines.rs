//! A virtual machine, on a libvirtd of the test's own.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use basalt_cmd::Cmd;
use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet, hostctl, text};
use basalt_tests::libvirt::Libvirt;
use basalt_tests::until::until;
use rustix::process::{Pid, Signal, kill_process};

use crate::run::Run;

/// Kills of this run in CI.
const IN_CI: u32 = 10;
const KILL_WITHIN: u64 = 500;
const START_WITHIN: u64 = 300;
/// One that is not ours; it boots nothing.
const FOREIGN: &str = "<domain type='qemu'><name>stranger</name>\
    <uuid>7c9e6679-7425-40de-944b-e07fc1f90ae7</uuid><memory unit='MiB'>16</memory>\
    <os><type arch='x86_64' machine='pc'>hvm</type></os></domain>";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Hostd,
    HostdVirt,
    Libvirtd,
    Endpoint,
}

#[test]
fn a_machine_goes_on_whoever_is_killed() {
    if !basalt_tests::libvirt::may_run() {
        return;
    }
    kills(Run::begin("libvirtd", IN_CI));
}

/// The emulators that run, by their domain's name, and as which process.
type Emulators = BTreeSet<(String, u32)>;

fn kills(mut run: Run) {
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    let mut libvirt = Libvirt::start();
    fleet.with_libvirt(&libvirt);
    let spec = fleet.machine("guest", "");
    fleet.endpoint.start();
    fleet.enrol();
    fs::write(libvirt.path("stranger.xml"), FOREIGN).unwrap();
    let _ = libvirt.virsh(&["create", text(&libvirt.path("stranger.xml"))]);
    let said = fleet.endpoint.ctl(&["apply", text(&spec), "--wait"]);
    assert!(said.ok, "{}", said.errors);
    let mut runs = true;
    let mut before = settle(&fleet, &libvirt, runs, &Emulators::new());
    let mut killed = 0;
    while killed < run.kills {
        // Mostly it goes on; sometimes its host's operator holds it, or lets go of it.
        let changes = !runs || run.rng.u32(..3) == 0;
        let (root, word) = (fleet.host.root(), if runs { "stop" } else { "start" });
        let began = Instant::now();
        std::thread::scope(|scope| {
            let written = scope.spawn(move || {
                if changes {
                    until(DEADLINE, "the write is acknowledged", || {
                        hostctl(&root, &[word, "guest"]).ok.then_some(())
                    });
                }
            });
            run.pause(KILL_WITHIN);
            let victim = Victim::ALL[run.rng.usize(..4)];
            if victim.kill(&mut fleet, &mut libvirt) {
                run.note_kill(killed, victim.name());
                killed += 1;
                run.pause(START_WITHIN);
                victim.start(&mut fleet, &mut libvirt);
            }
            written.join().unwrap();
        });
        runs ^= changes;
        let keeps = if changes { Emulators::new() } else { before };
        run.note_operation(killed, if changes { word } else { "nothing" });
        before = settle(&fleet, &libvirt, runs, &keeps);
        run.note_settled(began.elapsed());
    }
    run.end();
}

impl Victim {
    const ALL: [Self; 4] = [Self::Hostd, Self::HostdVirt, Self::Libvirtd, Self::Endpoint];

    fn name(self) -> &'static str {
        match self {
            Self::Hostd => "hostd",
            Self::HostdVirt => "hostd-virt",
            Self::Libvirtd => "libvirtd",
            Self::Endpoint => "endpoint",
        }
    }

    /// Whether there was something to kill: without a machine there is no `hostd-virt`.
    fn kill(self, fleet: &mut Fleet, libvirt: &mut Libvirt) -> bool {
        match self {
            Self::Hostd => fleet.host.kill(),
            Self::HostdVirt => {
                let Some(pid) = child(fleet.host.id()) else { return false };
                // It may just have ended by itself.
                return kill_process(pid, Signal::KILL).is_ok();
            }
            Self::Libvirtd => libvirt.kill(),
            Self::Endpoint => fleet.endpoint.kill(),
        }
        true
    }

    fn start(self, fleet: &mut Fleet, libvirt: &mut Libvirt) {
        match self {
            Self::Hostd => fleet.host.start(),
            // `hostd` starts it.
            Self::HostdVirt => (),
            Self::Libvirtd => libvirt.start_again(),
            Self::Endpoint => fleet.endpoint.start(),
        }
    }
}

/// The `hostd-virt` of this `hostd`.
fn child(hostd: u32) -> Option<Pid> {
    let words = ["-P", &hostd.to_string(), "-x", "hostd-virt"];
    let found = Cmd::new("pgrep").args(words).output().unwrap().stdout_text();
    Pid::from_raw(found.lines().next()?.parse().ok()?)
}

/// Waits until everything is as it shall be; `keeps` still run as the same processes.
fn settle(fleet: &Fleet, libvirt: &Libvirt, runs: bool, keeps: &Emulators) -> Emulators {
    let end = Instant::now() + DEADLINE;
    loop {
        match look(fleet, libvirt, runs) {
            Ok(now) => {
                assert!(keeps.is_subset(&now), "{keeps:?} became {now:?}");
                return now;
            }
            Err(why) => assert!(Instant::now() < end, "{why}\n{}", fleet.host.log()),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn look(fleet: &Fleet, libvirt: &Libvirt, runs: bool) -> Result<Emulators, String> {
    let said = fleet.endpoint.ctl(&["workloads", "--json"]);
    let at_endpoint = said.json()["workloads"].as_array().map_or(0, Vec::len);
    assert_eq!((said.ok, at_endpoint), (true, 1), "{}", said.text);
    let workloads = fleet.host.workloads().ok_or("hostd does not answer")?;
    let state = if runs { "running" } else { "stopped" };
    if workloads.len() != 1 || workloads["guest"]["state"] != state {
        return Err(format!("hostd has {workloads:?}"));
    }
    let domains = libvirt.virsh(&["list", "--all", "--name"]);
    let domains = domains.lines().filter(|line| !line.trim().is_empty()).count();
    let now = emulators(libvirt);
    if domains != 2 || now.len() != 1 + usize::from(runs) {
        return Err(format!("there are {domains} domains, run by {now:?}"));
    }
    let is_there = now.iter().any(|(name, _)| name == "stranger");
    if is_there { Ok(now) } else { Err(format!("the stranger does not run: {now:?}")) }
}

/// Each QEMU of this libvirtd, by `-name guest=NAME,…` of its command line; its mounts tell whose it
/// is.
fn emulators(libvirt: &Libvirt) -> Emulators {
    let found = Cmd::new("pgrep").args(["-x", "qemu-system-x86"]).output().unwrap().stdout_text();
    let ours = found.lines().filter_map(|pid| {
        let pid: u32 = pid.parse().ok()?;
        let roots = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        if roots(pid)? != roots(libvirt.id())? {
            return None;
        }
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).into_owned();
        let name = line.split('\0').find_map(|word| word.strip_prefix("guest="))?;
        Some((name.split(',').next()?.to_owned(), pid))
    });
    ours.collect()
}
