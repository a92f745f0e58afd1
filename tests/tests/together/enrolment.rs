//! An enrolment whose reply is lost, and one whose join string leads nowhere.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use basalt_api::enrol::JoinString;
use basalt_tests::engine::Kind;
use basalt_tests::fleet::{DEADLINE, Fleet};
use basalt_tests::until::until;

const ENDPOINT: &str = "127.0.0.1:18443";
const PROXY: &str = "127.0.0.1:18444";

#[test]
fn a_host_whose_enrolment_reply_was_lost_enrols_with_the_same_token() {
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    fleet.endpoint.with_args(&["--advertise", "https://127.0.0.1:18444"]);
    fleet.endpoint.start();
    let listener = TcpListener::bind(PROXY).unwrap();
    let connections: &AtomicUsize = Box::leak(Box::default());
    let (tell, was_cut) = std::sync::mpsc::channel();
    let operator = fleet.endpoint.operator();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client.unwrap(), TcpStream::connect(ENDPOINT).unwrap());
            if connections.fetch_add(1, Ordering::SeqCst) == 0 {
                // The endpoint has noted the host, and nobody heard it say so.
                lose_the_reply(&client, &server, || {
                    until(DEADLINE, "the endpoint has the host", || {
                        let hosts = operator.ctl(&["hosts", "--json"], b"").json();
                        (hosts["hosts"].as_array()?.len() == 1).then_some(())
                    });
                });
                tell.send(()).unwrap();
            } else {
                std::thread::spawn(move || pass(&client, &server));
            }
        }
    });
    fleet.host.put("etc/basalt/join", &fleet.endpoint.join_string());
    fleet.host.start();
    was_cut.recv_timeout(DEADLINE).expect("the first reply is cut off");
    fleet.host.stands("connected");
    assert!(connections.load(Ordering::SeqCst) > 1, "it came by the proxy");
    assert!(fleet.host.log().contains("cannot enrol yet"), "{}", fleet.host.log());
    let hosts = fleet.endpoint.ctl(&["hosts", "--json"]).json();
    assert_eq!(hosts["hosts"].as_array().unwrap().len(), 1, "{hosts}");
    fleet.apply("web", "");
}

/// Nobody listens there.
const NOBODY: [&str; 2] = ["https://127.0.0.1:9", "https://127.0.0.1:10"];

#[test]
fn a_host_finds_its_endpoint_where_its_configuration_says_that_it_is() {
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    fleet.endpoint.start();
    let mut join: JoinString = fleet.endpoint.join_string().parse().unwrap();
    join.urls = vec![NOBODY[0].to_owned()];
    let endpoints = format!("endpoints = [{:?}, \"https://{ENDPOINT}\"]\n", NOBODY[1]);
    fleet.host.configure("endpoints", &endpoints);
    fleet.enrol_with(&join.reveal());
    fleet.apply("web", "");
    // It is the configuration's, and goes with it.
    fleet.host.kill();
    fleet.host.configure("endpoints", "");
    fleet.host.start();
    let reason = fleet.host.stands("away");
    until(DEADLINE, "it asks where the join string said", || {
        fleet.host.status()["endpoint"]["reason"].as_str()?.contains("127.0.0.1:9").then_some(())
    });
    assert!(!reason.contains(ENDPOINT), "{reason}");
    fleet.host.becomes(&[("web", "running")]);
    fleet.host.kill();
    fleet.host.configure("endpoints", &endpoints);
    fleet.host.start();
    fleet.host.stands("connected");
}

/// As PXE does it: the kernel arguments say where the endpoint is, the secret comes by itself.
#[test]
fn a_secret_alone_enrols_where_the_kernel_arguments_say_and_at_no_other_ca() {
    let Some(mut fleet) = Fleet::prepare(Kind::Podman) else { return };
    fleet.endpoint.start();
    let said = fleet.endpoint.ctl(&["token", "create", "--bare"]);
    assert!(said.ok && said.text.starts_with("basalt1-secret."), "{}{}", said.text, said.errors);
    let told = said.errors.lines().find_map(|line| line.split_once("its hosts: "));
    let (_, arguments) = told.unwrap_or_else(|| panic!("no arguments: {}", said.errors));
    assert!(!arguments.contains(said.text.trim().trim_start_matches("basalt1-secret.")));
    let (urls, ca) = arguments.rsplit_once(" basalt.ca=").expect("both");
    let other_ca = "0".repeat(64);

    let problem = |fleet: &Fleet, part: &str| {
        until(DEADLINE, part, || {
            let status = fleet.host.status().to_string();
            status.contains(part).then_some(status)
        })
    };
    fleet.host.put("etc/basalt/join", &said.text);
    fleet.host.put("proc/cmdline", &format!("quiet {urls}\n"));
    fleet.host.start();
    problem(&fleet, "no kernel argument `basalt.ca=`");
    fleet.host.kill();

    fleet.host.put("proc/cmdline", &format!("quiet {urls} basalt.ca={other_ca}\n"));
    fleet.host.start();
    fleet.host.stands("joining");
    until(DEADLINE, "it has found another CA there", || {
        fleet.host.log().contains("cannot enrol yet").then_some(())
    });
    assert!(fleet.endpoint.host().is_none());
    fleet.host.kill();

    // A whole join string is led to no other CA, either.
    fleet.host.put("etc/basalt/join", &fleet.endpoint.join_string());
    fleet.host.start();
    let status = problem(&fleet, "neither is taken");
    assert!(status.contains(ca) && status.contains(&other_ca), "{status}");
    fleet.host.kill();

    fleet.host.put("proc/cmdline", &format!("quiet {arguments}\n"));
    fleet.enrol_with(&said.text);
    fleet.apply("web", "");
}

/// Passes TLS's greeting on, then only what the client says; cuts both once `is_done` returns.
fn lose_the_reply(client: &TcpStream, server: &TcpStream, is_done: impl FnOnce()) {
    let says_more = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut from, mut to, mut pieces) = (client, server, 0);
            let mut bytes = [0; 16_384];
            while let Ok(length @ 1..) = from.read(&mut bytes) {
                pieces += 1;
                // The first piece greets; what follows answers the server's greeting.
                says_more.store(pieces > 1, Ordering::SeqCst);
                if to.write_all(&bytes[..length]).is_err() {
                    return;
                }
            }
        });
        scope.spawn(|| {
            let (mut from, mut to) = (server, client);
            let mut bytes = [0; 16_384];
            while let Ok(length @ 1..) = from.read(&mut bytes) {
                if !says_more.load(Ordering::SeqCst) && to.write_all(&bytes[..length]).is_err() {
                    return;
                }
            }
        });
        is_done();
        for stream in [client, server] {
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
}

/// Passes everything on, both ways.
fn pass(client: &TcpStream, server: &TcpStream) {
    std::thread::scope(|scope| {
        for (from, to) in [(client, server), (server, client)] {
            scope.spawn(move || {
                let (mut from, mut to) = (from, to);
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
    let _ = client.set_read_timeout(Some(Duration::from_secs(1)));
}
