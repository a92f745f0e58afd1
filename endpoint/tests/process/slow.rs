//! Who sends too slowly, too much, or comes in too large a number.

use std::time::{Duration, Instant};

use basalt_api::checkin::CHECKIN_PATH;
use basalt_api::enrol::{ENROL_PATH, MAX_BODY_BYTES, RENEW_PATH};
use basalt_api::install::INSTALL_PATH;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;

use crate::endpoint::{DEADLINE, Endpoint, container, wait_until};
use crate::host::TestHost;

type Line = TlsStream<TcpStream>;

async fn line(endpoint: &Endpoint) -> Line {
    endpoint.client().https().session(&[]).await.unwrap()
}

/// The head of an operator's request with a body that is still to come.
fn head(endpoint: &Endpoint, rest: &str) -> String {
    let token = std::fs::read_to_string(endpoint.data().operator_token()).unwrap();
    format!(
        "POST /v1/workloads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\n{rest}\r\n\r\n",
        token.trim()
    )
}

/// What comes until the endpoint ends the connection.
async fn answer(line: &mut Line) -> String {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, line.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the endpoint held the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn works(endpoint: &Endpoint) {
    let reply = endpoint.client().call(Method::GET, "/healthz", None, DEADLINE).await.unwrap();
    assert_eq!(reply.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_byte_by_byte_is_given_up_and_harms_nobody() {
    let endpoint = Endpoint::start();
    let begun = Instant::now();
    let mut line = line(&endpoint).await;
    line.write_all(head(&endpoint, "Content-Length: 1000").as_bytes()).await.unwrap();
    let (mut from, mut to) = tokio::io::split(line);
    // Never silent for long, and never done.
    let drip = tokio::spawn(async move {
        while to.write_all(b" ").await.is_ok() && to.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    works(&endpoint).await;
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(DEADLINE, from.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    drip.abort();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("the body took over 30 s"), "{answer}");
    let took = begun.elapsed();
    assert!((Duration::from_secs(28)..Duration::from_secs(50)).contains(&took), "{took:?}");
    works(&endpoint).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_stated_length_is_cut_at_the_same_limit() {
    let endpoint = Endpoint::start();
    let mut line = line(&endpoint).await;
    line.write_all(head(&endpoint, "Transfer-Encoding: chunked").as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 64 << 10, " ".repeat(64 << 10));
    // The endpoint may end the connection before all of it is sent.
    for _ in 0..64 {
        if line.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(DEADLINE, line.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    works(&endpoint).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_without_end_is_cut() {
    let endpoint = Endpoint::start();
    let mut line = line(&endpoint).await;
    let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}", "x".repeat(128 << 10));
    let _ = line.write_all(head.as_bytes()).await;
    let answer = answer(&mut line).await;
    assert!(answer.starts_with("HTTP/1.1 431") || answer.is_empty(), "{answer}");
    works(&endpoint).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_too_many_is_ended_and_the_others_go_on() {
    let endpoint = Endpoint::start_with(&["--max-connections", "3"]);
    let mut lines = Vec::new();
    for _ in 0..3 {
        lines.push(line(&endpoint).await);
    }
    let begun = Instant::now();
    let refused = endpoint.client().https().session(&[]).await;
    assert!(refused.is_err() && begun.elapsed() < Duration::from_secs(5), "{refused:?}");
    assert!(endpoint.log().contains("too many connections"), "{}", endpoint.log());
    let mut first = lines.remove(0);
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    first.write_all(request).await.unwrap();
    let answer = answer(&mut first).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(first);
    // There is room again.
    wait_until("another is taken", async || {
        match endpoint.client().call(Method::GET, "/healthz", None, DEADLINE).await {
            Ok(reply) if reply.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// A TLS session from one of this machine's own addresses.
async fn from_address(endpoint: &Endpoint, address: [u8; 4]) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((address, 0).into())?;
    socket.connect(endpoint.address().parse().unwrap()).await
}

/// Whether the endpoint lets it be: it has not ended it after a moment.
async fn stays(stream: &mut TcpStream) -> bool {
    let mut byte = [0; 1];
    tokio::time::timeout(Duration::from_millis(500), stream.read(&mut byte)).await.is_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_cannot_take_every_place() {
    let endpoint = Endpoint::start_with(&["--max-connections", "40"]);
    let mut of_one = Vec::new();
    for _ in 0..10 {
        of_one.push(from_address(&endpoint, [127, 0, 0, 2]).await.unwrap());
    }
    let mut one_more = from_address(&endpoint, [127, 0, 0, 2]).await.unwrap();
    assert!(!stays(&mut one_more).await);
    for stream in &mut of_one {
        assert!(stays(stream).await);
    }
    let log = endpoint.log();
    assert!(log.contains("too many connections from one address"), "{log}");
    works(&endpoint).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_has_no_more_than_a_few_connections_and_its_neighbours_have_theirs() {
    let endpoint = Endpoint::start();
    let (host, other) =
        (TestHost::ready(&endpoint, "a").await, TestHost::ready(&endpoint, "b").await);
    let session =
        async |host: &TestHost| host.client(&endpoint).https().session(&[]).await.unwrap();
    let ask = async |mut line: Line| {
        let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut answer = [0; 12];
        line.write_all(request).await?;
        line.read_exact(&mut answer).await?;
        std::io::Result::Ok((String::from_utf8_lossy(&answer).into_owned(), line))
    };
    let mut lines = Vec::new();
    for _ in 0..32 {
        let (answer, line) = ask(session(&host).await).await.unwrap();
        assert_eq!(answer, "HTTP/1.1 200");
        lines.push(line);
    }
    assert!(ask(session(&host).await).await.is_err(), "one too many");
    let log = endpoint.log();
    assert!(log.contains("too many connections of one host"), "{log}");
    assert_eq!(ask(session(&other).await).await.unwrap().0, "HTTP/1.1 200");
    works(&endpoint).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_asks_less_at_once_than_a_host() {
    let endpoint = Endpoint::start();
    let host = TestHost::ready(&endpoint, "a").await;
    for (client, expected) in [(endpoint.client(), 8), (host.client(&endpoint), 32)] {
        let stream = client.https().session(&["h2"]).await.unwrap();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, mut connection) = handshake.await.unwrap();
        let request = Request::get(format!("{}/healthz", endpoint.url()));
        // The endpoint's settings come before its answer.
        let reply = tokio::select! {
            reply = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()) => reply,
            ended = &mut connection => panic!("{ended:?}"),
        };
        assert_eq!(reply.unwrap().status(), 200);
        assert_eq!(connection.current_max_send_streams(), expected);
    }
}

/// How many connections are up, besides the one that asks.
async fn others(endpoint: &Endpoint) -> u64 {
    let reply = endpoint.operator().call(Method::GET, "/metrics", None, DEADLINE).await.unwrap();
    let text = String::from_utf8(reply.body).unwrap();
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix("basalt_connections ")).unwrap();
    found.parse::<u64>().unwrap() - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_read_what_it_asked_for_is_let_go_and_harms_nobody() {
    let endpoint = Endpoint::start();
    let begun = Instant::now();
    let mut line = line(&endpoint).await;
    // Far more than the buffers of a connection hold, so that the endpoint has to wait.
    let ask = b"GET /v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let (from, mut to) = tokio::io::split(&mut line);
    let asks = async {
        let _ = to.write_all(&ask).await;
        std::future::pending::<()>().await;
    };
    let is_let_go = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(others(&endpoint).await, 1, "it waits that the other end reads");
        wait_until("it is let go", async || match others(&endpoint).await {
            0 => Ok(()),
            others => Err(format!("{others} connections")),
        })
        .await;
    };
    tokio::select! {
        () = asks => (),
        () = is_let_go => (),
    }
    drop(from);
    let took = begun.elapsed();
    assert!((Duration::from_secs(18)..Duration::from_secs(40)).contains(&took), "{took:?}");
    works(&endpoint).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_that_asks_nothing_more_is_let_go_by_http_2_too() {
    let endpoint = Endpoint::start();
    let stream = endpoint.client().https().session(&["h2"]).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get(format!("{}/healthz", endpoint.url()));
    let reply = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    assert_eq!(reply.status(), 200);
    let begun = Instant::now();
    // Its client answers pings, and asks nothing.
    let _ = tokio::time::timeout(DEADLINE, connection).await.unwrap();
    let took = begun.elapsed();
    assert!((Duration::from_secs(8)..Duration::from_secs(25)).contains(&took), "{took:?}");
    drop(sender);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_hosts_connection_ends_with_the_first_refusal() {
    let endpoint = Endpoint::start();
    let host = TestHost::ready(&endpoint, "a").await;
    let mut line = host.client(&endpoint).https().session(&[]).await.unwrap();
    let body = serde_json::to_string(&host.request()).unwrap();
    let check_in = format!(
        "POST {CHECKIN_PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(endpoint.ctl(&["hosts", "remove", "a", "--force"]).await.code, 0);
    let begun = Instant::now();
    line.write_all(check_in.as_bytes()).await.unwrap();
    let answer = answer(&mut line).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_anyone_may_send_is_a_small_one() {
    let endpoint = Endpoint::start();
    for path in [ENROL_PATH, RENEW_PATH, INSTALL_PATH] {
        for (bytes, expected) in [(MAX_BODY_BYTES, 400), (MAX_BODY_BYTES + 1, 413)] {
            let body = Some(vec![b' '; bytes]);
            let reply = endpoint.client().call(Method::POST, path, body, DEADLINE).await.unwrap();
            assert_eq!(reply.status, expected, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_files_may_be_open_as_the_system_allows() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(256), maximum: hard }).unwrap();
    let endpoint = Endpoint::start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", endpoint.pid())).unwrap();
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut numbers = files.split_whitespace().skip(3);
    let (soft, hard) = (numbers.next().unwrap(), numbers.next().unwrap());
    assert!(soft == hard && soft != "256", "{files}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_somebody_else_writes_to_the_database_all_are_told_to_come_again() {
    let endpoint = Endpoint::start();
    let options = SqliteConnectOptions::new().filename(endpoint.data().database());
    let mut other = options.connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let body = serde_json::to_vec(&json!({ "workloads": [container("web")] })).unwrap();
    let operator = endpoint.operator();
    let ask = || operator.call(Method::POST, "/v1/workloads", Some(body.clone()), DEADLINE);
    // One waits for the database, one for the connection that the first one has.
    let (first, second) = tokio::join!(ask(), ask());
    for reply in [first.unwrap(), second.unwrap()] {
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!((reply.status.as_u16(), reply.retry_after_s), (503, Some(5)), "{text}");
    }
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(ask().await.unwrap().status, 200);
}
