//! Secrets: where they are, who may read them, and where they are not.

use std::fs;
use std::os::unix::fs::MetadataExt;

use basalt_tests::engine::Kind;
use basalt_tests::image::Image;
use hostd::runtime::{Data, Failure, Runtime};
use hostd_core::instance::InstanceState;
use serde_json::json;

use crate::stage::stage;

crate::on_both!(
    a_secret_is_a_file_that_its_container_alone_can_read,
    secrets_come_back_after_their_tmpfs_was_emptied,
    a_secret_reaches_no_disk,
);

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
        assert!(process.words("environ").contains(&"TOKEN=canary of token".to_owned()));
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

async fn a_secret_reaches_no_disk(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
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
