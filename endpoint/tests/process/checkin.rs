use std::time::{Duration, Instant};

use basalt_api::capacity::feature;
use basalt_api::checkin::{Action, CHECKIN_PATH};
use basalt_api::fault::FaultKind;
use basalt_api::id::WorkloadUid;
use basalt_api::report::WorkloadState;
use hyper::Method;

use crate::endpoint::{DEADLINE, Endpoint, wait_until};
use crate::host::{TestHost, is};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_host_gets_the_empty_set_and_is_present() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::enrol(&endpoint, "a").await;
    let answer = host.check_in(&endpoint).await;
    assert_eq!((answer.generation, answer.set.unwrap().workloads.len()), (1, 0));
    assert!((20..=40).contains(&answer.wait_s) && answer.lease_s > answer.wait_s);
    assert!(answer.actions.contains(&Action::ReportAll));
    assert_eq!(endpoint.get("/v1/hosts/a").await["host"]["state"], "present");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_is_answered_the_moment_that_something_is_applied() {
    let endpoint = Endpoint::start();
    let host = TestHost::ready(&endpoint, "a").await;
    let poll = async { (host.try_check_in(&endpoint).await.unwrap(), Instant::now()) };
    let apply = async {
        held(&endpoint, 1).await;
        endpoint.apply("web").await;
        Instant::now()
    };
    let ((answer, answered), applied) = tokio::join!(poll, apply);
    assert_eq!(answer.set.unwrap().workloads[0].spec.name.as_str(), "web");
    let late = answered.saturating_duration_since(applied);
    assert!(late < Duration::from_secs(5), "{late:?} after the apply");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_with_news_is_answered_at_once() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    // The second poll of a run would be held, for it brings nothing.
    host.is_known = false;
    let began = Instant::now();
    host.check_in(&endpoint).await;
    assert!(began.elapsed() < Duration::from_secs(15), "it was held: {:?}", began.elapsed());
}

/// Waits until so many polls are held.
async fn held(endpoint: &Endpoint, polls: u64) {
    let line = format!("basalt_polls {polls}");
    wait_until("so many polls are held", async || {
        let reply =
            endpoint.operator().call(Method::GET, "/metrics", None, DEADLINE).await.unwrap();
        let text = String::from_utf8(reply.body).unwrap();
        if text.lines().any(|found| found == line) { Ok(()) } else { Err(text) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_host_is_refused_and_operators_see_it() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    host.session = 5;
    host.boot_id = "boot-2".to_owned();
    endpoint.apply("web").await;
    host.settle(&endpoint).await;
    for (session, boot) in [(4, "boot-2"), (5, "boot-of-the-copy")] {
        let (client, mut copy) = (host.client(&endpoint), host.request());
        (copy.session, copy.boot_id) = (session, boot.to_owned());
        let sent = client.send::<_, ()>(Method::POST, CHECKIN_PATH, &copy, DEADLINE);
        let refused = sent.await.unwrap_err();
        assert!(is(&refused, FaultKind::DuplicateIdentity), "{refused}");
    }
    let shown = endpoint.get("/v1/hosts/a").await;
    assert!(
        shown["host"]["problems"][0].as_str().unwrap().contains("duplicate_identity"),
        "{shown}"
    );
    // The host itself goes on.
    endpoint.apply("more").await;
    host.settle(&endpoint).await;
    assert_eq!(host.workloads().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_poll_of_a_host_wins() {
    let endpoint = Endpoint::start();
    let host = TestHost::ready(&endpoint, "a").await;
    let first = host.try_check_in(&endpoint);
    let second = async {
        held(&endpoint, 1).await;
        host.try_check_in(&endpoint).await
    };
    let apply = async {
        wait_until("the first poll has ended", async || {
            let metrics = endpoint.operator().call(Method::GET, "/metrics", None, DEADLINE).await;
            let text = String::from_utf8(metrics.unwrap().body).unwrap();
            let line = "basalt_requests_total{method=\"POST\",route=\"/v1/hosts/self/checkin\",status=\"409\"} 1";
            if text.contains(line) { Ok(()) } else { Err(text) }
        })
        .await;
        endpoint.apply("web").await;
    };
    let (first, second, ()) = tokio::join!(first, second, apply);
    assert!(is(first.as_ref().unwrap_err(), FaultKind::Superseded), "{first:?}");
    assert_eq!(second.unwrap().set.unwrap().workloads.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_ends_answers_its_polls() {
    let mut endpoint = Endpoint::start();
    let host = TestHost::ready(&endpoint, "a").await;
    let client = host.client(&endpoint);
    let request = host.request();
    let poll = tokio::spawn(async move {
        client
            .send::<_, basalt_api::checkin::CheckinAnswer>(
                Method::POST,
                CHECKIN_PATH,
                &request,
                DEADLINE,
            )
            .await
    });
    held(&endpoint, 1).await;
    let code = tokio::task::block_in_place(|| endpoint.terminate());
    assert_eq!(code, Some(0));
    assert_eq!(poll.await.unwrap().unwrap().generation, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9() {
    let mut endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    for number in 0..5 {
        endpoint.apply(&format!("web-{number}")).await;
        endpoint.kill();
        endpoint.run();
    }
    host.settle(&endpoint).await;
    assert_eq!(host.workloads().len(), 5);
    assert_eq!(endpoint.get("/v1/hosts/a").await["host"]["state"], "present");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_about_another_hosts_workload_is_refused() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    endpoint.apply("web").await;
    host.settle(&endpoint).await;
    host.changes = vec![host.status("web", WorkloadState::Running)];
    let mut foreign = host.changes[0].clone();
    foreign.uid = WorkloadUid(uuid::Uuid::from_u128(9));
    host.changes.push(foreign);
    // Something to be answered for.
    endpoint.apply("more").await;
    host.check_in(&endpoint).await;
    let shown = endpoint.get("/v1/hosts/a").await;
    assert_eq!(shown["workloads"].as_array().unwrap().len(), 1, "{shown}");
    let workload = endpoint.get("/v1/workloads/web").await;
    assert_eq!(workload["workload"]["status"]["state"], "running");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_that_needs_what_no_host_can_do_says_so() {
    let endpoint = Endpoint::start();
    let host = TestHost::ready(&endpoint, "a").await;
    let vm = include_str!("../../../crates/api/examples/workload-vm.json");
    let mut vm: serde_json::Value = serde_json::from_str(vm).unwrap();
    vm.as_object_mut().unwrap().remove("placement");
    let applied = endpoint.apply_spec(vm).await;
    let reason = applied["workloads"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("`a`: its release has no feature `vm`"), "{reason}");
    assert!(!host.request().features.contains(&feature::VM.to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_comes_from_the_host_by_its_poll() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    endpoint.apply("web").await;
    host.settle(&endpoint).await;
    let ask = async { endpoint.ctl(&["logs", "web", "-n", "7"]).await };
    let deliver = async {
        let answer = host.try_check_in(&endpoint).await.unwrap();
        let [Action::SendLogs { ticket, uid, lines: 7 }] = answer.actions[..] else {
            panic!("{answer:?}");
        };
        assert_eq!(uid, host.set.as_ref().unwrap().workloads[0].uid);
        let path = basalt_api::checkin::logs_path(ticket);
        let body = Some(b"line one\nline two\n".to_vec());
        let reply = host.client(&endpoint).call(Method::POST, &path, body, DEADLINE).await.unwrap();
        assert_eq!(reply.status, 204);
    };
    let (log, ()) = tokio::join!(ask, deliver);
    assert_eq!((log.code, log.stdout.as_str()), (0, "line one\nline two"), "{}", log.stderr);
}
