//! What a container writes.

use basalt_tests::engine::Kind;
use hostd::runtime::{Failure, LogsWanted, Runtime};

use crate::stage::{SOON, read, stage};

crate::on_both!(a_log_is_all_that_was_written, a_log_is_followed_to_its_end);

async fn a_log_is_all_that_was_written(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let make = stage.script(1, "echo one; echo two >&2; printf 'th\\000ree'; echo; exit 0");
    stage.run(&make).await;
    let mut lines: Vec<String> = stage.output(&make).await.lines().map(str::to_owned).collect();
    // Two streams have no order between them.
    lines.sort();
    assert_eq!(lines, ["one", "th\0ree", "two"]);

    let many = stage.script(2, "for i in 1 2 3 4 5 6 7 8 9; do echo line $i; done");
    stage.run(&many).await;
    stage.end_of(&many).await;
    for (tail, expected) in [(Some(2), "line 8\nline 9\n"), (Some(0), "")] {
        let wanted = LogsWanted { tail, follow: false };
        let pieces = stage.runtime.logs(many.assigned.uid, wanted).await.unwrap();
        assert_eq!(read(pieces).await, expected);
    }
    let none = stage.script(3, "");
    let wanted = LogsWanted { tail: None, follow: true };
    let error = stage.runtime.logs(none.assigned.uid, wanted).await.unwrap_err();
    assert_eq!(error.kind, Failure::NotThere);
}

async fn a_log_is_followed_to_its_end(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let script = "echo begin; until [ -e /tmp/go ]; do sleep 0.05; done; echo end";
    let make = stage.script(1, script);
    stage.run(&make).await;
    let wanted = LogsWanted { tail: None, follow: true };
    let mut pieces = stage.runtime.logs(make.assigned.uid, wanted).await.unwrap();
    let first = tokio::time::timeout(SOON, pieces.recv()).await.unwrap().unwrap();
    assert_eq!(&first[..], b"begin\n");
    std::fs::write(stage.process(&make).root("/tmp/go"), "").unwrap();
    assert_eq!(read(pieces).await, "end\n");

    // Somebody who reads slowly, or stops, holds nobody up.
    let noisy = stage.script(2, "yes | head -c 2000000; exit 5");
    stage.run(&noisy).await;
    let unread = stage.runtime.logs(noisy.assigned.uid, wanted).await.unwrap();
    stage.end_of(&noisy).await;
    drop(unread);
    assert!(stage.see(&noisy).await.is_some());
}
