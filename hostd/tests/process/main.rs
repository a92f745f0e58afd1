//! The real `hostd` and `hostctl` in a folder of their own, with a systemd that this test plays.

#![expect(clippy::unwrap_used, reason = "what cannot set up its host has failed")]

mod host;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use host::Host;

#[test]
fn systemd_hears_ready_once_the_first_round_is_done() {
    let host = Host::new();
    let hostd = host.start();
    assert!(hostd.began_with.contains("READY=1"));
    let status = host.status();
    assert_eq!(
        (status["state"].as_str(), status["boot"].as_str()),
        (Some("ready"), Some("blessed"))
    );
    assert_eq!((status["version"].as_str(), status["slot"].as_str()), (Some("3"), Some("a")));
    assert_eq!(status["commit"].as_str(), Some("11aa"));
    assert_eq!(status["ledger_sequence"].as_u64(), Some(1));
}

#[test]
fn the_watchdog_is_fed_by_every_round() {
    let host = Host::new();
    host.config("round_interval_s = 1");
    let hostd = host.start();
    assert!(hostd.heard().contains("WATCHDOG=1"));
    assert!(hostd.heard().contains("WATCHDOG=1"));
}

#[test]
fn the_gate_opens_for_a_good_boot() {
    let host = Host::new();
    let _hostd = host.start();
    let gate = host.hostctl(&["gate", "--deadline", "20"]);
    assert_eq!(gate.code, 0, "{}", gate.stderr);
}

#[test]
fn the_gate_names_the_unit_that_is_not_active() {
    let host = Host::new();
    host.unit_state("failed");
    host.config("[gate]\nrequired_units = [\"podman.socket\"]");
    let _hostd = host.start();
    let gate = host.hostctl(&["gate", "--deadline", "1"]);
    assert_eq!(gate.code, 1);
    assert!(gate.stderr.contains("podman.socket: it is failed"), "{}", gate.stderr);
    let status = host.hostctl(&["status"]);
    assert_eq!(status.code, 1);
    assert!(status.stdout.contains("state    degraded"), "{}", status.stdout);
}

