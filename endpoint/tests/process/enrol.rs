use basalt_api::checkin::CHECKIN_PATH;
use basalt_api::fault::FaultKind;
use basalt_api::install::{INSTALL_PATH, InstallReport, InstallState};
use basalt_api::operator::TokenCreate;
use hyper::Method;
use rcgen::KeyPair;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::endpoint::{DEADLINE, Endpoint, wait_until};
use crate::host::{TestHost, is, redeem};

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_enrolment_reply_costs_nothing() {
    let endpoint = Endpoint::start();
    let join = endpoint.token(TokenCreate::default()).await;
    let key = KeyPair::generate().unwrap();
    let first = redeem(&endpoint, &join, "a", &key).await.unwrap();
    let again = redeem(&endpoint, &join, "a", &key).await.unwrap();
    assert_eq!((first.host_id, &first.name), (again.host_id, &again.name));
    let other = redeem(&endpoint, &join, "b", &KeyPair::generate().unwrap()).await.unwrap_err();
    assert!(is(&other, FaultKind::TokenRefused), "{other}");
    assert_eq!(endpoint.get("/v1/hosts").await["hosts"].as_array().unwrap().len(), 1);
    TestHost::of(key, again).check_in(&endpoint).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_holds_a_token_tells_operators_of_an_installation_and_nobody_else_does() {
    let endpoint = Endpoint::start();
    let join = endpoint.token(TokenCreate::default()).await;
    let tell = async |secret: &str, what: &str| {
        let report = InstallReport::new(secret, "rack4", InstallState::Installing, "step 1 of 9");
        let report = InstallReport { what: what.to_owned(), ..report };
        let body = serde_json::to_vec(&report).unwrap();
        let reply = endpoint.client().call(Method::POST, INSTALL_PATH, Some(body), DEADLINE).await;
        reply.unwrap().status.as_u16()
    };
    assert_eq!(tell(&join.secret, "step 0 of 9").await, 204);
    assert_eq!(tell(&join.secret, "step 1 of 9").await, 204);
    let list = endpoint.get("/v1/events").await;
    let last = list["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["kind"], &last["message"]),
        (&"installing".into(), &"rack4: step 1 of 9".into())
    );
    assert_eq!(tell("guessed", "step 2 of 9").await, 403);
    assert_eq!(tell(&join.secret, "two\nlines").await, 422);
    // Once the host is there, its token tells nothing more.
    redeem(&endpoint, &join, "rack4", &KeyPair::generate().unwrap()).await.unwrap();
    assert_eq!(tell(&join.secret, "step 3 of 9").await, 403);
    let list = endpoint.get("/v1/events").await;
    let list = list.to_string();
    // Of a machine the last step stays.
    assert!(list.contains("step 1") && !list.contains("step 0"), "{list}");
    assert!(!list.contains("step 2") && !list.contains("step 3"), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_enrolment_throws_nobody_out() {
    let endpoint = Endpoint::start();
    let holder = TestHost::ready(&endpoint, "a").await;
    let join = endpoint.token(TokenCreate::default()).await;
    let key = KeyPair::generate().unwrap();
    redeem(&endpoint, &join, "b", &key).await.unwrap();
    let again = redeem(&endpoint, &join, "a", &key).await.unwrap();
    assert_eq!(again.name.as_str(), "b", "it keeps its own name");
    endpoint.apply("web").await;
    let mut known = holder;
    known.check_in(&endpoint).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_join_string_has_all_that_a_host_needs() {
    let endpoint = Endpoint::start();
    let created = endpoint.ctl(&["token", "create", "--label", "rack=4"]).await;
    let join: basalt_api::enrol::JoinString = created.stdout.parse().unwrap();
    assert_eq!(join.urls, [endpoint.url()]);
    assert_eq!(join.ca_sha256, endpoint.fingerprint().to_string());
    redeem(&endpoint, &join, "a", &KeyPair::generate().unwrap()).await.unwrap();
    let host = endpoint.get("/v1/hosts/a").await;
    assert_eq!(host["host"]["labels"]["rack"], "4");
    assert_eq!(host["host"]["state"], "unseen");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_name_needs_a_token_that_replaces_and_then_the_old_host_is_out() {
    let endpoint = Endpoint::start();
    let mut old = TestHost::ready(&endpoint, "a").await;
    endpoint.apply("web").await;
    old.settle(&endpoint).await;
    let join = endpoint.token(TokenCreate::default()).await;
    let key = KeyPair::generate().unwrap();
    let taken = redeem(&endpoint, &join, "a", &key).await.unwrap_err();
    assert!(is(&taken, FaultKind::NameTaken), "{taken}");
    assert!(taken.to_string().contains("hint: ") && taken.to_string().contains("--replace a"));

    let replace = TokenCreate { replace: Some("a".parse().unwrap()), ..TokenCreate::default() };
    let join = endpoint.token(replace).await;
    let answer = redeem(&endpoint, &join, "whatever", &key).await.unwrap();
    assert_eq!(answer.name.as_str(), "a");
    let refused = old.try_check_in(&endpoint).await.unwrap_err();
    assert!(is(&refused, FaultKind::Revoked), "{refused}");
    let refused = old.renew(&endpoint).await.unwrap_err();
    assert!(is(&refused, FaultKind::Revoked), "{refused}");
    // What the old one ran goes to the new one.
    let mut new = TestHost::of(key, answer);
    new.settle(&endpoint).await;
    assert_eq!(new.workloads(), ["web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_and_one_that_nobody_made_are_refused() {
    let endpoint = Endpoint::start();
    let mut join = endpoint.token(TokenCreate::default()).await;
    let listed = endpoint.get("/v1/tokens").await;
    let id = listed["tokens"][0]["id"].as_str().unwrap();
    assert_eq!(endpoint.ctl(&["token", "revoke", id]).await.code, 0);
    let key = KeyPair::generate().unwrap();
    let refused = redeem(&endpoint, &join, "a", &key).await.unwrap_err();
    assert!(is(&refused, FaultKind::TokenRefused), "{refused}");
    join.secret = "guessed".to_owned();
    let refused = redeem(&endpoint, &join, "a", &key).await.unwrap_err();
    assert!(is(&refused, FaultKind::TokenRefused), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_may_only_renew() {
    let endpoint = Endpoint::start_with(&["--cert-life", "2s"]);
    let mut host = TestHost::enrol(&endpoint, "a").await;
    let mut line = host.client(&endpoint).https().session(&[]).await.unwrap();
    wait_until("no connection comes up", async || match host.try_check_in(&endpoint).await {
        Err(error) if format!("{error:#}").contains("CertificateExpired") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    // One that came up before is no way round it.
    let body = serde_json::to_string(&host.request()).unwrap();
    let length = body.len();
    let check_in = format!(
        "POST {CHECKIN_PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    line.write_all(check_in.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(DEADLINE, line.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("urn:basalt:fault:certificate_expired"), "{answer}");
    let other = TestHost::enrol(&endpoint, "b").await;
    let forged = TestHost { certificate: host.certificate.clone(), ..other };
    let refused = forged.renew(&endpoint).await.unwrap_err();
    assert!(is(&refused, FaultKind::Unauthenticated), "{refused}");
    let renewed = host.renew(&endpoint).await.unwrap();
    assert_eq!(renewed.host_id, host.id);
    host.certificate = renewed.certificate;
    let answer = host.check_in(&endpoint).await;
    assert!(answer.wait_s <= 1, "a poll does not outlast the certificate: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_host_is_out_at_once_even_while_it_polls() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    endpoint.apply("web").await;
    host.settle(&endpoint).await;
    let refused = endpoint.ctl(&["hosts", "remove", "a"]).await;
    assert_eq!(refused.code, 1);
    assert!(
        refused.stderr.contains("has 1 workload, which nobody could stop"),
        "{}",
        refused.stderr
    );
    let poll = host.try_check_in(&endpoint);
    let remove = async { endpoint.ctl(&["hosts", "remove", "a", "--force"]).await };
    let (poll, removed) = tokio::join!(poll, remove);
    assert_eq!(removed.code, 0, "{}", removed.stderr);
    assert!(is(poll.as_ref().unwrap_err(), FaultKind::Revoked), "{poll:?}");
    let refused = host.try_check_in(&endpoint).await.unwrap_err();
    assert!(is(&refused, FaultKind::Revoked), "{refused}");
}
