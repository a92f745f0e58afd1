//! Secrets: where they are, who may read them, and where they are not.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use basalt_tests::engine::Kind;
use basalt_tests::image::Image;
use basalt_tests::until::until;
use hostd::runtime::{Data, Failure, Runtime};
use hostd_core::instance::InstanceState;
use serde_json::json;

use crate::stage::stage;

crate::on_both!(
    a_secret_is_a_file_that_its_container_alone_can_read,
    secrets_come_back_after_their_tmpfs_was_emptied,
    a_secret_reaches_no_disk,
);

/// Begins the value of every secret of a test.
const CANARY: &[u8] = b"canary of ";
const SCRIPT: &str =
    "cat /run/secrets/key > /tmp/seen; echo x > /run/secrets/key; touch /tmp/ready; exec sleep 100";

async fn a_secret_is_a_file_that_its_container_alone_can_read(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    stage.ground.engine.load(&Image::tiny("example.test/user:1").with("User", json!("web")));
    for (number, user, image, owner) in [
        (1, None, None, 0),
        (2, Some("7:8"), None, 7),
        (3, Some("web"), None, 1234),
        (4, None, Some("example.test/user:1"), 1234),
    ] {
        let mut make = stage.make(
            number,
            json!({
                "command": ["sh", "-c", SCRIPT],
                "secrets": [{ "name": "key" }, { "name": "token", "variable": "TOKEN" },
                            { "name": "other", "path": "/etc/other" }],
                "user": user,
            }),
        );
        if let Some(image) = image {
            make.assigned.spec.container.as_mut().unwrap().image = image.to_owned();
        }
        stage.run(&make).await;
        let process = stage.ready(&make);
        assert_eq!(fs::read_to_string(process.root("/tmp/seen")).unwrap(), "canary of key");
        assert_eq!(fs::read_to_string(process.root("/etc/other")).unwrap(), "canary of other");
        let file = fs::metadata(process.root("/run/secrets/key")).unwrap();
        assert_eq!((file.mode() & 0o7777, file.uid()), (0o400, owner));
        let mount = process.mount("/run/secrets/key").unwrap();
        assert_eq!((mount.is_read_only, mount.kind.as_str()), (true, "tmpfs"));
        let token = "TOKEN=canary of token".to_owned();
        // It is none in the middle of an exec, and the script ends with one.
        let has_it = || process.words("environ").contains(&token).then_some(());
        until(Duration::from_secs(30), "the token", has_it);
        // What is a file is in nothing that the engine tells or writes.
        let told = stage.inspect(&make).to_string();
        assert!(!told.contains("canary of key") && !told.contains("canary of other"), "{told}");

        let folder = fs::metadata(&make.private).unwrap();
        assert_eq!((folder.mode() & 0o7777, folder.uid()), (0o700, 0));
        stage.clear(&make, Data::Keep).await;
        assert!(!make.private.exists());
    }
    assert!(!stage.ground.engine.log().contains("canary"));
}

async fn secrets_come_back_after_their_tmpfs_was_emptied(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let make = stage.make(
        1,
        json!({
            "command": ["sh", "-c", SCRIPT], "secrets": [{ "name": "key" }], "user": "web",
        }),
    );
    stage.run(&make).await;
    stage.ready(&make);
    stage.runtime.stop(make.assigned.uid, std::time::Duration::ZERO).await.unwrap();
    fs::remove_dir_all(&make.private).unwrap();

    let error = stage.runtime.start(make.assigned.uid).await.unwrap_err();
    assert_eq!(error.kind, Failure::Workload);
    assert!(error.message.contains("its secrets are not here yet"), "{error}");
    stage.runtime.prepare(&make).await.unwrap();
    stage.runtime.start(make.assigned.uid).await.unwrap();
    assert!(matches!(stage.state(&make).await, Some(InstanceState::Running { .. })));
    let file = fs::metadata(stage.process(&make).root("/run/secrets/key")).unwrap();
    assert_eq!((file.mode() & 0o7777, file.uid()), (0o400, 1234));
}

/// Files below a folder that hold the value of a test's secret. Nothing of tests lies on tmpfs there.
fn on_disk(folder: &Path) -> Vec<String> {
    let holds = |path: &Path| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.windows(CANARY.len()).any(|window| window == CANARY)
    };
    let walk = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    let files = walk.filter(|entry| entry.file_type().is_file() && holds(entry.path()));
    files.map(|entry| entry.path().display().to_string()).collect()
}

async fn a_secret_reaches_no_disk(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let script = "cat /run/secrets/key > /dev/null; touch /tmp/ready; exec sleep 100";
    let container =
        json!({ "command": ["sh", "-c", script], "secrets": [{ "name": "key" }], "user": "web" });
    let make = stage.make(2, container);
    let folder = stage.ground.path("");
    stage.run(&make).await;
    stage.ready(&make);
    assert_eq!(on_disk(&folder), [""; 0], "while it runs");
    stage.runtime.stop(make.assigned.uid, std::time::Duration::ZERO).await.unwrap();
    assert_eq!(on_disk(&folder), [""; 0], "once it has ended");
    stage.runtime.remove(make.assigned.uid, Data::Delete).await.unwrap();
    assert_eq!(on_disk(&folder), [""; 0], "once it is gone");
    // What would have reached it would have been found.
    let copies = "cat /run/secrets/key > /copy; touch /tmp/ready; exec sleep 100";
    let copies = json!({ "command": ["sh", "-c", copies], "secrets": [{ "name": "key" }] });
    let copies = stage.make(3, copies);
    stage.run(&copies).await;
    stage.ready(&copies);
    assert!(on_disk(&folder).iter().any(|path| path.ends_with("/copy")));
    stage.clear(&copies, Data::Delete).await;

    let mut make = stage.make(1, json!({ "secrets": [{ "name": "key" }] }));
    make.private = stage.ground.path("private").join(make.assigned.uid.to_string());
    let error = stage.create_error(&make).await;
    assert!(error.message.contains("not on tmpfs"), "{error}");
    assert!(!make.private.exists());
    // Nor into a folder that is not the workload's own.
    make.private = stage.ground.private().to_owned();
    let error = stage.create_error(&make).await;
    assert!(error.message.contains("no folder of this workload's own"), "{error}");
    assert_eq!(stage.state(&make).await, None);
}
