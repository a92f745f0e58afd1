//! Rollouts, from an operator's command to the sets of hosts, over the crash of the endpoint.

use basalt_api::rollout::{OsTarget, OsUpdate, OsUpdateState};
use basalt_endpoint::client::Client;
use basalt_https::Limits;
use hyper::Method;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::endpoint::{DEADLINE, Endpoint, container, wait_until};
use crate::host::TestHost;

/// What its set says of the release.
fn target(host: &TestHost) -> Option<OsTarget> {
    host.set.as_ref().and_then(|set| set.os.clone())
}

fn may_reboot(host: &TestHost) -> bool {
    target(host).is_some_and(|target| target.reboot)
}

/// The host says how far it is with the release of its set.
async fn says(host: &mut TestHost, endpoint: &Endpoint, state: OsUpdateState) {
    let OsTarget { version, attempt, .. } = target(host).unwrap();
    let reason = (state == OsUpdateState::Failed).then(|| "its gate failed".to_owned());
    host.os.update = Some(OsUpdate { version, attempt, state, percent: None, reason });
    tell(host, endpoint).await;
}

async fn tell(host: &mut TestHost, endpoint: &Endpoint) {
    host.is_known = false;
    host.check_in(endpoint).await;
}

/// The host has rebooted and runs the release of its set.
async fn reboots(host: &mut TestHost, endpoint: &Endpoint) {
    host.os.version = target(host).unwrap().version;
    host.os.update = None;
    host.boot_id.push('+');
    host.session += 1;
    tell(host, endpoint).await;
}

async fn until(what: &str, endpoint: &Endpoint, is_so: impl Fn(&Value) -> bool) {
    wait_until(what, async || {
        let rollout = endpoint.get("/v1/os/rollouts/stable").await;
        if is_so(&rollout) { Ok(()) } else { Err(format!("{rollout:#}")) }
    })
    .await;
}

async fn until_stage(endpoint: &Endpoint, host: usize, stage: &str) {
    until(stage, endpoint, |rollout| rollout["hosts"][host]["stage"] == stage).await;
}

async fn ctl(endpoint: &Endpoint, words: &[&str]) -> String {
    let ended = endpoint.ctl(words).await;
    assert_eq!(ended.code, 0, "{words:?}: {}", ended.stderr);
    ended.stdout
}

