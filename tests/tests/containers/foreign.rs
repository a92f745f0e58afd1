//! What is not ours, and what is another host's.

use basalt_tests::engine::Kind;
use basalt_tests::ground::TINY;
use hostd::runtime::{Data, Make, Runtime, Sight};
use hostd_core::instance::Owner;
use serde_json::{Value, json};

use crate::stage::{Stage, stage};

crate::on_both!(
    what_has_no_label_of_ours_is_never_touched,
    what_has_our_labels_and_another_name_is_never_touched,
    another_hosts_containers_are_seen_as_they_are,
    another_hash_is_not_taken_for_the_same,
);

/// Makes and starts a container as somebody else would.
fn somebody_elses(stage: &Stage, name: &str, labels: &Value) {
    let body = json!({
        "Image": TINY, "Cmd": ["sleep", "100"], "Labels": labels,
        "HostConfig": { "NetworkMode": "none" },
    });
    let engine = &stage.ground.engine;
    let made = engine.send(&format!("POST /containers/create?name={name}"), &body);
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.body));
    assert_eq!(engine.ask(&format!("POST /containers/{name}/start")).status, 204);
}

async fn what_has_no_label_of_ours_is_never_touched(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let make = stage.script(1, "exit 0");
    let uid = make.assigned.uid.to_string();
    somebody_elses(&stage, "plain", &json!({ "io.basalt.name": "w1" }));
    // Our label of the workload, and nothing else that we write.
    somebody_elses(&stage, "half", &json!({ "io.basalt.uid": uid }));
    assert_eq!(stage.runtime.observe().await.unwrap(), Sight::default());

    stage.runtime.stop(make.assigned.uid, std::time::Duration::ZERO).await.unwrap();
    stage.runtime.remove(make.assigned.uid, Data::Delete).await.unwrap();
    stage.run(&make).await;
    stage.end_of(&make).await;
    stage.clear(&make, Data::Delete).await;
    for name in ["plain", "half"] {
        assert_eq!(stage.ground.engine.inspect(name)["State"]["Status"], "running", "{name}");
    }

    somebody_elses(&stage, &Stage::name(&make), &json!({}));
    let error = stage.create_error(&make).await;
    assert_eq!(error.message, "the name `w1-0f8fad5b` is taken by a container that is not ours");
}

async fn what_has_our_labels_and_another_name_is_never_touched(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let make = stage.script(1, "sleep 100");
    stage.run(&make).await;
    // As `podman run` of an image that `podman commit` made of it.
    let labels = stage.inspect(&make)["Config"]["Labels"].clone();
    somebody_elses(&stage, "copied", &labels);
    let observed = stage.runtime.observe().await.unwrap();
    assert_eq!(observed.instances.len(), 1, "{observed:?}");
    let strangers = ["the container `copied` has the labels of `w1-0f8fad5b`"];
    assert_eq!(observed.strangers, strangers);
    stage.clear(&make, Data::Delete).await;
    let observed = stage.runtime.observe().await.unwrap();
    assert_eq!(
        (&observed.instances[..], &observed.strangers[..]),
        (&[][..], &strangers.map(str::to_owned)[..])
    );
    assert_eq!(stage.ground.engine.inspect("copied")["State"]["Status"], "running");
}

async fn another_hosts_containers_are_seen_as_they_are(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let host = "7c9e6679-7425-40de-944b-e07fc1f90ae7".parse().unwrap();
    let make = Make { owner: Owner::Host(host), ..stage.script(1, "exit 0") };
    stage.runtime.create(&make).await.unwrap();
    assert_eq!(stage.see(&make).await.unwrap().owner, Owner::Host(host));
    assert_eq!(stage.inspect(&make)["Config"]["Labels"]["io.basalt.owner"], host.to_string());
    // The same workload of another owner is another one.
    let error = stage.create_error(&Make { owner: Owner::Local, ..make }).await;
    assert!(error.message.contains("another container of it is there"), "{error}");
}

async fn another_hash_is_not_taken_for_the_same(kind: Kind) {
    let Some(stage) = stage(kind) else { return };
    let (old, new) = (stage.script(1, "exit 0"), stage.script(1, "exit 1"));
    stage.runtime.create(&old).await.unwrap();
    let error = stage.create_error(&new).await;
    assert!(error.message.contains("another container of it is there"), "{error}");
    stage.clear(&old, Data::Keep).await;
    stage.runtime.create(&new).await.unwrap();
    assert_eq!(stage.see(&new).await.unwrap().hash, new.assigned.replacement_hash());
}
