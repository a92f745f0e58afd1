//! Hearing that something changed.

use std::time::Duration;

use basalt_tests::engine::Kind;
use basalt_tests::ground::TINY;
use hostd::runtime::Runtime;
use hostd_core::instance::InstanceState;
use serde_json::json;

use crate::stage::{SOON, Stage, stage};

crate::on_both!(
    a_change_by_anybody_is_heard,
    what_is_not_ours_is_not_heard,
    a_restart_by_somebody_else_is_seen,
    events_that_were_lost_are_made_up_for,
);

async fn changed(stage: &Stage) {
    tokio::time::timeout(SOON, stage.runtime.changed()).await.expect("something changed");
}

/// Begins to listen, and waits until nothing that happens from now on is missed: the runtime tells
/// of a change when it begins to listen, and once the engine does for certain.
async fn listening(stage: &Stage) {
    changed(stage).await;
    changed(stage).await;
}

/// Waits until nothing has changed for a while.
async fn calm(stage: &Stage) {
    let quiet = Duration::from_millis(500);
    while tokio::time::timeout(quiet, stage.runtime.changed()).await.is_ok() {}
}

async fn is_calm(stage: &Stage) -> bool {
    tokio::time::timeout(Duration::from_secs(1), stage.runtime.changed()).await.is_err()
}

async fn a_change_by_anybody_is_heard(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let make = stage.script(1, "touch /tmp/ready; exec sleep 100");
    listening(&stage).await;
    stage.runtime.create(&make).await.unwrap();
    changed(&stage).await;
    calm(&stage).await;
    stage.runtime.start(make.assigned.uid).await.unwrap();
    changed(&stage).await;
    stage.ready(&make);
    assert!(matches!(stage.state(&make).await, Some(InstanceState::Running { .. })));
    calm(&stage).await;
    let kill = format!("POST /containers/{}/kill", Stage::name(&make));
    assert_eq!(stage.ground.engine.ask(&kill).status, 204);
    changed(&stage).await;
    stage.end_of(&make).await;
}

async fn what_is_not_ours_is_not_heard(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    listening(&stage).await;
    let engine = &stage.ground.engine;
    let body = json!({ "Image": TINY, "Cmd": ["true"], "HostConfig": { "NetworkMode": "none" } });
    assert_eq!(engine.send("POST /containers/create?name=other", &body).status, 201);
    assert_eq!(engine.ask("POST /containers/other/start").status, 204);
    assert_eq!(engine.ask("POST /containers/other/wait").status, 200);
    assert_eq!(engine.ask("DELETE /containers/other?force=true").status, 204);
    assert!(is_calm(&stage).await);
}

async fn a_restart_by_somebody_else_is_seen(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let make = stage.script(1, "touch /tmp/ready; exec sleep 100");
    stage.run(&make).await;
    listening(&stage).await;
    // Twice, so that the second one comes from what is kept.
    let since = async || match stage.state(&make).await {
        Some(InstanceState::Running { since }) => since,
        other => panic!("{other:?}"),
    };
    let before = since().await;
    assert_eq!(since().await, before);
    // Times are told in seconds: the next one must be another.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let restart = format!("POST /containers/{}/restart?t=0", Stage::name(&make));
    assert_eq!(stage.ground.engine.ask(&restart).status, 204);
    calm(&stage).await;
    assert!(since().await > before);
}

async fn events_that_were_lost_are_made_up_for(kind: Kind) {
    let Some(mut stage) = stage(kind) else { return };
    let make = stage.script(1, "touch /tmp/ready; exec sleep 100");
    stage.run(&make).await;
    let process = stage.ready(&make);
    listening(&stage).await;
    stage.ground.engine.kill();
    changed(&stage).await;
    // While nobody listens, the container ends.
    let pid = i32::try_from(process.0).unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pid).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    stage.ground.engine.start_again();
    changed(&stage).await;
    stage.end_of(&make).await;
}