#[test]
fn a_check_of_the_hosts_own_is_told_and_only_a_required_one_fails_the_boot() {
    let host = Host::new();
    host.config("round_interval_s = 1");
    let _hostd = host.start();
    assert_eq!(host.hostctl(&["checks"]).code, 0, "there is none");
    let put = |path: &str, script: &str| {
        let path = host.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    put("etc/basalt/wanted.d/20-backup", "echo no backup; exit 2");
    let checks = host.hostctl(&["checks"]);
    assert_eq!(checks.code, 0, "{}", checks.stderr);
    let told = |text: &str| host.hostctl(&["status"]).stdout.contains(text);
    host.wait_until(|| told("wanted.d/20-backup: this check failed, exit code 2: no backup"));
    assert_eq!(host.hostctl(&["gate", "--deadline", "20"]).code, 0);
    put("usr/lib/basalt/required.d/10-disk", "echo no disk; exit 3");
    let checks = host.hostctl(&["checks"]);
    assert_eq!(checks.code, 1);
    assert!(checks.stderr.contains("wanted.d/20-backup: exit code 2"), "{}", checks.stderr);
    // The end of it becomes the reason why a trial failed.
    let end = "required.d/10-disk: exit code 3\n  no disk\n";
    assert!(checks.stderr.ends_with(end), "{}", checks.stderr);
    host.wait_until(|| told("required.d/10-disk"));
    let gate = host.hostctl(&["gate", "--deadline", "1"]);
    assert_eq!(gate.code, 1);
    assert!(gate.stderr.contains("required.d/10-disk: this check failed"), "{}", gate.stderr);
    fs::remove_file(host.path("usr/lib/basalt/required.d/10-disk")).unwrap();
    assert_eq!(host.hostctl(&["checks"]).code, 0);
    assert_eq!(host.hostctl(&["gate", "--deadline", "20"]).code, 0);
}

#[test]
fn the_gate_waits_for_a_unit_that_comes_late() {
    let host = Host::new();
    host.unit_state("activating");
    host.config("[gate]\nrequired_units = [\"podman.socket\"]");
    let _hostd = host.start();
    let gate = std::thread::scope(|scope| {
        let gate = scope.spawn(|| host.hostctl(&["gate", "--deadline", "30"]));
        host.wait_until(|| host.status()["state"] == "degraded");
        host.unit_state("active");
        gate.join().expect("the gate ends")
    });
    assert_eq!(gate.code, 0, "{}", gate.stderr);
}

#[test]
fn the_gate_stays_shut_without_a_hostd() {
    let host = Host::new();
    let gate = host.hostctl(&["gate", "--deadline", "1"]);
    assert_eq!(gate.code, 1);
    assert!(gate.stderr.contains("hostd does not listen"), "{}", gate.stderr);
}

#[test]
fn a_host_without_hostd_gets_a_hint() {
    let status = Host::new().hostctl(&["status"]);
    assert_eq!(status.code, 1);
    assert!(status.stderr.starts_with("error: hostd does not listen on "), "{}", status.stderr);
    assert!(status.stderr.contains("\nhint: `systemctl status hostd`"), "{}", status.stderr);
}

#[test]
fn a_second_hostd_is_refused_and_the_first_goes_on() {
    let host = Host::new();
    let _hostd = host.start();
    let second = host.hostd();
    assert_eq!(second.code, 1);
    assert!(second.stderr.contains("another hostd runs"), "{}", second.stderr);
    assert_eq!(host.status()["state"], "ready");
}

#[test]
fn killed_at_once_it_comes_back_with_its_ledger() {
    let host = Host::new();
    for time in 1..=3 {
        let hostd = host.start();
        assert_eq!(host.status()["ledger_sequence"], time);
        hostd.kill();
    }
}

#[test]
fn asked_to_end_it_takes_its_socket_away() {
    let host = Host::new();
    let hostd = host.start();
    assert!(host.path("run/hostd/hostd.sock").exists());
    assert_eq!(hostd.terminate(), Some(0));
    assert!(!host.path("run/hostd/hostd.sock").exists());
}

#[test]
fn a_lost_ledger_fails_the_gate_and_stays_as_it_is() {
    let host = Host::new();
    host.start().kill();
    for name in ["ledger.a", "ledger.b"] {
        fs::write(host.path("var/lib/hostd").join(name), "torn").unwrap();
    }
    let _hostd = host.start();
    let gate = host.hostctl(&["gate", "--deadline", "1"]);
    assert_eq!(gate.code, 1);
    assert!(gate.stderr.contains("ledger: it cannot be read"), "{}", gate.stderr);
    assert_eq!(host.status()["problems"][0]["code"], "ledger_lost");
    assert_eq!(fs::read_to_string(host.path("var/lib/hostd/ledger.a")).unwrap(), "torn");
}

#[test]
fn a_mistake_in_the_operators_file_is_shown_and_does_not_stop_it() {
    let host = Host::new();
    host.config("round_interval = 5");
    let _hostd = host.start();
    let status = host.hostctl(&["status"]);
    assert!(status.stdout.contains("did you mean `round_interval_s`?"), "{}", status.stdout);
    assert_eq!(host.hostctl(&["gate", "--deadline", "20"]).code, 0);
}

#[test]
fn a_join_string_on_the_kernels_command_line_is_told_and_not_used() {
    use std::fmt::Write as _;
    let host = Host::new();
    let cmdline = host.path("proc/cmdline");
    let mut text = fs::read_to_string(&cmdline).unwrap();
    write!(text, " basalt.join=basalt1.canary").unwrap();
    fs::write(&cmdline, &text).unwrap();
    let _hostd = host.start();
    let status = host.status();
    assert_eq!(status["problems"][0]["code"], "join_invalid");
    assert_eq!(status["slot"], "a");
    assert!(status["endpoint"].is_null(), "{status}");
    let shown = host.hostctl(&["status"]).stdout;
    let told = "kernel command line: `basalt.join=` is there, a secret that everybody";
    assert!(shown.contains(told) && shown.contains("credential `basalt.join`"), "{shown}");
    assert!(!format!("{status}{shown}").contains("canary"), "{shown}");
    assert_eq!(host.hostctl(&["gate", "--deadline", "20"]).code, 0);
}

/// systemd hands a credential of the command line on like one of a safe place.
#[test]
fn a_credential_of_the_kernels_command_line_is_told_and_not_used() {
    let host = Host::new();
    let join = "basalt1.canary";
    fs::create_dir(host.path("credentials")).unwrap();
    fs::write(host.path("credentials/basalt.join"), join).unwrap();
    let from_elsewhere = host.start();
    let told = host.status()["problems"].to_string();
    assert!(told.contains("basalt.join`: the join string was cut off"), "it is read: {told}");
    drop(from_elsewhere);
    let text = format!("quiet systemd.set_credential=basalt.join:{join}");
    fs::write(host.path("proc/cmdline"), text).unwrap();
    let _hostd = host.start();
    let told = host.status()["problems"].to_string();
    assert!(told.contains("`systemd.set_credential=basalt.join:` is there"), "{told}");
    assert!(!told.contains("cut off") && !told.contains("canary"), "{told}");
}

/// systemd is told that it ends on purpose.
#[test]
fn asked_to_end_it_tells_systemd_that_it_is_stopping() {
    let host = Host::new();
    let hostd = host.start();
    assert!(hostd.ends_with().contains("STOPPING=1"));
}

#[test]
fn a_port_that_is_taken_is_shown_until_it_is_free() {
    let host = Host::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap().pem();
    for (name, text) in [("certificate", &certificate), ("key", &key.serialize_pem())] {
        fs::write(host.path(name), text).unwrap();
    }
    let path = |name: &str| host.path(name).display().to_string();
    let (certificate, key) = (path("certificate"), path("key"));
    host.config(&format!(
        "[listen]\naddress = \"{address}\"\ncertificate = \"{certificate}\"\n\
         key = \"{key}\"\nclient_ca = \"{certificate}\"\n"
    ));
    let _hostd = host.start();
    host.wait_until(|| host.hostctl(&["status"]).stdout.contains(&format!("listen on {address}")));
    assert_eq!(host.status()["problems"][0]["code"], "listen_failed");
    // It keeps no release from staying, and no host from working.
    assert_eq!(host.hostctl(&["gate", "--deadline", "20"]).code, 0);
    drop(taken);
    host.wait_until(|| host.status()["state"] == "ready");
}

#[test]
fn the_consoles_are_told_who_and_how_the_host_is() {
    let host = Host::new();
    let _hostd = host.start();
    let issue = fs::read_to_string(host.path("run/issue.d/50-basalt.issue")).unwrap();
    assert!(issue.contains("version 3, slot a blessed, hostd is ready"), "{issue}");
}

#[test]
fn a_client_that_talks_nonsense_harms_nobody() {
    let host = Host::new();
    let _hostd = host.start();
    let mut client = UnixStream::connect(host.path("run/hostd/hostd.sock")).unwrap();
    client.write_all(b"\x16\x03\x01 what is this\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(host.status()["state"], "ready");
}

#[test]
fn who_mistypes_can_mend_it_and_who_asks_for_help_gets_it() {
    let host = Host::new();
    for (ended, code, words) in [
        (host.hostctl(&["statsu"]), 1, "similar subcommands"),
        (host.hostctl(&["status", "--help"]), 0, ""),
        (host.hostd_with(&["--rot", "/"]), 1, "--root"),
        (host.hostd_with(&["--version"]), 0, ""),
    ] {
        assert_eq!(ended.code, code, "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains(words), "{}", ended.stderr);
        // What was asked for is what a pipe gets; a mistake is not.
        assert_eq!(ended.stdout.is_empty(), code != 0, "{}", ended.stdout);
    }
}

/// 2 is for what the user cannot mend: hostd itself answers wrong.
#[test]
fn hostctl_ends_with_2_where_hostd_is_at_fault_and_with_1_where_the_user_can_mend_it() {
    let host = Host::new();
    fs::create_dir_all(host.path("run/hostd")).unwrap();
    let listener =
        std::os::unix::net::UnixListener::bind(host.path("run/hostd/hostd.sock")).unwrap();
    let answers = [
        ("200 OK", "nonsense", 2),
        ("500 Internal Server Error", r#"{"detail":"it broke"}"#, 2),
        ("404 Not Found", r#"{"detail":"there is no such workload"}"#, 1),
        ("503 Service Unavailable", r#"{"detail":"too many ask"}"#, 1),
    ];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for (status, body, _) in answers {
                let (mut client, _) = listener.accept().unwrap();
                let mut asked = [0; 4096];
                assert!(client.read(&mut asked).unwrap() > 0);
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
                client.write_all((head + body).as_bytes()).unwrap();
            }
        });
        for (status, _, code) in answers {
            let ended = host.hostctl(&["describe", "web"]);
            assert_eq!(ended.code, code, "{status}: {}", ended.stderr);
            assert!(ended.stderr.starts_with("error: "), "{}", ended.stderr);
        }
    });
}

#[test]
fn events_end_where_nobody_follows() {
    let host = Host::new();
    let _hostd = host.start();
    let events = host.hostctl(&["events"]);
    assert_eq!((events.code, events.stdout.as_str()), (0, ""), "{}", events.stderr);
}

#[test]
fn clients_that_say_nothing_leave_room_for_others() {
    let host = Host::new();
    let _hostd = host.start();
    let socket = host.path("run/hostd/hostd.sock");
    // All that root may have, or somebody else.
    let places = if rustix::process::geteuid().is_root() { 64 } else { 16 };
    let _silent: Vec<_> = (0..places).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    let ask = "GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut one_more = UnixStream::connect(&socket).unwrap();
    one_more.write_all(ask.as_bytes()).unwrap();
    let line = first_line(&mut one_more);
    assert!(line.contains("503"), "all places are taken, and it is answered: {line}");
    if let Some(mut others) = of_another_user(&host, 1, ask) {
        assert_eq!(first_line(&mut others[0]), "HTTP/1.1 200 OK");
    }
    // Who says nothing is let go in a while.
    host.wait_until(|| host.hostctl(&["status"]).code == 0);
    assert_eq!(host.status()["state"], "ready");
}

/// Connections of another user, who may connect, that ask this and go on listening. None where
/// this cannot be.
fn of_another_user(host: &Host, count: usize, request: &str) -> Option<Vec<UnixStream>> {
    use std::os::unix::fs::PermissionsExt;
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("BASALT_NO_SKIP").is_none(), "this test needs root");
        eprintln!("skipped: who is another user, only root can play");
        return None;
    }
    fs::set_permissions(host.path(""), fs::Permissions::from_mode(0o711)).unwrap();
    let socket = host.path("run/hostd/hostd.sock");
    let connect = || {
        let mut client = UnixStream::connect(&socket).unwrap();
        // One that is turned away may be closed already.
        let _ = client.write_all(request.as_bytes());
        client
    };
    std::thread::scope(|scope| {
        let user = scope.spawn(|| {
            // The kernel changes the thread alone; the group stays, which may connect.
            rustix::thread::set_thread_uid(rustix::thread::Uid::from_raw(65_534)).unwrap();
            (0..count).map(|_| connect()).collect::<Vec<_>>()
        });
        Some(user.join().expect("it connects"))
    })
}

