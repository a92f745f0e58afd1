//! An engine that is killed, is not there, or hangs.

use std::time::{Duration, Instant};

use basalt_tests::engine::Kind;
use basalt_tests::process::Process;
use hostd::containers::{Containers, Settings};
use hostd::runtime::{Data, Failure, Make, Runtime};
use hostd_core::instance::InstanceState;

use crate::stage::{Stage, settings, stage};

crate::on_both!(containers_outlive_their_engine_and_are_adopted, an_engine_that_hangs_is_told);

async fn containers_outlive_their_engine_and_are_adopted(kind: Kind) {
    let Some(mut stage) = stage(kind) else { return };
    let make =
        stage.script(1, "trap 'exit 4' TERM; touch /tmp/ready; while :; do sleep 0.05; done");
    stage.run(&make).await;
    let process = stage.ready(&make);
    let before = stage.see(&make).await;

    stage.ground.engine.kill();
    let error = stage.runtime.observe().await.unwrap_err();
    assert_eq!(error.kind, Failure::Unavailable);
    let socket = stage.ground.engine.socket().display().to_string();
    assert!(error.message.contains(&socket), "{error}");
    let error = stage.runtime.start(make.assigned.uid).await.unwrap_err();
    assert_eq!(error.kind, Failure::Unavailable);
    assert_eq!(process.words("cmdline")[0], "sh", "it goes on");

    stage.ground.engine.start_again();
    assert_eq!(stage.see(&make).await, before);
    // A hostd that was killed too knows nothing, and finds the same.
    stage.runtime = Containers::new(settings(&stage.ground));
    assert_eq!(stage.see(&make).await, before);
    assert_eq!(stage.process(&make), process);
    stage.runtime.create(&make).await.unwrap();
    stage.runtime.start(make.assigned.uid).await.unwrap();
    assert_eq!(stage.process(&make), process);
    stage.runtime.stop(make.assigned.uid, Duration::from_secs(10)).await.unwrap();
    let state = stage.state(&make).await;
    assert!(matches!(state, Some(InstanceState::Ended { code: Some(4), .. })), "{state:?}");
    stage.clear(&make, Data::Delete).await;
}

async fn an_engine_that_hangs_is_told(kind: Kind) {
    let Some(mut stage) = stage(kind) else { return };
    let make = stage.script(1, "sleep 100");
    stage.run(&make).await;
    // Long enough for a busy machine while it does not hang.
    let patience = Duration::from_secs(3);
    stage.runtime = Containers::new(Settings { patience, ..settings(&stage.ground) });
    stage.state(&make).await;

    stage.ground.engine.freeze();
    let socket = stage.ground.engine.socket().display().to_string();
    let began = Instant::now();
    let uid = make.assigned.uid;
    let (observed, stopped, prepared, removed) = tokio::join!(
        stage.runtime.observe(),
        stage.runtime.stop(uid, Duration::ZERO),
        stage.runtime.prepare(&make),
        stage.runtime.remove(uid, Data::Keep),
    );
    let errors =
        [observed.unwrap_err(), stopped.unwrap_err(), prepared.unwrap_err(), removed.unwrap_err()];
    assert!(began.elapsed() < 3 * patience, "{:?}", began.elapsed());
    let expected = format!("the container engine at `{socket}` does not answer within 3 s");
    for error in errors {
        assert_eq!((error.kind, &error.message), (Failure::Unavailable, &expected));
    }
    stage.ground.engine.thaw();
    assert!(matches!(stage.state(&make).await, Some(InstanceState::Running { .. })));
}

/// The processes that were made for this word, without what they fork: a child is a second one of
/// its parent's words until it executes its own.
fn alive(word: &str) -> Vec<u64> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let says = |pid: &u64| Process(*pid).words("cmdline").iter().any(|one| one.contains(word));
    let runs = |pid: &u64| !Process(*pid).status("State").contains(&"Z".to_owned());
    let alive: Vec<u64> = pids.filter(says).filter(runs).collect();
    let is_forked = |pid: &u64| {
        let parent = Process(*pid).status("PPid").concat().parse();
        parent.is_ok_and(|parent| alive.contains(&parent))
    };
    alive.iter().copied().filter(|pid| !is_forked(pid)).collect()
}

