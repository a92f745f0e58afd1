use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_api::operator::WORKLOADS_PATH;
use basalt_api::report::{Trouble, WorkloadState, WorkloadStatus};
use hyper::Method;
use serde_json::Value;

use crate::endpoint::{DEADLINE, Ended, Endpoint, container, wait_until};
use crate::host::TestHost;

const WEB: &str = "name = \"web\"\nkind = \"container\"\n[container]\nimage = \"x\"\n";

fn file(endpoint: &Endpoint, text: &str) -> String {
    let path = endpoint.path("web.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_follow_and_changes_nothing() {
    let endpoint = Endpoint::start();
    let _host = TestHost::ready(&endpoint, "a").await;
    let file = file(&endpoint, WEB);
    let dry = endpoint.ctl(&["apply", &file, "--dry-run"]).await;
    assert_eq!(
        dry.stdout, "WORKLOAD  CHANGE   HOST  REASON\nweb       created  a     -",
        "{}",
        dry.stderr
    );
    assert_eq!(endpoint.get("/v1/workloads").await["workloads"].as_array().unwrap().len(), 0);
    let applied = endpoint.ctl(&["apply", &file, "--json"]).await;
    let applied: Value = serde_json::from_str(&applied.stdout).unwrap();
    assert_eq!(applied["workloads"][0]["change"], "created");
    assert!(endpoint.ctl(&["apply", &file]).await.stdout.contains("unchanged"));
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_waits_until_the_host_says_that_it_runs() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    let file = file(&endpoint, WEB);
    let apply = async { endpoint.ctl(&["apply", &file, "--wait", "--timeout", "50s"]).await };
    let run = async {
        host.check_in(&endpoint).await;
        host.changes = vec![host.status("web", WorkloadState::Running)];
        // Held until the next change; the report is taken at once all the same.
        let _ =
            tokio::time::timeout(std::time::Duration::from_secs(2), host.try_check_in(&endpoint))
                .await;
    };
    let (applied, ()) = tokio::join!(apply, run);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    let shown = endpoint.ctl(&["workloads"]).await;
    assert!(shown.stdout.contains("web   container  a     running"), "{}", shown.stdout);
    let described = endpoint.ctl(&["describe", "web"]).await.stdout;
    assert!(described.contains("host      a, which has this set"), "{described}");
}

/// What a host says of what it was told to run; how `apply --wait` ends.
async fn wait_for(said: impl FnOnce(&mut WorkloadStatus)) -> (Ended, Duration) {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    let file = file(&endpoint, WEB);
    let begun = Instant::now();
    let apply = async { endpoint.ctl(&["apply", &file, "--wait", "--timeout", "8s"]).await };
    let report = async {
        host.check_in(&endpoint).await;
        let mut status = host.status("web", WorkloadState::Failed);
        // Nothing was made of it.
        status.hash = String::new();
        said(&mut status);
        host.changes = vec![status];
        let _ = tokio::time::timeout(Duration::from_secs(2), host.try_check_in(&endpoint)).await;
    };
    let (ended, ()) = tokio::join!(apply, report);
    (ended, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_ends_at_once_with_the_reason_where_a_workload_fails_for_good() {
    let (ended, took) = wait_for(|status| {
        status.trouble = Some(Trouble::Lasting);
        status.reason = Some("`r.example` has no image `x`".to_owned());
    })
    .await;
    assert_eq!(ended.code, 1);
    assert_eq!(ended.stderr, "error: `web` does not run: `r.example` has no image `x`\n");
    assert!(took < Duration::from_secs(6), "{took:?}");
    let (ended, took) = wait_for(|status| {
        status.state = WorkloadState::Refused;
        status.reason = Some("`host_paths` is off".to_owned());
    })
    .await;
    assert_eq!((ended.code, took < Duration::from_secs(6)), (1, true), "{took:?}");
    assert_eq!(ended.stderr, "error: `web` does not run: `host_paths` is off\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_waits_on_while_a_failure_may_pass_and_then_says_what_it_was() {
    let (ended, took) = wait_for(|status| {
        status.trouble = Some(Trouble::Passing);
        status.reason = Some("`r.example` refuses connections".to_owned());
    })
    .await;
    assert_eq!(ended.code, 1);
    assert!(took >= Duration::from_secs(8), "{took:?}");
    let expected = "error: after 8 s, `web` is failed: `r.example` refuses connections\n";
    assert_eq!(ended.stderr, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_says_why_nobody_runs_it() {
    let endpoint = Endpoint::start();
    let file = file(&endpoint, WEB);
    let applied = endpoint.ctl(&["apply", &file, "--wait"]).await;
    assert_eq!(applied.code, 1);
    assert!(applied.stderr.contains("`web` does not run: there is no host"), "{}", applied.stderr);
    let _host = TestHost::ready(&endpoint, "a").await;
    let shown = endpoint.get("/v1/workloads/web").await;
    assert_eq!(shown["workload"]["host"], "a", "it is placed as soon as somebody can run it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_file_is_shown_with_its_place_and_nothing_is_applied() {
    let endpoint = Endpoint::start();
    let file = file(&endpoint, &WEB.replace("image", "imagee"));
    let refused = endpoint.ctl(&["apply", &file]).await;
    assert_eq!(refused.code, 1);
    let expected = format!("error: {file}:4:1: unknown key `imagee`");
    assert!(refused.stderr.starts_with(&expected), "{}", refused.stderr);
    assert!(refused.stderr.contains("hint: did you mean `image`?"), "{}", refused.stderr);
    assert_eq!(endpoint.get("/v1/workloads").await["workloads"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_pages_and_is_shown_whole() {
    let endpoint = Endpoint::start();
    let specs: Vec<Value> = (0..502).map(|number| container(&format!("w{number:03}"))).collect();
    let body = serde_json::json!({ "workloads": specs });
    let operator = endpoint.operator();
    operator.send::<_, Value>(Method::POST, WORKLOADS_PATH, &body, DEADLINE).await.unwrap();
    let page = async |query: &str| {
        let page = endpoint.get(&format!("/v1/workloads{query}")).await;
        let names = page["workloads"].as_array().unwrap().iter();
        let names: Vec<String> =
            names.map(|it| it["spec"]["name"].as_str().unwrap().to_owned()).collect();
        (names, page["next"].as_str().map(str::to_owned))
    };
    let (first, next) = page("").await;
    assert_eq!((first.len(), next.as_deref()), (500, Some("w499")));
    assert_eq!(page("?after=w499").await, (vec!["w500".to_owned(), "w501".to_owned()], None));
    assert_eq!(
        page("?limit=1&after=w007").await,
        (vec!["w008".to_owned()], Some("w008".to_owned()))
    );
    let listed = endpoint.ctl(&["workloads"]).await.stdout;
    assert_eq!(listed.lines().count(), 503, "{listed}");
    let listed = endpoint.ctl(&["workloads", "--json"]).await.stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed["workloads"].as_array().unwrap().len(), 502);
    // So do hosts.
    for name in ["a", "b", "c"] {
        TestHost::enrol(&endpoint, name).await;
    }
    let hosts = endpoint.get("/v1/hosts?limit=2").await;
    assert_eq!((hosts["hosts"].as_array().unwrap().len(), &hosts["next"]), (2, &"b".into()));
    let hosts = endpoint.get("/v1/hosts?limit=2&after=b").await;
    assert_eq!((&hosts["hosts"][0]["name"], &hosts["next"]), (&"c".into(), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_large_workloads_is_shown_whole() {
    let endpoint = Endpoint::start();
    // Together more than a client reads of one answer.
    let spec = |number: usize| {
        let mut spec = container(&format!("w{number:03}"));
        spec["container"]["environment"] = serde_json::json!({ "X": "x".repeat(120 << 10) });
        spec
    };
    let specs: Vec<Value> = (0..80).map(spec).collect();
    let operator = endpoint.operator();
    for specs in specs.chunks(8) {
        let body = serde_json::json!({ "workloads": specs });
        operator.send::<_, Value>(Method::POST, WORKLOADS_PATH, &body, DEADLINE).await.unwrap();
    }
    let listed = endpoint.ctl(&["workloads"]).await;
    assert_eq!((listed.code, listed.stdout.lines().count()), (0, 81), "{}", listed.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cordoned_host_keeps_what_it_has_and_gets_nothing_new() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    endpoint.apply("web").await;
    assert!(endpoint.ctl(&["hosts", "cordon", "a"]).await.stdout.contains("present, cordoned"));
    let applied = endpoint.apply("more").await;
    let reason = applied["workloads"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("`a`: it is cordoned"), "{reason}");
    host.settle(&endpoint).await;
    assert_eq!(host.workloads(), ["web"]);
    endpoint.ctl(&["hosts", "uncordon", "a"]).await;
    host.settle(&endpoint).await;
    assert_eq!(host.workloads().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_tell_the_story_in_its_order() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    endpoint.apply("web").await;
    host.settle(&endpoint).await;
    endpoint.ctl(&["delete", "web"]).await;
    let events = endpoint.ctl(&["events", "--json"]).await;
    let kinds: Vec<String> = events
        .stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["kind"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "host_enrolled",
            "host_present",
            "workload_created",
            "workload_assigned",
            "workload_deleted"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reason_that_changed_but_for_a_number_is_shown_and_is_no_news() {
    let endpoint = Endpoint::start();
    let _host = TestHost::ready(&endpoint, "a").await;
    let sized = |name: &str, memory_mib: u64| {
        let mut spec = container(name);
        spec["resources"] = serde_json::json!({ "memory_mib": memory_mib });
        spec
    };
    endpoint.apply_spec(sized("large", 5000)).await;
    let reason = async || {
        let shown = endpoint.get("/v1/workloads/large").await;
        shown["workload"]["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason().await.contains("4096 MiB of memory are free"), "{}", reason().await);
    endpoint.apply_spec(sized("small", 96)).await;
    assert!(reason().await.contains("4000 MiB of memory are free"), "{}", reason().await);
    assert_eq!(endpoint.ctl(&["hosts", "cordon", "a"]).await.code, 0);
    let events = endpoint.get("/v1/events").await;
    let of_large = events["events"].as_array().unwrap().iter().filter(|event| {
        (&event["kind"], &event["workload"]) == (&"workload_unplaced".into(), &"large".into())
    });
    let told: Vec<&str> = of_large.map(|event| event["message"].as_str().unwrap()).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("4096 MiB") && told[1].contains("it is cordoned"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_away_is_told_as_such() {
    let mut endpoint = Endpoint::start();
    tokio::task::block_in_place(|| endpoint.terminate());
    let away = endpoint.ctl(&["hosts"]).await;
    assert_eq!(away.code, 1);
    assert!(away.stderr.starts_with("error: cannot reach `127.0.0.1:"), "{}", away.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_the_events_sees_them_as_they_happen() {
    let endpoint = Endpoint::start();
    let _host = TestHost::ready(&endpoint, "a").await;
    let file = fs::File::create(endpoint.path("followed")).unwrap();
    let followed = async |expected: &str| {
        wait_until(expected, async || {
            let text = fs::read_to_string(endpoint.path("followed")).unwrap();
            if text.contains(expected) { Ok(()) } else { Err(text) }
        })
        .await;
    };
    let cmd = endpoint.ctl_cmd().args(["events", "-f"]);
    let mut follows = cmd.spawn(Stdio::null(), file.into(), Stdio::inherit()).unwrap();
    // What was there already; then what was not, and it goes on.
    followed("host_present a: ").await;
    for name in ["web", "more"] {
        endpoint.apply(name).await;
        followed(&format!("workload_assigned a {name}: ")).await;
    }
    assert_eq!(follows.wait_for(Duration::ZERO).unwrap(), None, "it has ended by itself");
    follows.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_the_audit_log_are_shown_as_tables() {
    let endpoint = Endpoint::start();
    let made = endpoint.ctl(&["token", "create", "--uses", "3", "--label", "rack=4"]).await;
    assert_eq!(made.code, 0, "{}", made.stderr);
    let listed = endpoint.ctl(&["token", "list"]).await.stdout;
    let [head, row] = listed.lines().collect::<Vec<_>>()[..] else { panic!("{listed}") };
    assert!(head.starts_with("ID") && head.contains("USES LEFT"), "{head}");
    assert!(row.contains("  3  ") && row.contains("rack=4"), "{row}");
    let log = endpoint.ctl(&["audit"]).await.stdout;
    let [head, row] = log.lines().collect::<Vec<_>>()[..] else { panic!("{log}") };
    assert!(head.starts_with("TIME") && head.ends_with("STATUS"), "{head}");
    let row: Vec<&str> = row.split_whitespace().collect();
    assert!(row.ends_with(&["operator", "127.0.0.1", "POST", "/v1/tokens", "200"]), "{row:?}");
}
