//! An engine that is killed, is not there, or hangs.

use std::time::{Duration, Instant};

use basalt_tests::engine::Kind;
use hostd::containers::{Containers, Settings};
use hostd::runtime::{Data, Failure, Runtime};
use hostd_core::instance::InstanceState;

use crate::stage::{settings, stage};

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