fn first_line(client: &mut UnixStream) -> String {
    client.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut bytes = [0; 64];
    let length = client.read(&mut bytes).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..length]).lines().next().unwrap_or_default().to_owned()
}

#[test]
fn followers_of_one_user_leave_room_for_root_and_for_its_own_questions() {
    let host = Host::new();
    let _hostd = host.start();
    let follow = "GET /v1/events?follow=true HTTP/1.1\r\nHost: a\r\n\r\n";
    let Some(mut followers) = of_another_user(&host, 12, follow) else { return };
    let answered: Vec<String> = followers.iter_mut().map(first_line).collect();
    let good = answered.iter().filter(|line| line.contains("200")).count();
    let refused = answered.iter().filter(|line| line.contains("503")).count();
    assert_eq!((good, refused), (8, 4), "{answered:?}");
    let ask = "GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut asks = of_another_user(&host, 1, ask).unwrap();
    assert_eq!(first_line(&mut asks[0]), "HTTP/1.1 200 OK");
}

#[test]
fn a_user_who_takes_every_place_keeps_neither_root_nor_the_gate_out() {
    let host = Host::new();
    let _hostd = host.start();
    let follow = "GET /v1/events?follow=true HTTP/1.1\r\nHost: a\r\n\r\n";
    let Some(_all) = of_another_user(&host, 200, follow) else { return };
    assert_eq!(host.status()["state"], "ready");
    assert_eq!(host.hostctl(&["gate", "--deadline", "5"]).code, 0);
    let ask = "GET /v1/status HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut more = of_another_user(&host, 1, ask).unwrap();
    let line = first_line(&mut more[0]);
    assert!(line.is_empty() || line.contains("503"), "{line}");
}

#[test]
fn values_of_the_environment_are_shown_to_root_alone() {
    let host = Host::new();
    host.config("[containers]\nsocket = \"/nowhere/engine.sock\"");
    let _hostd = host.start();
    let file = host.path("web.toml");
    let text = "[[workload]]\nname = \"web\"\nkind = \"container\"\n[workload.container]\n\
                image = \"a\"\nenvironment = { KEY = \"canary\" }\n";
    fs::write(&file, text).unwrap();
    let applied = host.hostctl(&["apply", file.to_str().unwrap()]);
    assert_eq!(applied.code, 0, "{}", applied.stderr);
    host.wait_until(|| host.hostctl(&["describe", "web"]).stdout.contains("canary"));
    let ask = "GET /v1/workloads/web HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let Some(mut asks) = of_another_user(&host, 1, ask) else { return };
    asks[0].set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut answer = String::new();
    asks[0].read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("KEY"), "{answer}");
    assert!(!answer.contains("canary"), "{answer}");
}

#[test]
fn only_owner_and_group_reach_the_socket() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::new();
    let _hostd = host.start();
    let mode = fs::metadata(host.path("run/hostd/hostd.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
}
