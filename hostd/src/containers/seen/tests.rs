//! Answers of podman 4.3 and Docker 20.10, shortened.

use hostd_core::instance::Owner;
use serde_json::{Value, json};

use super::super::samples;
use super::*;

fn labels_of_sample() -> HashMap<String, String> {
    labels::of_container(&samples::make(), false)
}

fn listed(state: &str, network: &Value) -> Listed {
    serde_json::from_value(json!({
        "Id": "e9b6c240", "Names": ["/web-0f8fad5b"], "State": state, "Labels": labels_of_sample(),
        "NetworkSettings": { "Networks": network },
    }))
    .unwrap()
}

fn inspected(state: &Value) -> Details {
    serde_json::from_value::<Inspected>(json!({ "Id": "e9b6c240", "State": state }))
        .unwrap()
        .details()
}

fn state_of(state: &str, details: Option<Details>) -> InstanceState {
    listed(state, &Value::Null).ours().unwrap().instance(Ok(details)).state
}

#[test]
fn a_running_container_has_its_time_and_addresses() {
    let networks = json!({
        "podman": { "IPAddress": "10.88.0.2", "GlobalIPv6Address": "fd00::2" },
        "other": null,
    });
    let details = inspected(&json!({
        "Status": "running", "Running": true, "OOMKilled": false, "ExitCode": 0, "Error": "",
        "StartedAt": "2026-11-24T09:23:25.81335967Z", "FinishedAt": "0001-01-01T00:00:00Z",
    }));
    let instance = listed("running", &networks).ours().unwrap().instance(Ok(Some(details)));
    assert_eq!(instance.state, InstanceState::Running { since: 1_795_512_205 });
    assert_eq!(instance.addresses, ["10.88.0.2", "fd00::2"]);
    assert_eq!((instance.kind, instance.owner), (Kind::Container, Owner::Local));
    assert_eq!(instance.hash, samples::make().assigned.replacement_hash());
}

fn ended_with(code: i64, oom: bool) -> InstanceState {
    let details = inspected(&json!({
        "OOMKilled": oom, "ExitCode": code, "FinishedAt": "2026-11-24T09:24:01.459278282+00:00",
    }));
    state_of("exited", Some(details))
}

#[test]
fn the_end_of_a_container_is_told_with_its_reason() {
    let expected = |code, note: Option<&str>| InstanceState::Ended {
        code: Some(code),
        at: 1_795_512_241,
        note: note.map(str::to_owned),
    };
    assert_eq!(ended_with(0, false), expected(0, None));
    assert_eq!(ended_with(7, true), expected(7, Some("out of memory: something in it was killed")));
    assert_eq!(ended_with(137, true), expected(137, Some("killed: out of memory")));
    assert_eq!(ended_with(137, false), expected(137, Some("killed")));
}

#[test]
fn every_state_of_either_engine_is_some_state() {
    let details = || Some(inspected(&json!({ "StartedAt": "", "FinishedAt": "nonsense" })));
    for (states, expected) in [
        (&["created", "configured", "initialized"][..], InstanceState::Made),
        (&["running", "restarting", "stopping"], InstanceState::Running { since: 0 }),
        (&["paused"], paused(0)),
        (&["exited", "stopped"], InstanceState::Ended { code: Some(0), at: 0, note: None }),
    ] {
        for state in states {
            assert_eq!(state_of(state, details()), expected, "{state}");
        }
    }
    for state in ["dead", "removing", "unknown", "", "something-new"] {
        let reason = format!("the container is `{state}`");
        assert_eq!(state_of(state, None), InstanceState::Broken { reason });
    }
}

#[test]
fn a_container_that_cannot_be_asked_is_not_taken_for_broken() {
    let state = |word| {
        let ours = listed(word, &Value::Null).ours().unwrap();
        ours.instance(Err("layer not known".to_owned())).state
    };
    assert_eq!(state("running"), InstanceState::Running { since: 0 });
    assert_eq!(state("paused"), paused(0));
    assert_eq!(state("exited"), InstanceState::Unknown { reason: "layer not known".to_owned() });
}

#[test]
fn what_has_no_labels_of_ours_is_not_there() {
    for labels in [Value::Null, json!({}), json!({ labels::UID: samples::UID })] {
        let listed: Listed =
            serde_json::from_value(json!({ "Id": "a", "State": "running", "Labels": labels }))
                .unwrap();
        assert!(listed.ours().is_none());
    }
}

#[test]
fn fuzz_list_and_details_of_an_engine() {
    let list = serde_json::to_vec(&json!([{
        "Id": "e9b6c240", "State": "running", "Labels": labels_of_sample(),
        "NetworkSettings": { "Networks": { "podman": { "IPAddress": "10.88.0.2" } } },
    }]));
    let details = br#"{"State":{"OOMKilled":false,"ExitCode":137,"StartedAt":
        "2026-11-24T12:00:00.5Z","FinishedAt":"0001-01-01T00:00:00Z"}}"#;
    let image = br#"{"Config":{"User":"web"}}"#;
    basalt_fuzz::run(&[&list.unwrap(), details, image], |bytes| {
        let details = serde_json::from_slice::<Inspected>(bytes).map(|one| one.details()).ok();
        for listed in serde_json::from_slice::<Vec<Listed>>(bytes).into_iter().flatten() {
            let instance = listed.ours().map(|ours| ours.instance(Ok(details.clone())));
            let _ = format!("{instance:?}");
        }
        let image = serde_json::from_slice::<InspectedImage>(bytes);
        let _ = image.map(|image| image.user().to_owned());
    });
}

#[test]
fn what_has_our_labels_and_another_name_is_not_ours() {
    for names in [json!(["/boring_wright"]), json!(["/web-0f8fad5b/db"]), json!([]), Value::Null] {
        let listed: Listed = serde_json::from_value(json!({
            "Id": "a", "Names": names, "State": "running", "Labels": labels_of_sample(),
        }))
        .unwrap();
        assert!(matches!(listed.clone().whose(), Whose::Stranger { .. }), "{names}");
        assert!(listed.ours().is_none());
    }
}
