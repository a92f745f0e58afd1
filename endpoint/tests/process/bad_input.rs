use std::time::{Duration, Instant};

use basalt_api::checkin::{CHECKIN_PATH, MAX_REQUEST_BYTES};
use basalt_api::fault::Fault;
use basalt_endpoint::client::Client;
use basalt_https::Trust;
use hyper::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::endpoint::{DEADLINE, Endpoint};
use crate::host::TestHost;

async fn check(endpoint: &Endpoint, body: &[u8], expected: (u16, &str)) {
    let path = "/v1/workloads";
    let operator = endpoint.operator();
    let reply = operator.call(Method::POST, path, Some(body.to_vec()), DEADLINE).await.unwrap();
    let fault: Fault = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.status.as_u16(), expected.0, "{fault:?}");
    assert_eq!(fault.status, expected.0);
    assert!(fault.detail.contains(expected.1), "{fault:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_a_reason() {
    let endpoint = Endpoint::start();
    check(&endpoint, b"{", (400, "is no JSON, at line 1, column 1")).await;
    check(&endpoint, b"{}", (400, "is not of the shape")).await;
    check(&endpoint, b"", (400, "is no JSON")).await;
    check(&endpoint, b"\xff\xfe", (400, "is no JSON")).await;
    let deep = "[".repeat(100_000);
    check(&endpoint, deep.as_bytes(), (400, "is")).await;
    check(&endpoint, &vec![b' '; MAX_REQUEST_BYTES + 1], (413, "at most")).await;
    let bad = br#"{"workloads":[{"name":"a","kind":"container","container":{"image":"-x"}}]}"#;
    check(&endpoint, bad, (422, "`a`: container.image: this is no image")).await;
    let twice = br#"{"workloads":[{"name":"a","kind":"container","container":{"image":"x"}},{"name":"a","kind":"container","container":{"image":"x"}}]}"#;
    check(&endpoint, twice, (422, "there twice")).await;
    assert_eq!(endpoint.get("/v1/workloads").await["workloads"], serde_json::json!([]));
}

