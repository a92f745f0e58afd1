//! What crosses a wire or lies on a disk is read without harm, whatever it is.

use basalt_fuzz::{run, run_on_text};
use serde::de::DeserializeOwned;

use crate::checkin::{CheckinAnswer, CheckinRequest};
use crate::enrol::{EnrolAnswer, EnrolRequest, JoinString, RenewRequest};
use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::operator::Apply;
use crate::os::RunningUpdate;
use crate::rollout::{ChannelSet, FleetLockRequest, RolloutResume, RolloutStart, Wave};
use crate::secret::SecretValue;
use crate::set::HostSet;
use crate::status::HostStatus;
use crate::virt::{Frames, MAX_REQUEST, Message, Request};
use crate::{canonical, validate};

const CONTAINER: &str = include_str!("../examples/workload-container.json");
const VM: &str = include_str!("../examples/workload-vm.json");

fn json<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

#[test]
fn fuzz_join_string() {
    let join = JoinString {
        urls: vec!["https://10.0.2.2:8443".to_owned()],
        ca_sha256: "0".repeat(64),
        secret: "s3cret".to_owned(),
    };
    run_on_text!(&[&join.reveal()], |text| text.parse::<crate::enrol::Left>());
}

#[test]
fn fuzz_ledger() {
    let seeds: [&[u8]; 2] =
        [include_bytes!("../examples/ledger"), include_bytes!("../examples/ledger-full")];
    run(&seeds, |bytes| {
        // What is taken for whole reads back the same.
        if let Ok(ledger) = Ledger::decode(bytes) {
            assert_eq!(Ledger::decode(&ledger.encode()), Ok(ledger));
        }
    });
}

#[test]
fn fuzz_check_in() {
    let set = format!(
        r#"{{"workloads":[{{"uid":"00000000-0000-0000-0000-000000000001","spec":{CONTAINER}}}]}}"#
    );
    let request = format!(
        r#"{{"protocol":1,"features":["vm"],"boot_id":"b","session":1,"observed_generation":2,
            "applied_generation":2,"set_hash":"1-a","is_full":true,"set":{set},
            "changes":[{{"uid":"00000000-0000-0000-0000-000000000001","name":"web",
            "kind":"container","source":"assigned","state":"failed","trouble":"passing"}}]}}"#
    );
    run(&[request.as_bytes()], |bytes| {
        if let Some(request) = json::<CheckinRequest>(bytes)
            && let Some(set) = &request.set
        {
            let _ = set.hash();
        }
    });
}

#[test]
fn fuzz_answer_to_a_check_in() {
    let answer = format!(
        r#"{{"lineage":"00000000-0000-0000-0000-000000000001","generation":3,"set_hash":"1-a",
            "wait_s":30,"lease_s":90,"server_time":1,"actions":[{{"action":"report_all"}}],
            "set":{{"workloads":[{{"uid":"00000000-0000-0000-0000-000000000001","spec":{VM}}}]}}}}"#
    );
    run(&[answer.as_bytes()], |bytes| {
        if let Some(answer) = json::<CheckinAnswer>(bytes)
            && let Some(set) = answer.set
        {
            let _ = set.hash();
            let text = serde_json::to_vec(&set).unwrap_or_default();
            assert_eq!(json::<HostSet>(&text), Some(set));
        }
    });
}

#[test]
fn fuzz_workloads_of_an_operator() {
    let apply = format!(r#"{{"workloads":[{CONTAINER},{VM}],"dry_run":true}}"#);
    run(&[apply.as_bytes()], |bytes| {
        for spec in json::<Apply>(bytes).into_iter().flat_map(|apply| apply.workloads) {
            let _ = validate::mistakes(&spec);
            let _ = canonical::replacement_hash(&spec, &Default::default());
        }
    });
}

#[test]
fn fuzz_small_messages() {
    let seeds: [&[u8]; 4] = [
        br#"{"secret":"s","name":"a","csr":"x","certificate":"c"}"#,
        br#"{"host_id":"00000000-0000-0000-0000-000000000001","name":"a","certificate":"c","ca":"a"}"#,
        br#"{"type":"about:blank","title":"t","status":403,"detail":"d","kind":"revoked"}"#,
        br#"{"value":"AAEC"}"#,
    ];
    run(&seeds, |bytes| {
        let _ = (json::<EnrolRequest>(bytes), json::<EnrolAnswer>(bytes));
        let _ = (json::<RenewRequest>(bytes), json::<Fault>(bytes));
        let _ = json::<SecretValue>(bytes).and_then(|value| value.bytes());
        let _ = json::<HostStatus>(bytes);
    });
}

#[test]
fn fuzz_rollout_of_an_operator() {
    let start = br#"{"channel":"stable","spec":{"waves":["10%","rack=4"],"soak_s":60,
        "windows":["Sat,Sun 02:00-05:00 Europe/Berlin"],"group":"default"}}"#;
    let seeds: [&[u8]; 3] = [start, br#"{"version":"2"}"#, br#"{"retry":true}"#];
    run(&seeds, |bytes| {
        let _ = (json::<ChannelSet>(bytes), json::<RolloutResume>(bytes));
        if let Some(start) = json::<RolloutStart>(bytes) {
            let text = serde_json::to_vec(&start).unwrap_or_default();
            assert_eq!(json::<RolloutStart>(&text), Some(start));
        }
    });
}

#[test]
fn fuzz_wave_of_a_rollout() {
    run_on_text!(&["10%", "rack=4"], |text| {
        // What is read is said as it is read.
        if let Ok(wave) = text.parse::<Wave>() {
            assert_eq!(wave.to_string().parse::<Wave>(), Ok(wave));
        }
    });
}

#[test]
fn fuzz_fleetlock_and_running_update() {
    let seeds: [&[u8]; 2] = [
        br#"{"client_params":{"id":"node-1","group":"default"}}"#,
        br#"{"request":"update","version":"2","started_at":"2026-11-29T12:00:00Z",
            "progress":{"stage":"install","step":"deploying"}}"#,
    ];
    run(&seeds, |bytes| {
        let _ = (json::<FleetLockRequest>(bytes), json::<RunningUpdate>(bytes));
    });
}

#[test]
fn fuzz_frames_of_hostd_virt() {
    let observe = br#"{"id":1,"ask":"observe"}"#;
    let mut seed = u32::try_from(observe.len()).unwrap_or(0).to_be_bytes().to_vec();
    seed.extend(observe);
    run(&[&seed], |bytes| {
        let (mut requests, mut messages) = (Frames::new(MAX_REQUEST), Frames::new(MAX_REQUEST));
        for piece in bytes.chunks(7) {
            requests.push(piece);
            messages.push(piece);
            while let Ok(Some(_)) = requests.take::<Request>() {}
            while let Ok(Some(_)) = messages.take::<Message>() {}
        }
    });
}
