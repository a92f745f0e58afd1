//! Hosts that fall silent: what the endpoint makes of it by itself.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::endpoint::{Endpoint, container, wait_until};
use crate::host::TestHost;

/// What the spec says, and what is added to both (`core::disconnect`).
const AFTER_S: u64 = 10;
const STOP_GRACE_S: u64 = 3;
const MARGIN_S: u64 = 10;

async fn state(endpoint: &Endpoint, host: &str) -> Value {
    endpoint.get(&format!("/v1/hosts/{host}")).await["host"]["state"].clone()
}

/// The kinds of the events about a host or a workload, in their order.
async fn told(endpoint: &Endpoint, key: &str, name: &str) -> Vec<String> {
    let events = endpoint.get("/v1/events").await;
    let events = events["events"].as_array().unwrap().iter();
    let of_it = events.filter(|event| event[key] == name);
    of_it.map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

/// Checks in, again and again, until it has a workload of this name.
async fn until_it_has(host: &mut TestHost, endpoint: &Endpoint, name: &str, within: Duration) {
    let until = Instant::now() + within;
    while !host.workloads().contains(&name) {
        assert!(Instant::now() < until, "it never had it: {}", endpoint.log());
        host.check_in(endpoint).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_silent_host_has_stopped_by_itself_runs_elsewhere_and_not_a_moment_sooner() {
    let mut endpoint = Endpoint::start_with(&["--quicken", "20"]);
    let mut silent = TestHost::ready(&endpoint, "a").await;
    let replaced = |name: &str, policy: Value| {
        let mut spec = container(name);
        spec["disconnect"] = policy;
        spec["container"]["stop_grace_s"] = json!(STOP_GRACE_S);
        spec
    };
    let moves = json!({ "policy": "replace_after", "after_s": AFTER_S });
    endpoint.apply_spec(replaced("moves", moves)).await;
    endpoint.apply_spec(replaced("stays", json!({ "policy": "keep" }))).await;
    // Only once both are there, so that they are the first one's.
    let mut other = TestHost::ready(&endpoint, "b").await;
    silent.settle(&endpoint).await;
    let mut both = silent.workloads();
    both.sort_unstable();
    assert_eq!(both, ["moves", "stays"]);
    let asked = Instant::now();
    silent.is_known = false;
    silent.check_in(&endpoint).await;
    until_it_has(&mut other, &endpoint, "moves", Duration::from_secs(60)).await;
    let took = asked.elapsed();
    // Seconds are counted whole: one less may be seen.
    let soonest = Duration::from_secs(AFTER_S + STOP_GRACE_S + MARGIN_S - 1);
    assert!(took >= soonest, "the other had it after {took:?}");
    assert!(told(&endpoint, "host", "a").await.contains(&"host_lost".to_owned()));
    assert_eq!(state(&endpoint, "a").await, "lost");
    assert_eq!(other.workloads(), ["moves"]);

    // What was found out is on the disk.
    endpoint.kill();
    endpoint.run();
    assert_eq!(state(&endpoint, "a").await, "lost");

    // It returns, and does not have it: nobody runs it twice.
    silent.settle(&endpoint).await;
    assert_eq!(silent.workloads(), ["stays"]);
    assert_eq!(state(&endpoint, "a").await, "present");
    assert_eq!(endpoint.get("/v1/workloads/moves").await["workload"]["host"], "b");
    let events = told(&endpoint, "host", "a").await;
    let states: Vec<&str> = events
        .iter()
        .filter_map(|kind| kind.strip_prefix("host_"))
        .filter(|kind| ["present", "lost"].contains(kind))
        .collect();
    assert_eq!(states, ["present", "lost", "present"], "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_whose_certificate_has_expired_is_told_as_that_and_renews_it() {
    let endpoint = Endpoint::start_with(&["--quicken", "100", "--cert-life", "4s"]);
    let mut host = TestHost::ready(&endpoint, "a").await;
    wait_until("its certificate is known to have expired", async || {
        let state = state(&endpoint, "a").await;
        if state == "cert_expired" { Ok(()) } else { Err(state.to_string()) }
    })
    .await;
    let events = told(&endpoint, "host", "a").await;
    assert!(events.contains(&"host_cert_expired".to_owned()), "{events:?}");
    // TLS counts whole seconds; until its own is over the endpoint refuses by a fault.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for _ in 0..20 {
        let refused = format!("{:#}", host.try_check_in(&endpoint).await.unwrap_err());
        assert!(refused.contains("alert: CertificateExpired"), "{refused}");
    }
    host.certificate = host.renew(&endpoint).await.unwrap().certificate;
    host.is_known = false;
    host.check_in(&endpoint).await;
    assert_eq!(state(&endpoint, "a").await, "present");
}
