//! Who sends too slowly, too much, or comes in too large a number.

use std::time::{Duration, Instant};

use hyper::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::endpoint::{DEADLINE, Endpoint, wait_until};

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
