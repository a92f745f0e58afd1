//! Volumes, paths and devices of the host, and a root that cannot be written.

use std::fs;

use basalt_tests::engine::Kind;
use hostd::containers::Containers;
use hostd::runtime::{Data, Runtime};
use hostd_core::instance::InstanceState;
use serde_json::{Value, json};

use crate::stage::{Stage, settings, stage};

crate::on_both!(
    a_volume_outlives_its_container_and_no_more,
    a_volume_that_a_cut_left_is_seen_and_goes,
    paths_and_devices_of_the_host_are_there,
    a_read_only_root_cannot_be_written,
);

fn volumes(stage: &Stage) -> Vec<String> {
    let answer = stage.ground.engine.ask("GET /volumes").json();
    let listed = answer["Volumes"].as_array().cloned().unwrap_or_default();
    listed.iter().filter_map(|volume| volume["Name"].as_str().map(str::to_owned)).collect()
}

async fn a_volume_outlives_its_container_and_no_more(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let volume = json!([{ "name": "data", "path": "/data" }]);
    let with = |script: &str| json!({ "command": ["sh", "-c", script], "volumes": volume });
    let other = stage.make(2, with("echo other > /data/file"));
    stage.run(&other).await;
    stage.end_of(&other).await;

    let first = stage.make(1, with("echo kept > /data/file"));
    stage.run(&first).await;
    stage.end_of(&first).await;
    let name = format!("basalt-{}-data", first.assigned.uid);
    let labels = stage.ground.engine.ask(&format!("GET /volumes/{name}")).json()["Labels"].clone();
    assert_eq!(labels["io.basalt.uid"], first.assigned.uid.to_string());
    assert_eq!(labels["io.basalt.name"], "w1");
    stage.clear(&first, Data::Keep).await;

    let second = stage.make(1, with("cat /data/file"));
    stage.run(&second).await;
    assert_eq!(stage.output(&second).await, "kept\n");
    stage.clear(&second, Data::Delete).await;
    assert_eq!(volumes(&stage), [format!("basalt-{}-data", other.assigned.uid)]);

    // A volume whose container is gone goes too.
    stage.clear(&other, Data::Keep).await;
    stage.runtime.remove(other.assigned.uid, Data::Delete).await.unwrap();
    assert_eq!(volumes(&stage), [""; 0]);
}

/// A cut between a container and its volumes, and one between the volumes and their container.
async fn a_volume_that_a_cut_left_is_seen_and_goes(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let volume = json!([{ "name": "data", "path": "/data" }]);
    let removed = stage.make(1, json!({ "command": ["true"], "volumes": volume }));
    stage.runtime.create(&removed).await.unwrap();
    assert_eq!(stage.state(&removed).await, Some(InstanceState::Made));
    stage.clear(&removed, Data::Keep).await;
    let never = stage
        .make(2, json!({ "command": ["true"], "volumes": volume, "image": "example.test/none:1" }));
    stage.create_error(&never).await;
    // Our label, and not our name.
    let labels = json!({ "Name": "somebody-elses", "Labels": {
        "io.basalt.uid": removed.assigned.uid.to_string(),
        "io.basalt.owner": "local", "io.basalt.name": "w1",
    } });
    assert_eq!(stage.ground.engine.send("POST /volumes/create", &labels).status, 201);
    // As after a start: nothing is remembered.
    let fresh = Containers::new(settings(&stage.ground));
    for make in [&removed, &never] {
        let all = fresh.observe().await.unwrap().instances;
        let seen = all.iter().find(|one| one.uid == make.assigned.uid).unwrap();
        assert_eq!((&seen.state, seen.owner), (&InstanceState::DataOnly, make.owner));
        assert_eq!(seen.name, make.assigned.spec.name);
        fresh.remove(make.assigned.uid, Data::Delete).await.unwrap();
    }
    assert_eq!(fresh.observe().await.unwrap().instances, []);
    assert_eq!(volumes(&stage), ["somebody-elses"]);
}

async fn paths_and_devices_of_the_host_are_there(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    for name in ["read", "write"] {
        fs::create_dir(stage.ground.path(name)).unwrap();
        fs::write(stage.ground.path(name).join("file"), name).unwrap();
    }
    let path = |name: &str| stage.ground.path(name).display().to_string();
    let script = "cat /r/file; touch /r/new; echo new > /w/new; ls -l /dev/nothing; \
                  touch /tmp/ready; exec sleep 100";
    let make = stage.make(
        1,
        json!({
            "command": ["sh", "-c", script],
            "volumes": [
                { "host": path("read"), "path": "/r", "read_only": true },
                { "host": path("write"), "path": "/w" },
            ],
            "devices": [{ "host": "/dev/null", "path": "/dev/nothing" }],
        }),
    );
    stage.run(&make).await;
    let process = stage.ready(&make);
    assert!(process.mount("/r").unwrap().is_read_only);
    assert!(!process.mount("/w").unwrap().is_read_only);
    assert!(!stage.ground.path("read/new").exists());
    assert_eq!(fs::read_to_string(stage.ground.path("write/new")).unwrap(), "new\n");
    // Character device 1:3 is the null device (devices.txt).
    let device = rustix_number(&process.root("/dev/nothing"));
    assert_eq!(device, (1, 3));
}

fn rustix_number(path: &std::path::Path) -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    let number = fs::metadata(path).unwrap().rdev();
    // As `makedev(3)` joins them, for the small numbers that such devices have.
    (u32::try_from(number >> 8 & 0xfff).unwrap(), u32::try_from(number & 0xff).unwrap())
}

async fn a_read_only_root_cannot_be_written(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let script = "touch /srv/new; echo \"status $?\"; echo data > /data/new; cat /data/new; \
                  cat /run/secrets/key";
    let make = stage.make(
        1,
        json!({
            "command": ["sh", "-c", script],
            "read_only": true,
            "volumes": [{ "name": "data", "path": "/data" }],
            "secrets": [{ "name": "key" }],
        }),
    );
    stage.run(&make).await;
    let output = stage.output(&make).await;
    assert!(output.contains("Read-only file system") && output.contains("status 1"), "{output}");
    assert!(output.contains("data\n") && output.contains("canary of key"), "{output}");
    let flag: &Value = &stage.inspect(&make)["HostConfig"]["ReadonlyRootfs"];
    assert_eq!(flag, &json!(true));
}
