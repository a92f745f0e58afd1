//! What a container's first process is.

use basalt_tests::engine::Kind;
use basalt_tests::ground::TINY;
use basalt_tests::image::Image;
use basalt_tests::process::Process;
use hostd::runtime::Runtime;
use serde_json::json;

use crate::stage::stage;

crate::on_both!(it_runs_as_it_is_told, the_image_decides_what_nobody_says, privileges_are_as_asked);

async fn it_runs_as_it_is_told(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let make = stage.make(1, json!({
        "entrypoint": ["/bin/sh", "-c", "touch /tmp/ready; echo \"$0 $1\" > /tmp/words; exec sleep 100"],
        "command": ["first", "second word"],
        "environment": { "PLAIN": "a b", "TRICKY": "c=d,\"e\"\n$f", "EMPTY": "" },
        "user": "7:8",
        "working_dir": "/tmp",
    }));
    stage.run(&make).await;
    let process = stage.ready(&make);
    assert_eq!(process.status("Uid"), ["7"; 4]);
    assert_eq!(process.status("Gid"), ["8"; 4]);
    let working_dir = std::fs::read_link(process.file("cwd")).unwrap();
    assert_eq!(working_dir.to_str(), Some("/tmp"));
    let words = basalt_tests::until::until(crate::stage::SOON, "its words", || {
        std::fs::read_to_string(process.root("/tmp/words")).ok().filter(|text| !text.is_empty())
    });
    assert_eq!(words, "first second word\n");
    let environment = process.words("environ");
    for line in ["PLAIN=a b", "TRICKY=c=d,\"e\"\n$f", "EMPTY=", "PATH=/bin"] {
        assert!(environment.iter().any(|there| there == line), "{line:?} in {environment:?}");
    }
    // No helper of the engine's is in between, and nothing starts it again.
    basalt_tests::until::until(crate::stage::SOON, "its last words", || {
        (process.words("cmdline") == ["sleep", "100"]).then_some(())
    });
    let restart = &stage.inspect(&make)["HostConfig"]["RestartPolicy"]["Name"];
    assert_eq!(restart, "no");
}

async fn the_image_decides_what_nobody_says(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let image = Image::tiny("example.test/own:1")
        .with("Entrypoint", json!(["/bin/echo", "entry"]))
        .with("Cmd", json!(["command"]));
    stage.ground.engine.load(&image);
    let own = |number, container: serde_json::Value| {
        let mut make = stage.make(number, container);
        make.assigned.spec.container.as_mut().unwrap().image = "example.test/own:1".to_owned();
        make
    };
    for (number, container, expected) in [
        (1, json!({}), "entry command\n"),
        (2, json!({ "command": ["other"] }), "entry other\n"),
        // Who says another entrypoint says what it is given, too.
        (3, json!({ "entrypoint": ["/bin/echo", "alone"] }), "alone\n"),
    ] {
        let make = own(number, container);
        stage.run(&make).await;
        assert_eq!(stage.output(&make).await, expected);
    }
    let default = stage.make(4, json!({ "command": ["true"] }));
    assert_eq!(default.assigned.spec.container.as_ref().unwrap().image, TINY);
    stage.runtime.prepare(&default).await.unwrap();
}

async fn privileges_are_as_asked(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let script = json!(["sh", "-c", "touch /tmp/ready; exec sleep 100"]);
    let plain = stage.make(1, json!({ "command": script }));
    let privileged = stage.make(2, json!({ "command": script, "privileged": true }));
    stage.run(&plain).await;
    let rights = |process: Process| u64::from_str_radix(&process.status("CapBnd")[0], 16).unwrap();
    // CAP_SYS_ADMIN is bit 21 (capability.h).
    let admin = 1 << 21;
    let process = stage.ready(&plain);
    assert_eq!(rights(process) & admin, 0);
    // The kernel's log is a device that only a privileged one has.
    assert!(!process.root("/dev/kmsg").exists());

    stage.runtime.create(&privileged).await.unwrap();
    assert_eq!(stage.inspect(&privileged)["HostConfig"]["Privileged"], true);
    let started = stage.runtime.start(privileged.assigned.uid).await;
    // dockerd asks for every right that there is, podman for every one that it has itself.
    let has_every_right = rights(Process(std::process::id().into())).trailing_ones() >= 41;
    if kind == Kind::Docker && !has_every_right {
        let message = started.unwrap_err().message;
        assert!(message.contains("unable to apply caps"), "{message}");
    } else {
        started.unwrap();
        assert_eq!(rights(stage.ready(&privileged)) & admin, admin);
    }
}
