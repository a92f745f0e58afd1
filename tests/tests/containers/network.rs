//! Networks and ports.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use basalt_tests::engine::Kind;
use basalt_tests::ground::ADDRESS;
use basalt_tests::process::Process;
use basalt_tests::until::until;
use serde_json::json;

use crate::stage::{SOON, stage};

crate::on_both!(a_published_port_leads_into_the_container, each_network_is_what_it_says);

/// Asks for the page of a web server; none where nobody answers.
fn page(address: &str, port: u16) -> Option<String> {
    let mut stream = TcpStream::connect((address, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    write!(stream, "GET /index.html HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.contains("hello").then_some(text)
}

async fn a_published_port_leads_into_the_container(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let make = stage.make(
        1,
        json!({
            "command": ["httpd", "-f", "-h", "/srv", "-p", "80"],
            "network": "bridge",
            "ports": [
                { "host": 8080, "container": 80 },
                { "host": 8081, "container": 80, "address": "127.0.0.1" },
                { "host": 5353, "container": 53, "protocol": "udp", "address": "127.0.0.1" },
            ],
        }),
    );
    stage.run(&make).await;
    for (address, port) in [("127.0.0.1", 8080), (ADDRESS, 8080), ("127.0.0.1", 8081)] {
        until(SOON, &format!("a page at {address}:{port}"), || page(address, port));
    }
    // This one is published on one address alone.
    assert!(page(ADDRESS, 8081).is_none());

    // A listener within the container's network.
    let inner = stage.process(&make).in_network(|| UdpSocket::bind("0.0.0.0:53")).unwrap();
    inner.set_read_timeout(Some(SOON)).unwrap();
    let outer = UdpSocket::bind("127.0.0.1:0").unwrap();
    outer.send_to(b"ping", "127.0.0.1:5353").unwrap();
    let mut datagram = [0; 16];
    let (length, _) = inner.recv_from(&mut datagram).unwrap();
    assert_eq!(&datagram[..length], b"ping");

    let instance = stage.see(&make).await.unwrap();
    let [address] = instance.addresses.as_slice() else { panic!("{:?}", instance.addresses) };
    assert!(page(address, 80).is_some(), "{address} is its own");
}

/// Names of the network interfaces that a process has.
fn interfaces(process: Process) -> BTreeSet<String> {
    let text = process.text("net/dev");
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, _)| name.trim().to_owned()).collect()
}

async fn each_network_is_what_it_says(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let script = json!(["sh", "-c", "touch /tmp/ready; exec sleep 100"]);
    let on = |number, network: &str| {
        stage.make(number, json!({ "command": script, "network": network }))
    };
    let (none, bridge, host) = (on(1, "none"), on(2, "bridge"), on(3, "host"));
    for make in [&none, &bridge, &host] {
        stage.run(make).await;
    }
    let names = |make| interfaces(stage.ready(make));
    let only_loopback = BTreeSet::from(["lo".to_owned()]);
    let loopback = names(&none);
    // Some kernels have tunnels in every network.
    assert!(loopback.contains("lo") && !loopback.contains("eth0"), "{loopback:?}");
    assert!(loopback.is_superset(&only_loopback));
    assert!(names(&bridge).contains("eth0"));
    let network = |process: Process| std::fs::read_link(process.file("ns/net")).unwrap();
    let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    assert_eq!(network(stage.process(&host)), own);
    assert_ne!(network(stage.process(&bridge)), own);
    // Its name there is that of the workload.
    let name = stage.process(&bridge).root("/etc/hostname");
    assert_eq!(std::fs::read_to_string(name).unwrap().trim(), "w2");
    assert_eq!(stage.see(&none).await.unwrap().addresses, [""; 0]);
    assert_eq!(stage.see(&host).await.unwrap().addresses, [""; 0]);
}