/// A container whose start dockerd has forgotten, and which runs all the same.
async fn forgotten(stage: &mut Stage, word: &str) -> Make {
    let script = format!("touch /tmp/ready; : {word}; while :; do sleep 0.05; done");
    let make = stage.script(1, &script);
    stage.run(&make).await;
    let process = stage.ready(&make);
    let id = stage.inspect(&make)["Id"].as_str().unwrap().to_owned();
    stage.ground.engine.kill();
    stage.ground.engine.forget_start(&id);
    stage.ground.engine.start_again();
    assert_eq!(alive(word), [process.0], "it goes on");
    assert_eq!(stage.inspect(&make)["State"]["Running"], false);
    make
}

#[tokio::test]
async fn a_container_whose_start_dockerd_forgot_runs_once_in_the_end() {
    let Some(mut stage) = stage(Kind::Docker) else { return };
    let word = "runs-once-in-the-end";
    let make = forgotten(&mut stage, word).await;
    let before = alive(word);
    let end = Instant::now() + Duration::from_secs(60);
    // As hostd does: made anew where a start does not succeed.
    while let Err(error) = stage.runtime.start(make.assigned.uid).await {
        assert!(Instant::now() < end, "{error}");
        assert_eq!(alive(word), [0; 0], "{error}");
        stage.runtime.create(&make).await.unwrap();
    }
    assert_eq!(alive(word), [stage.process(&make).0]);
    assert_ne!(alive(word), before);
    stage.clear(&make, Data::Delete).await;
    assert_eq!(alive(word), [0; 0]);
}

#[tokio::test]
async fn a_container_whose_start_dockerd_forgot_is_removed_with_what_runs_of_it() {
    let Some(mut stage) = stage(Kind::Docker) else { return };
    let word = "goes-with-what-runs";
    let make = forgotten(&mut stage, word).await;
    stage.runtime.remove(make.assigned.uid, Data::Delete).await.unwrap();
    assert_eq!(alive(word), [0; 0]);
    assert_eq!(stage.see(&make).await, None);
}

/// As one that its operator holds: the engine says that it does not run, and so would its host.
#[tokio::test]
async fn a_container_whose_start_dockerd_forgot_is_told_and_stopped() {
    let Some(mut stage) = stage(Kind::Docker) else { return };
    let word = "is-told-and-stopped";
    let make = forgotten(&mut stage, word).await;
    let end = Instant::now() + Duration::from_secs(60);
    while !matches!(stage.state(&make).await, Some(InstanceState::Stray { .. })) {
        assert!(Instant::now() < end, "it is not told");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    stage.runtime.stop(make.assigned.uid, Duration::from_secs(1)).await.unwrap();
    assert_eq!(alive(word), [0; 0]);
    let state = stage.state(&make).await.unwrap();
    assert!(!state.has_processes(), "{state:?}");
    stage.clear(&make, Data::Delete).await;
}

/// podman's store has the name, and podman has no such container.
#[tokio::test]
async fn a_container_that_podman_made_by_half_is_made_anew() {
    let Some(mut stage) = stage(Kind::Podman) else { return };
    let make = stage.script(1, "touch /tmp/ready; while :; do sleep 0.05; done");
    stage.runtime.create(&make).await.unwrap();
    stage.ground.engine.kill();
    stage.ground.engine.forget_containers();
    stage.ground.engine.start_again();
    assert_eq!(stage.see(&make).await, None);
    stage.run(&make).await;
    stage.ready(&make);
    stage.clear(&make, Data::Delete).await;
}

/// podman lists nothing at all while there is one of which its store knows nothing.
#[tokio::test]
async fn a_container_that_podman_removed_by_half_is_removed_and_hides_no_other() {
    let Some(mut stage) = stage(Kind::Podman) else { return };
    let make = stage.script(1, "touch /tmp/ready; while :; do sleep 0.05; done");
    stage.runtime.create(&make).await.unwrap();
    stage.ground.engine.kill();
    stage.ground.engine.forget_in_store();
    stage.ground.engine.start_again();
    assert_eq!(stage.see(&make).await, None);
    stage.run(&make).await;
    stage.ready(&make);
    stage.clear(&make, Data::Delete).await;
}