async fn start(endpoint: &Endpoint, words: &[&str]) {
    ctl(endpoint, &["os", "channel", "set", "stable", "2"]).await;
    ctl(endpoint, &[&["os", "rollout", "start"], words].concat()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_come_to_the_version_one_after_the_other_over_a_crash_of_the_endpoint() {
    let mut endpoint = Endpoint::start();
    let (mut a, mut b) =
        (TestHost::ready(&endpoint, "a").await, TestHost::ready(&endpoint, "b").await);
    start(&endpoint, &[]).await;
    for host in [&mut a, &mut b] {
        host.settle(&endpoint).await;
        let expected = OsTarget { version: "2".to_owned(), attempt: 0, reboot: false };
        assert_eq!(target(host), Some(expected));
    }
    says(&mut a, &endpoint, OsUpdateState::Fetched).await;
    until_stage(&endpoint, 0, "rebooting").await;
    says(&mut b, &endpoint, OsUpdateState::Fetched).await;
    until_stage(&endpoint, 1, "ready").await;
    tokio::task::block_in_place(|| {
        endpoint.kill();
        endpoint.run();
    });
    a.settle(&endpoint).await;
    b.settle(&endpoint).await;
    assert_eq!([may_reboot(&a), may_reboot(&b)], [true, false]);
    let shown = ctl(&endpoint, &["os", "rollout", "status"]).await;
    let waits = |line: &&str| line.starts_with("b ") && line.contains("place to reboot in group");
    assert!(shown.lines().any(|line| waits(&line)), "{shown}");
    reboots(&mut a, &endpoint).await;
    until_stage(&endpoint, 1, "rebooting").await;
    a.settle(&endpoint).await;
    b.settle(&endpoint).await;
    assert_eq!((target(&a), may_reboot(&b)), (None, true));
    reboots(&mut b, &endpoint).await;
    until("all through", &endpoint, |rollout| rollout["complete"] == true).await;
    // Who comes later comes to it, too.
    let mut late = TestHost::ready(&endpoint, "late").await;
    until_stage(&endpoint, 2, "fetching").await;
    late.settle(&endpoint).await;
    assert!(target(&late).is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_stops_it_until_an_operator_decides() {
    let endpoint = Endpoint::start();
    let (mut a, mut b) =
        (TestHost::ready(&endpoint, "a").await, TestHost::ready(&endpoint, "b").await);
    start(&endpoint, &[]).await;
    a.settle(&endpoint).await;
    b.settle(&endpoint).await;
    says(&mut a, &endpoint, OsUpdateState::Failed).await;
    until("stopped", &endpoint, |rollout| rollout["state"] == "stopped").await;
    says(&mut b, &endpoint, OsUpdateState::Fetched).await;
    until_stage(&endpoint, 1, "ready").await;
    let shown = ctl(&endpoint, &["os", "rollout", "status", "--channel", "stable"]).await;
    assert!(shown.contains("1 host failed, of which 0 may: `a`"), "{shown}");
    assert!(shown.contains("its gate failed"), "{shown}");
    let another = endpoint.ctl(&["os", "rollout", "start"]).await;
    assert!(another.stderr.contains("has a rollout of 2 that is stopped"), "{}", another.stderr);
    ctl(&endpoint, &["os", "rollout", "resume", "--retry"]).await;
    a.settle(&endpoint).await;
    assert_eq!(target(&a).map(|target| target.attempt), Some(1));
    until_stage(&endpoint, 1, "rebooting").await;
    ctl(&endpoint, &["os", "rollout", "abort"]).await;
    a.settle(&endpoint).await;
    b.settle(&endpoint).await;
    assert_eq!((target(&a), may_reboot(&b)), (None, true), "who may reboot does");
    let another = endpoint.ctl(&["os", "rollout", "start"]).await;
    assert!(another.stderr.contains("still reboot (1)"), "its place is taken: {}", another.stderr);
    reboots(&mut b, &endpoint).await;
    until_stage(&endpoint, 1, "updated").await;
    ctl(&endpoint, &["os", "rollout", "start"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_move_leaves_before_the_reboot_and_is_nowhere_twice() {
    let endpoint = Endpoint::start();
    let mut a = TestHost::ready(&endpoint, "a").await;
    let mut movable = container("movable");
    movable["disconnect"] = json!({ "policy": "replace_after", "after_s": 600 });
    endpoint.apply_spec(movable).await;
    endpoint.apply("bound").await;
    a.settle(&endpoint).await;
    let mut b = TestHost::ready(&endpoint, "b").await;
    start(&endpoint, &["--drain", "1h"]).await;
    a.settle(&endpoint).await;
    b.settle(&endpoint).await;
    says(&mut a, &endpoint, OsUpdateState::Fetched).await;
    until_stage(&endpoint, 0, "draining").await;
    // The endpoint has said so and the host has not heard it: nobody else has it.
    assert_eq!(host_of(&endpoint, "movable").await, "a");
    a.settle(&endpoint).await;
    assert_eq!(a.workloads(), ["bound"]);
    assert_eq!(host_of(&endpoint, "movable").await, "a");
    // It has let it go.
    tell(&mut a, &endpoint).await;
    assert_eq!(host_of(&endpoint, "movable").await, "b");
    b.settle(&endpoint).await;
    assert_eq!(b.workloads(), ["movable"]);
    until_stage(&endpoint, 0, "rebooting").await;
    a.settle(&endpoint).await;
    assert!(may_reboot(&a));
}

/// The host that has a workload or shall have it.
async fn host_of(endpoint: &Endpoint, workload: &str) -> String {
    let shown = endpoint.get(&format!("/v1/workloads/{workload}")).await;
    shown["workload"]["host"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_shall_move_nothing_does() {
    let endpoint = Endpoint::start();
    let mut a = TestHost::ready(&endpoint, "a").await;
    let mut movable = container("movable");
    movable["disconnect"] = json!({ "policy": "replace_after", "after_s": 600 });
    endpoint.apply_spec(movable).await;
    a.settle(&endpoint).await;
    let _b = TestHost::ready(&endpoint, "b").await;
    start(&endpoint, &["--no-drain"]).await;
    a.settle(&endpoint).await;
    says(&mut a, &endpoint, OsUpdateState::Fetched).await;
    until_stage(&endpoint, 0, "rebooting").await;
    a.settle(&endpoint).await;
    assert_eq!((may_reboot(&a), a.workloads()), (true, vec!["movable"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_means_something_else_ends_what_all_are_through() {
    let endpoint = Endpoint::start();
    let mut a = TestHost::ready(&endpoint, "a").await;
    start(&endpoint, &[]).await;
    a.settle(&endpoint).await;
    reboots(&mut a, &endpoint).await;
    until("all through", &endpoint, |rollout| rollout["complete"] == true).await;
    ctl(&endpoint, &["os", "channel", "set", "stable", "3"]).await;
    until("ended", &endpoint, |rollout| rollout["state"] == "aborted").await;
    let late = TestHost::ready(&endpoint, "late").await;
    assert_eq!(target(&late), None);
}

/// Asks as Zincati does; the status, and the error's kind.
async fn fleetlock(
    client: &Client,
    base: &str,
    route: &str,
    group: &str,
    id: &str,
) -> (u16, String) {
    let path = format!("{base}v1/{route}");
    let body = json!({ "client_params": { "id": id, "group": group } });
    let body = serde_json::to_vec(&body).unwrap();
    let (name, value) =
        (HeaderName::from_static("fleet-lock-protocol"), HeaderValue::from_static("true"));
    let mut https = client.https().another().with_header(name, value);
    let limits = Limits { deadline: DEADLINE, bytes: 1 << 20 };
    let answer = https.ask(Method::POST, &path, body.into(), limits).await.unwrap();
    let error: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status.as_u16(), error["kind"].as_str().unwrap_or_default().to_owned())
}

/// The path of a group's new `base_url`.
async fn base(endpoint: &Endpoint, group: &str) -> String {
    let key = ctl(endpoint, &["os", "group", "fleetlock", group]).await;
    key.trim().strip_prefix(&endpoint.url()).unwrap().to_owned()
}

/// Gives a host that is not ours leave to reboot.
pub(crate) async fn lock(endpoint: &Endpoint, group: &str, id: &str) {
    let base = base(endpoint, group).await;
    let answer = fleetlock(&endpoint.client(), &base, "pre-reboot", group, id).await;
    assert_eq!(answer.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_not_ours_share_the_limit_by_fleetlock() {
    let endpoint = Endpoint::start();
    let mut a = TestHost::ready(&endpoint, "a").await;
    let (client, base) = (endpoint.client(), base(&endpoint, "default").await);
    let ask = |route: &'static str, group: &'static str, id: &'static str| {
        fleetlock(&client, &base, route, group, id)
    };
    let yes = (200, String::new());
    let full = (409, "failed_lock_semaphore_full".to_owned());
    assert_eq!(ask("pre-reboot", "default", "coreos-1").await, yes);
    assert_eq!(ask("pre-reboot", "default", "coreos-1").await, yes, "it may ask again");
    assert_eq!(ask("pre-reboot", "default", "coreos-2").await, full);
    assert_eq!(ask("pre-reboot", "east", "coreos-1").await.0, 403);
    let guessed = fleetlock(&client, "/fleetlock/x/", "pre-reboot", "default", "y").await;
    assert_eq!(guessed, (403, "unknown_group".to_owned()));
    // A host of ours waits for it, and it for that host.
    start(&endpoint, &[]).await;
    a.settle(&endpoint).await;
    says(&mut a, &endpoint, OsUpdateState::Fetched).await;
    until_stage(&endpoint, 0, "ready").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    until_stage(&endpoint, 0, "ready").await;
    let groups = ctl(&endpoint, &["os", "group", "list"]).await;
    assert!(groups.contains("coreos-1"), "{groups}");
    assert_eq!(ask("steady-state", "default", "coreos-1").await, yes);
    until_stage(&endpoint, 0, "rebooting").await;
    assert_eq!(ask("pre-reboot", "default", "coreos-1").await, full);
    a.settle(&endpoint).await;
    reboots(&mut a, &endpoint).await;
    until_stage(&endpoint, 0, "updated").await;
    assert_eq!(ask("pre-reboot", "default", "coreos-2").await, yes);
    // An operator takes it back from one that does not come back, and the key from all.
    ctl(&endpoint, &["os", "group", "unlock", "default", "coreos-2"]).await;
    assert_eq!(ask("pre-reboot", "default", "coreos-1").await, yes);
    ctl(&endpoint, &["os", "group", "fleetlock", "default", "--off"]).await;
    assert_eq!(ask("steady-state", "default", "coreos-1").await.0, 403);
    assert!(!endpoint.log().contains(base.split('/').nth(2).unwrap()), "the key is in the log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_makes_no_sense_is_refused_with_its_reason() {
    let endpoint = Endpoint::start();
    let none = endpoint.ctl(&["os", "rollout", "start"]).await;
    assert!(none.stderr.contains("there is no channel `stable`"), "{}", none.stderr);
    assert!(none.stderr.contains("hint: `basaltctl os channel set stable VERSION`"));
    let bad = endpoint.ctl(&["os", "channel", "set", "stable", "../1"]).await;
    assert!(bad.stderr.contains("`../1` is not the name of a version"), "{}", bad.stderr);
    ctl(&endpoint, &["os", "channel", "set", "stable", "2"]).await;
    for (words, why) in [
        (["--window", "02:00-05:00 Europe/Atlantis"], "there is no time zone `Europe/Atlantis`"),
        (["--window", "at night"], "`at night` is no maintenance window"),
        (["--group", "nowhere"], "there is no group `nowhere`"),
        (["--wave", "0%"], "`0%` is no wave"),
        (["--wave", "canary=ture"], "no host of channel `stable` has the label `canary=ture`"),
    ] {
        let refused = endpoint.ctl(&[&["os", "rollout", "start"], &words[..]].concat()).await;
        assert!(refused.stderr.contains(why), "{words:?}: {}", refused.stderr);
        assert_ne!(refused.code, 0);
    }
    let none = endpoint.ctl(&["os", "rollout", "pause"]).await;
    assert!(none.stderr.contains("channel `stable` has no rollout"), "{}", none.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_of_a_restored_database_waits_for_its_operator() {
    let mut endpoint = Endpoint::start();
    start(&endpoint, &[]).await;
    let backup = endpoint.path("backup");
    let backup = backup.to_str().unwrap();
    assert_eq!(endpoint.command(&["backup", backup]).await.code, 0);
    until("it goes on", &endpoint, |rollout| rollout["state"] == "running").await;
    tokio::task::block_in_place(|| endpoint.terminate());
    assert_eq!(endpoint.command(&["restore", backup, "--overwrite"]).await.code, 0);
    tokio::task::block_in_place(|| endpoint.run());
    let shown = ctl(&endpoint, &["os", "rollout", "status"]).await;
    assert!(shown.contains("paused") && shown.contains("the database was restored"), "{shown}");
    ctl(&endpoint, &["os", "rollout", "resume"]).await;
    until("it goes on again", &endpoint, |rollout| rollout["state"] == "running").await;
}
