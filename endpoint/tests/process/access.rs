use std::fs;
use std::os::fd::AsRawFd;

use basalt_api::checkin::CHECKIN_PATH;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::endpoint::{DEADLINE, Endpoint, run};
use crate::host::TestHost;

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_replaces_the_old_one_where_it_was_read() {
    let endpoint = Endpoint::start();
    let old = endpoint.operator();
    let file = endpoint.path("mine");
    fs::copy(endpoint.data().operator_token(), &file).unwrap();
    let cmd = endpoint.ctl_cmd().env("BASALT_TOKEN_FILE", &file);
    let rotated = run(cmd.args(["operator", "rotate"])).await;
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);
    assert_eq!(old.call(Method::GET, "/v1/hosts", None, DEADLINE).await.unwrap().status, 401);
    let new = fs::read_to_string(&file).unwrap();
    assert_eq!(new, fs::read_to_string(endpoint.data().operator_token()).unwrap());
    assert!(!rotated.stdout.contains(&new) && !rotated.stderr.contains(&new));
}

#[tokio::test(flavor = "multi_thread")]
async fn login_remembers_and_refuses_what_does_not_fit() {
    let endpoint = Endpoint::start();
    let login = |fingerprint: String| {
        let token = endpoint.data().operator_token();
        let cmd = endpoint.strangers_ctl().args(["login", &endpoint.url(), "--ca-fingerprint"]);
        run(cmd.arg(fingerprint).arg("--token-file").arg(token))
    };
    let wrong = login("00".repeat(32)).await;
    assert_eq!(wrong.code, 1);
    assert!(wrong.stderr.contains("is not the server that is trusted"), "{}", wrong.stderr);
    let right = login(endpoint.fingerprint().to_string()).await;
    assert_eq!(right.code, 0, "{}", right.stderr);
    let hosts = run(endpoint.strangers_ctl().arg("hosts")).await;
    assert_eq!(hosts.code, 0, "{}", hosts.stderr);
    let nowhere = run(endpoint.strangers_ctl().env("HOME", "/nonexistent").arg("hosts")).await;
    assert!(nowhere.stderr.contains("\nhint: `basaltctl login`"), "{}", nowhere.stderr);
}

/// A folder in which nobody makes a file, not even root.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_has_no_place_is_not_replaced() {
    let endpoint = Endpoint::start();
    let file = fs::File::open(endpoint.data().operator_token()).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let cmd = endpoint.ctl_cmd().env("BASALT_TOKEN_FILE", &path);
    let refused = run(cmd.args(["operator", "rotate"])).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("so the old token stays"), "{}", refused.stderr);
    let hosts = endpoint.operator().call(Method::GET, "/v1/hosts", None, DEADLINE).await.unwrap();
    assert_eq!(hosts.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_typing_is_one_that_the_user_can_mend() {
    let endpoint = Endpoint::start();
    for wrong in [&["hots"][..], &["hosts", "--no"], &["token", "create", "--expires", "soon"]] {
        let ended = endpoint.ctl(wrong).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (1, ""), "{wrong:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
    }
    let help = endpoint.ctl(&["--help"]).await;
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.contains("schema"), "{}", help.stdout);
    assert_eq!(endpoint.command(&["nonsense"]).await.code, 1);
    let wrong = endpoint.command(&["--log", "x=y=z"]).await;
    assert!(wrong.stderr.starts_with("error: `--log x=y=z`: "), "{}", wrong.stderr);
    assert_eq!(wrong.stderr.matches("error parsing").count(), 1, "{}", wrong.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_of_an_operator_is_in_the_audit_log() {
    let endpoint = Endpoint::start();
    endpoint.apply("web").await;
    endpoint.ctl(&["delete", "nothing"]).await;
    endpoint.ctl(&["workloads"]).await;
    let log = endpoint.get("/v1/audit").await;
    let entries: Vec<String> = log["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| format!("{} {} {}", entry["method"], entry["path"], entry["status"]))
        .collect();
    assert_eq!(
        entries,
        [r#""DELETE" "/v1/workloads/nothing" 404"#, r#""POST" "/v1/workloads" 200"#]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_may_speak_http_2() {
    let endpoint = Endpoint::start();
    let host = TestHost::enrol(&endpoint, "a").await;
    let stream = host.client(&endpoint).https().session(&["h2"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let body = serde_json::to_vec(&host.request()).unwrap();
    let request = Request::post(format!("{}{CHECKIN_PATH}", endpoint.url()))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let reply = tokio::time::timeout(DEADLINE, sender.send_request(request)).await.unwrap();
    assert_eq!(reply.unwrap().status(), 200);
}
