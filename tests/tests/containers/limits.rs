//! What a container may take, as the kernel enforces it.

use basalt_tests::engine::Kind;
use serde_json::json;

use crate::stage::stage;

crate::on_both!(limits_reach_the_kernel, without_limits_there_are_none);

const SCRIPT: &str = "touch /tmp/ready; exec sleep 100";
const PIDS: [&str; 3] = ["pids", "pids.max", "pids.max"];
const MEMORY: [&str; 3] = ["memory", "memory.limit_in_bytes", "memory.max"];
/// Memory with swap in version 1, swap alone in version 2.
const SWAP: [&str; 3] = ["memory", "memory.memsw.limit_in_bytes", "memory.swap.max"];
const QUOTA: [&str; 3] = ["cpu", "cpu.cfs_quota_us", "cpu.max"];

async fn limits_reach_the_kernel(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let container = json!({ "command": ["sh", "-c", SCRIPT], "pids_limit": 17 });
    let resources = json!({ "cpus": 0.25, "memory_mib": 32 });
    let make = stage.make_with(1, container, &resources);
    stage.run(&make).await;
    let process = stage.ready(&make);
    assert_eq!(process.limit(PIDS).as_deref(), Some("17"));
    assert_eq!(process.limit(MEMORY).as_deref(), Some("33554432"));
    let swap = process.limit(SWAP);
    assert!(matches!(swap.as_deref(), Some("33554432" | "0")), "{swap:?}");
    let quota = process.limit(QUOTA);
    assert!(matches!(quota.as_deref(), Some("25000" | "25000 100000")), "{quota:?}");

    // A small share and a large one are both taken.
    for (number, cpus) in [(2, 0.05), (3, 2.0)] {
        let resources = json!({ "cpus": cpus });
        let make = stage.make_with(number, json!({ "command": ["true"] }), &resources);
        stage.run(&make).await;
        stage.end_of(&make).await;
    }

    // More processes than it may have cannot be.
    let forks = "for i in $(seq 1 40); do sleep 5 & done; echo done";
    let container = json!({ "command": ["sh", "-c", forks], "pids_limit": 8 });
    let make = stage.make(4, container);
    stage.run(&make).await;
    let output = stage.output(&make).await;
    assert!(output.contains("can't fork"), "{output} {:?}", stage.state(&make).await);
}

async fn without_limits_there_are_none(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let make = stage.script(1, SCRIPT);
    stage.run(&make).await;
    let process = stage.ready(&make);
    let quota = process.limit(QUOTA);
    assert!(quota.as_deref().is_some_and(|it| it == "-1" || it.starts_with("max")), "{quota:?}");
    let memory = process.limit(MEMORY);
    let is_none = |text: &str| text == "max" || text.parse::<u64>().is_ok_and(|it| it > 1 << 60);
    assert!(memory.as_deref().is_some_and(is_none), "{memory:?}");
}
