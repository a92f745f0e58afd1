//! Workloads that cannot be: each is told in a sentence, and others are unharmed.

use basalt_tests::engine::Kind;
use hostd::runtime::{Failure, Make, Runtime};
use hostd_core::instance::InstanceState;
use serde_json::{Value, json};

use crate::stage::{Stage, stage};

crate::on_both!(what_cannot_be_made_or_started_says_why);

/// Makes and starts it, and returns why that failed.
async fn failure(stage: &Stage, make: &Make) -> String {
    let made = stage.runtime.create(make).await;
    let result = match made {
        Ok(()) => stage.runtime.start(make.assigned.uid).await,
        Err(error) => Err(error),
    };
    let error = result.expect_err("it cannot run");
    assert_eq!(error.kind, Failure::Workload, "{error}");
    assert!(!error.message.contains('\n') && error.message.len() < 600, "{error}");
    error.message
}

async fn what_cannot_be_made_or_started_says_why(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let good = stage.make(
        1,
        json!({
            "command": ["sleep", "100"], "network": "bridge",
            "ports": [{ "host": 7777, "container": 80 }],
        }),
    );
    stage.run(&good).await;
    let cases: Vec<(Value, &str)> = vec![
        (json!({ "image": "example.test/none:1" }), "the image `example.test/none:1` is not here"),
        (json!({ "command": ["/no/such"] }), "no such file or directory"),
        (json!({ "user": "nobody-here" }), "nobody-here"),
        (json!({ "devices": [{ "host": "/dev/no-such" }] }), "/dev/no-such"),
        (json!({ "network": "bridge", "ports": [{ "host": 7777, "container": 80 }] }), "already"),
        (
            json!({ "user": "nobody-here", "secrets": [{ "name": "key" }] }),
            "the image has no user `nobody-here`",
        ),
        (json!({ "image": "example.test/a:b:c" }), "cannot make the container"),
    ];
    for (number, (container, expected)) in (2..).zip(cases) {
        let make = stage.make(number, container);
        let message = failure(&stage, &make).await;
        assert!(message.contains(expected), "{message}");
        let state = stage.state(&make).await;
        assert!(matches!(state, None | Some(InstanceState::Made)), "{state:?}");
    }
    assert!(matches!(stage.state(&good).await, Some(InstanceState::Running { .. })));
}
