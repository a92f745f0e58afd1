//! How a container ended.

use basalt_tests::engine::Kind;
use hostd_core::instance::InstanceState;
use serde_json::json;

use crate::stage::{Stage, stage};

crate::on_both!(an_end_has_its_code, out_of_memory_is_told);

async fn end(stage: &Stage, make: &hostd::runtime::Make) -> (Option<i32>, Option<String>) {
    stage.run(make).await;
    match stage.end_of(make).await {
        InstanceState::Ended { code, note, .. } => (code, note),
        other => panic!("{other:?}"),
    }
}

async fn an_end_has_its_code(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    for (number, script, code) in [(1, "exit 0", 0), (2, "exit 42", 42)] {
        let make = stage.script(number, script);
        assert_eq!(end(&stage, &make).await, (Some(code), None));
        // Asked again, it says the same.
        assert_eq!(end(&stage, &make).await, (Some(code), None));
    }
}

async fn out_of_memory_is_told(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let small = json!({ "memory_mib": 16 });
    let greedy = json!({ "command": ["tail", "/dev/zero"] });
    let make = stage.make_with(1, greedy, &small);
    let killed = (Some(137), Some("killed: out of memory".to_owned()));
    assert_eq!(end(&stage, &make).await, killed);
    // One that was killed by somebody is not told to be out of memory.
    let make = stage.script(2, "kill -9 $$");
    let (code, note) = end(&stage, &make).await;
    assert!(code != Some(137) || note.as_deref() == Some("killed"), "{code:?} {note:?}");
}