/// A body that an operator's program of a later release may send, and what is said of it.
async fn refused(endpoint: &Endpoint, route: (Method, &str), body: &str, expected: (&str, &str)) {
    let (method, path) = route;
    let body = body.as_bytes().to_vec();
    let reply = endpoint.operator().call(method, path, Some(body), DEADLINE).await.unwrap();
    let fault: Fault = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((reply.status.as_u16(), fault.status), (400, 400), "{fault:?}");
    let detail = format!("the body has a field that is not known here: {}", expected.0);
    assert_eq!((fault.detail, fault.hint), (detail, Some(expected.1.to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_not_known_is_refused_and_not_left_out() {
    let endpoint = Endpoint::start();
    let apply = || (Method::POST, "/v1/workloads");
    let body = "{\"workloads\":[{\"name\":\"a\",\"kind\":\"container\",\n\
                \"container\":{\"image\":\"x\",\"port\":[]}}]}";
    let expected = ("`workloads.0.container.port`, at line 2, column 26", "did you mean `ports`?");
    refused(&endpoint, apply(), body, expected).await;
    let body = r#"{"workloads":[],"dryrun":true}"#;
    refused(
        &endpoint,
        apply(),
        body,
        ("`dryrun`, at line 1, column 17", "did you mean `dry_run`?"),
    )
    .await;
    let token = (Method::POST, "/v1/tokens");
    let expected = ("`expire_s`, at line 1, column 2", "did you mean `expires_s`?");
    refused(&endpoint, token, r#"{"expire_s":60}"#, expected).await;
    let secret = (Method::PUT, "/v1/secrets/db");
    let body = r#"{"value":"eA==","zzz":"canary"}"#;
    refused(&endpoint, secret, body, ("`zzz`, at line 1, column 17", "known are `value`")).await;
    let resync = (Method::POST, "/v1/hosts/a/resync");
    let body = r#"{"keep":"endpoint","set_hsh":""}"#;
    let expected = ("`set_hsh`, at line 1, column 20", "did you mean `set_hash`?");
    refused(&endpoint, resync, body, expected).await;
    assert_eq!(endpoint.get("/v1/workloads").await["workloads"], serde_json::json!([]));
    let query = "/v1/hosts/a?forc=true";
    let reply = endpoint.operator().call(Method::DELETE, query, None, DEADLINE).await.unwrap();
    let fault: Fault = serde_json::from_slice(&reply.body).unwrap();
    let detail = "what follows the `?` has a key that is not known here: `forc`";
    assert_eq!((reply.status.as_u16(), fault.detail.as_str()), (400, detail));
    assert_eq!(fault.hint.unwrap(), "known are `force`");
    // What hosts send is read leniently: releases may differ.
    let host = TestHost::enrol(&endpoint, "a").await;
    let mut body = serde_json::to_value(host.request()).unwrap();
    body["of_a_later_release"] = 1.into();
    let client = host.client(&endpoint);
    client.send::<_, serde_json::Value>(Method::POST, CHECKIN_PATH, &body, DEADLINE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_says_that_it_is_fills_no_database() {
    let endpoint = Endpoint::start();
    let host = TestHost::enrol(&endpoint, "a").await;
    let mut request = host.request();
    let facts = request.facts.as_mut().unwrap();
    facts.os.problems = vec!["x".repeat(900 << 10)];
    facts.labels.insert("no label".to_owned(), "x".repeat(1000));
    facts.labels.insert("rack".to_owned(), "4".to_owned());
    let client = host.client(&endpoint);
    client
        .send::<_, serde_json::Value>(Method::POST, CHECKIN_PATH, &request, DEADLINE)
        .await
        .unwrap();
    let shown = endpoint.get("/v1/hosts/a").await;
    assert!(shown.to_string().len() < 4 << 10);
    assert_eq!(shown["host"]["labels"], serde_json::json!({ "rack": "4" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_in_that_is_none_is_refused_and_the_host_stays() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    let client = host.client(&endpoint);
    let mut request = host.request();
    request.features = vec!["x".repeat(1000)];
    let oversized = vec![b'x'; MAX_REQUEST_BYTES + 1];
    for (body, expected) in [
        (b"nonsense".to_vec(), 400),
        (oversized, 413),
        (serde_json::to_vec(&request).unwrap(), 422),
    ] {
        let reply = client.call(Method::POST, CHECKIN_PATH, Some(body), DEADLINE).await.unwrap();
        assert_eq!(reply.status.as_u16(), expected);
    }
    endpoint.apply("web").await;
    host.settle(&endpoint).await;
    assert_eq!(host.workloads(), ["web"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_told_as_a_fault() {
    let endpoint = Endpoint::start();
    for (method, path, expected) in [
        (Method::GET, "/v1/nothing", 404),
        (Method::GET, "/v1/workloads/nothing", 404),
        (Method::DELETE, "/v1/hosts/nothing", 404),
        (Method::GET, "/v1/workloads/NO_NAME", 400),
        (Method::GET, "/v1/events?after=x", 400),
        (Method::PUT, "/v1/workloads", 405),
    ] {
        let reply = endpoint.operator().call(method, path, None, DEADLINE).await.unwrap();
        let fault: Fault = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((reply.status.as_u16(), fault.status), (expected, expected), "{path}");
    }
}

/// Sends some bytes and nothing more; how long the endpoint lets it.
async fn silent_after(address: String, bytes: &'static [u8]) -> Duration {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap();
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_or_talks_nonsense_is_let_go_and_harms_nobody() {
    let endpoint = Endpoint::start();
    let mut idle = JoinSet::new();
    for _ in 0..50 {
        idle.spawn(silent_after(endpoint.address(), b""));
    }
    let hello = silent_after(endpoint.address(), b"\x16\x03\x01\x02\x00\x01");
    let nonsense = silent_after(endpoint.address(), b"GET / HTTP/1.1\r\n\r\n");
    let work = async {
        for number in 0..10 {
            endpoint.apply(&format!("web-{number}")).await;
        }
    };
    let slow_head = slow_head(&endpoint);
    let (hello, nonsense, (), slow_head) = tokio::join!(hello, nonsense, work, slow_head);
    assert!(nonsense < Duration::from_secs(5), "{nonsense:?}");
    for time in [hello, slow_head] {
        assert!((Duration::from_secs(8)..Duration::from_secs(30)).contains(&time), "{time:?}");
    }
    for time in idle.join_all().await {
        assert!((Duration::from_secs(8)..Duration::from_secs(30)).contains(&time), "{time:?}");
    }
}

/// A TLS session on which the head of a request never ends.
async fn slow_head(endpoint: &Endpoint) -> Duration {
    let begun = Instant::now();
    let mut stream = endpoint.client().https().session(&[]).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ").await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut rest)).await.unwrap();
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_ca_is_no_certificate() {
    let (endpoint, other) = (Endpoint::start(), Endpoint::start());
    let foreign = TestHost::ready(&other, "a").await;
    let meant = Trust::Fingerprint(endpoint.fingerprint());
    let client = foreign.client_trusting(&endpoint, &meant);
    let body = serde_json::to_vec(&foreign.request()).unwrap();
    assert!(client.call(Method::POST, CHECKIN_PATH, Some(body), DEADLINE).await.is_err());
    // And a client that means another endpoint does not talk to this one.
    let url = endpoint.url().parse().unwrap();
    let other = Trust::Fingerprint(other.fingerprint());
    let client = Client::new(url, &other, None).unwrap();
    let error = client.call(Method::GET, "/healthz", None, DEADLINE).await.unwrap_err();
    assert!(error.to_string().contains("is not the server that is trusted"), "{error}");
}
