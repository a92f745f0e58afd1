//! From nothing to a running container and back.

use std::time::{Duration, Instant};

use basalt_tests::engine::Kind;
use hostd::runtime::{Data, Failure, Runtime};
use hostd_core::instance::InstanceState;

use crate::stage::{Stage, stage};

crate::on_both!(it_is_made_started_stopped_and_removed, a_stop_that_is_ignored_ends_in_a_kill);

/// Ends well when it is asked to.
const POLITE: &str = "trap 'exit 3' TERM; touch /tmp/ready; while :; do sleep 0.05; done";

async fn it_is_made_started_stopped_and_removed(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let make = stage.script(1, POLITE);
    let uid = make.assigned.uid;
    assert_eq!(stage.state(&make).await, None);
    assert_eq!(stage.runtime.start(uid).await.unwrap_err().kind, Failure::NotThere);

    for _ in 0..2 {
        stage.runtime.create(&make).await.unwrap();
        let instance = stage.see(&make).await.unwrap();
        assert_eq!(instance.state, InstanceState::Made);
        assert_eq!(instance.hash, make.assigned.replacement_hash());
        assert_eq!((instance.owner, &instance.name), (make.owner, &make.assigned.spec.name));
    }
    // A stop of what never ran is a success.
    stage.runtime.stop(uid, Duration::from_secs(1)).await.unwrap();

    for _ in 0..2 {
        stage.runtime.start(uid).await.unwrap();
        let state = stage.state(&make).await.unwrap();
        let InstanceState::Running { since } = state else { panic!("{state:?}") };
        assert!(since > 1_700_000_000, "{since}");
    }
    let process = stage.ready(&make);
    assert_eq!(process.words("cmdline")[0], "sh");
    let error = stage.runtime.remove(uid, Data::Keep).await.unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (Failure::Workload, "it still runs"));

    for _ in 0..2 {
        stage.runtime.stop(uid, Duration::from_secs(20)).await.unwrap();
        let state = stage.state(&make).await.unwrap();
        let InstanceState::Ended { code, at, note } = state else { panic!("{state:?}") };
        assert_eq!((code, note), (Some(3), None));
        assert!(at > 1_700_000_000, "{at}");
    }
    stage.runtime.start(uid).await.unwrap();
    assert!(matches!(stage.state(&make).await, Some(InstanceState::Running { .. })));

    stage.runtime.stop(uid, Duration::ZERO).await.unwrap();
    for _ in 0..2 {
        stage.runtime.remove(uid, Data::Delete).await.unwrap();
        assert_eq!(stage.state(&make).await, None);
    }
    assert_eq!(
        stage.ground.engine.ask("GET /containers/json?all=true").json(),
        serde_json::json!([])
    );
}

async fn a_stop_that_is_ignored_ends_in_a_kill(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let make = stage.script(1, "trap '' TERM; touch /tmp/ready; while :; do sleep 0.05; done");
    let other = stage.script(2, POLITE);
    stage.run(&make).await;
    stage.run(&other).await;
    stage.ready(&make);
    let began = Instant::now();
    let grace = Duration::from_secs(2);
    let stop = stage.runtime.stop(make.assigned.uid, grace);
    // The others can be seen meanwhile.
    let watch = async {
        let seen = stage.runtime.observe().await.unwrap();
        assert!(began.elapsed() < grace, "the list waited for the stop");
        seen.instances.len()
    };
    let (stopped, seen) = tokio::join!(stop, watch);
    stopped.unwrap();
    assert_eq!(seen, 2);
    assert!(began.elapsed() >= grace, "{:?}", began.elapsed());
    let state = stage.state(&make).await.unwrap();
    assert!(
        matches!(&state, InstanceState::Ended { code: Some(137), note: Some(note), .. } if note == "killed"),
        "{state:?}"
    );
    assert!(matches!(stage.state(&other).await, Some(InstanceState::Running { .. })));
    assert_eq!(Stage::name(&make), "w1-0f8fad5b");
}
