//! A write that is cut off: by Ctrl-C, and at each of its writes.

use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_cmd::Cmd;
use rustix::process::{Pid, Signal, kill_process};

use crate::ground::Ground;
use crate::network::boots_nowhere;
use crate::server::{Answer, Server};
use crate::step;

const DEADLINE: Duration = Duration::from_secs(60);

fn command(ground: &Ground, image: &str) -> Cmd {
    let cmd = Cmd::new(env!("CARGO_BIN_EXE_basalt")).args(["write", image, "--to"]);
    cmd.arg(ground.path("disk")).deadline(DEADLINE)
}

#[test]
fn whoever_stops_it_is_heard_at_once_and_told_what_is_left() {
    let ground = Ground::new();
    let image = fs::read(ground.path("disk.raw")).unwrap();
    let server = Server::start(image, "etag: \"1\"", &[Answer::Slow]);
    let log = ground.path("log");
    let said = File::create(&log).unwrap().into();
    let cmd = command(&ground, &server.url());
    let mut running = cmd.spawn(Stdio::null(), Stdio::null(), said).unwrap();
    let until = Instant::now() + DEADLINE;
    while !fs::read_to_string(&log).unwrap().contains("write …") {
        let ended = running.wait_for(Duration::from_millis(10)).unwrap();
        let said = fs::read_to_string(&log).unwrap();
        assert!(ended.is_none() && Instant::now() < until, "{ended:?}: {said}");
    }
    let pid = Pid::from_raw(running.id() as i32).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let began = Instant::now();
    let ended = running.wait_for(DEADLINE).unwrap().expect("it ends");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let said = fs::read_to_string(&log).unwrap();
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(said.contains("was not written whole, and does not boot: stopped"), "{said}");
    assert!(boots_nowhere(&ground.path("disk")));
    // Another one begins anew.
    ground.write("disk.raw", "disk");
    ground.check("disk");
}

#[test]
fn a_write_that_is_killed_boots_nowhere_and_the_next_one_is_whole() {
    let ground = Ground::new();
    let image = ground.path("disk.raw").display().to_string();
    let mut number = 1;
    while step::is_killed_at("pwrite64", number, command(&ground, &image)) {
        assert!(boots_nowhere(&ground.path("disk")), "{number}");
        number += 4;
    }
    assert!(number > 16, "{number}");
    // At its very end: each of what it waits for.
    let mut number = 1;
    while step::is_killed_at("fsync", number, command(&ground, &image)) {
        number += 1;
    }
    assert!(number > 3, "{number}");
    ground.check("disk");
}
