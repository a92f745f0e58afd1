//! A clock that is a year off: told as what it is, retried, and no workload stops.

use std::path::Path;

use basalt_tests::engine::Kind;
use basalt_tests::fleet::Fleet;

/// Debian's `libfaketime`, the one for programs of many threads.
const LIBRARY: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Variables by which a program reads the calendar so many days off. What counts time, as the
/// monotonic clock, is left alone.
fn off(days: &str) -> [(&'static str, &str); 4] {
    assert!(Path::new(LIBRARY).exists(), "`libfaketime` is not installed");
    [
        ("LD_PRELOAD", LIBRARY),
        ("FAKETIME", days),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ]
}

#[test]
fn a_host_whose_clock_is_a_year_off_says_so_and_runs_on() {
    let Some(mut fleet) = Fleet::start(Kind::Podman) else { return };
    fleet.apply("web", "");
    let containers = fleet.containers();
    for days in ["+365d", "-365d"] {
        fleet.host.kill();
        fleet.host.with_env(&off(days));
        fleet.host.start();
        tells_of_clocks(&fleet);
        fleet.host.becomes(&[("web", "running")]);
        assert_eq!(fleet.containers(), containers);

        fleet.host.kill();
        fleet.host.with_env(&[]);
        fleet.host.start();
        fleet.host.stands("connected");
        assert_eq!(fleet.containers(), containers);
    }
}

#[test]
fn an_endpoint_whose_clock_is_a_year_off_is_told_by_its_hosts_which_run_on() {
    let Some(mut fleet) = Fleet::start(Kind::Podman) else { return };
    fleet.apply("web", "");
    let containers = fleet.containers();
    let until_s = fleet.endpoint.host().unwrap()["certificate_expires_at"].clone();
    for days in ["+365d", "-365d"] {
        fleet.endpoint.kill();
        fleet.host.stands("away");
        fleet.endpoint.with_env(&off(days));
        fleet.endpoint.start();
        tells_of_clocks(&fleet);
        fleet.host.becomes(&[("web", "running")]);
        assert_eq!(fleet.containers(), containers);
        fleet.endpoint.kill();
        fleet.endpoint.with_env(&[]);
        fleet.endpoint.start();
        fleet.host.stands("connected");
        assert_eq!(fleet.containers(), containers);
    }
    assert_eq!(fleet.endpoint.host().unwrap()["certificate_expires_at"], until_s);
    fleet.apply("later", "");
}

/// The host says that clocks differ, with both times, and what to do.
fn tells_of_clocks(fleet: &Fleet) {
    let why = basalt_tests::until::until(basalt_tests::fleet::DEADLINE, "clocks are told", || {
        let endpoint = fleet.host.status()["endpoint"].clone();
        let why = endpoint["reason"].as_str()?.to_owned();
        (endpoint["state"] == "away" && why.contains("clock")).then_some(why)
    });
    assert!(why.contains("compare the clocks"), "{why}");
    // Both times: seconds since 1970, as TLS has them.
    let numbers = why.split(|c: char| !c.is_ascii_digit()).filter(|part| part.len() >= 10).count();
    assert!(numbers >= 2, "both times are missing: {why}");
    let said = fleet.host.ctl(&["status"]);
    assert!(said.text.contains("clock"), "{}", said.text);
}
