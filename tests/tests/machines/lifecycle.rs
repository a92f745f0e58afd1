//! A machine's life on libvirt's own test driver: quick, and with real events.

use std::time::Duration;

use basalt_api::id::WorkloadUid;
use basalt_cmd::Cmd;
use hostd::runtime::{Data, Failure, LogsWanted, Runtime};
use hostd_core::instance::InstanceState;
use rustix::process::Signal;

use crate::ground::{DEADLINE, Host, TEST_DRIVER, signal, small, until, vm};

const IMAGE: [u8; 4096] = [7; 4096];
const GRACE: Duration = Duration::from_secs(20);

fn is_ended(state: &InstanceState) -> bool {
    matches!(state, InstanceState::Ended { code: Some(0), .. })
}

#[tokio::test]
async fn a_machine_is_made_started_stopped_and_removed() {
    let host = Host::new(TEST_DRIVER);
    let make = small(host.image("image", &IMAGE));
    let uid = make.assigned.uid;
    assert_eq!(host.machines.observe().await.unwrap().instances, []);
    host.make(&make).await.unwrap();
    let made = host.until(uid, |state| *state == InstanceState::Made).await;
    assert_eq!(made.name.as_str(), "small");
    assert_eq!(made.hash, make.assigned.replacement_hash());
    assert_eq!(made.owner, make.owner);
    host.machines.start(uid).await.unwrap();
    host.until(uid, |state| matches!(state, InstanceState::Running { .. })).await;
    host.machines.stop(uid, GRACE).await.unwrap();
    host.until(uid, is_ended).await;
    host.machines.remove(uid, Data::Delete).await.unwrap();
    assert_eq!(host.machines.observe().await.unwrap().instances, []);
    assert_eq!(host.folders(), [""; 0]);
}

#[tokio::test]
async fn every_request_may_be_repeated() {
    let host = Host::new(TEST_DRIVER);
    let make = small(host.image("image", &IMAGE));
    let uid = make.assigned.uid;
    for _ in 0..2 {
        host.make(&make).await.unwrap();
    }
    for _ in 0..2 {
        host.machines.start(uid).await.unwrap();
    }
    for _ in 0..2 {
        host.machines.stop(uid, GRACE).await.unwrap();
    }
    for data in [Data::Keep, Data::Keep, Data::Delete, Data::Delete] {
        host.machines.remove(uid, data).await.unwrap();
    }
    host.machines.stop(uid, GRACE).await.unwrap();
}

#[tokio::test]
async fn what_happens_without_a_request_is_told() {
    let host = Host::new(TEST_DRIVER);
    let make = small(host.image("image", &IMAGE));
    host.make(&make).await.unwrap();
    host.machines.start(make.assigned.uid).await.unwrap();
    tokio::time::timeout(DEADLINE, host.machines.changed()).await.expect("an event comes");
}

#[tokio::test]
async fn what_is_not_ours_is_neither_seen_nor_touched() {
    let host = Host::new(TEST_DRIVER);
    let make = small(host.image("image", &IMAGE));
    host.make(&make).await.unwrap();
    // The driver comes with a domain of its own, which runs.
    let foreign: WorkloadUid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
    assert_eq!(host.machines.observe().await.unwrap().instances.len(), 1);
    assert_eq!(host.state(foreign).await, None);
    host.machines.stop(foreign, Duration::ZERO).await.unwrap();
    host.machines.remove(foreign, Data::Delete).await.unwrap();
    let error = host.machines.start(foreign).await.unwrap_err();
    assert_eq!(error.kind, Failure::NotThere);
}

#[tokio::test]
async fn another_version_of_a_machine_must_go_first() {
    let host = Host::new(TEST_DRIVER);
    let mut make = small(host.image("image", &IMAGE));
    host.make(&make).await.unwrap();
    make.assigned.spec.resources.memory_mib = Some(128);
    let error = host.machines.create(&make).await.unwrap_err();
    assert!(error.message.starts_with("another version of it is there"), "{error}");
    host.machines.start(make.assigned.uid).await.unwrap();
    let error = host.machines.remove(make.assigned.uid, Data::Keep).await.unwrap_err();
    assert!(error.message.starts_with("`small` runs"), "{error}");
}

#[tokio::test]
async fn a_disk_stays_while_its_machine_is_replaced_and_grows_in_place() {
    let host = Host::new(TEST_DRIVER);
    let mut make = small(host.image("image", &IMAGE));
    let uid = make.assigned.uid;
    let disk = host.path(&format!("state/machines/{uid}/disk.qcow2"));
    let io = |what: &str| {
        let cmd = Cmd::new("qemu-io").args(["-f", "qcow2", "-c", what]).arg(&disk);
        cmd.output().unwrap().status.success()
    };
    host.make(&make).await.unwrap();
    assert!(io("write -P 9 512 512"));
    host.machines.remove(uid, Data::Keep).await.unwrap();
    make.assigned.spec.resources.memory_mib = Some(128);
    vm(&mut make).disk.size_gib = Some(1);
    host.make(&make).await.unwrap();
    assert!(io("read -P 9 512 512"), "what the guest wrote is there");
    let size = Cmd::new("qemu-img").args(["info", "--output=json"]).arg(&disk).run().unwrap();
    assert!(size.stdout_text().contains("\"virtual-size\": 1073741824"));
    host.machines.remove(uid, Data::Keep).await.unwrap();
    vm(&mut make).disk = host.image("other", &[8; 4096]);
    host.make(&make).await.unwrap();
    assert!(io("read -P 8 512 512"), "another image is another disk");
}

#[tokio::test]
async fn what_was_cut_while_it_was_made_is_seen_as_broken_and_can_be_removed() {
    let host = Host::new(TEST_DRIVER);
    let make = small(host.image("image", &IMAGE));
    let uid = make.assigned.uid;
    host.make(&make).await.unwrap();
    // With the process the driver's memory goes: libvirt knows nothing of the machine any more.
    host.kill_process().await;
    let broken = host.until(uid, |state| matches!(state, InstanceState::Broken { .. })).await;
    assert_eq!(broken.name.as_str(), "small");
    host.machines.remove(uid, Data::Keep).await.unwrap();
    host.make(&make).await.unwrap();
    assert_eq!(host.state(uid).await, Some(InstanceState::Made));
    host.machines.remove(uid, Data::Delete).await.unwrap();
    assert_eq!(host.state(uid).await, None);
}

#[tokio::test]
async fn a_machine_whose_seed_went_with_a_boot_is_made_anew() {
    let host = Host::new(TEST_DRIVER);
    let mut make = small(host.image("image", &IMAGE));
    let uid = make.assigned.uid;
    vm(&mut make).user_data_secret = Some("seed".parse().unwrap());
    make.secrets.insert("seed".parse().unwrap(), b"#cloud-config\n# canary\n".to_vec());
    host.make(&make).await.unwrap();
    let seed = host.path(&format!("seeds/{uid}.img"));
    assert!(contains(&std::fs::read(&seed).unwrap(), b"canary"));
    for path in ["state", "state/machines", &format!("state/machines/{uid}")] {
        for entry in std::fs::read_dir(host.path(path)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap_or_default();
            assert!(!contains(&bytes, b"canary"), "a secret lies in {path}");
        }
    }
    std::fs::remove_file(&seed).unwrap();
    let broken = host.until(uid, |state| matches!(state, InstanceState::Broken { .. })).await;
    let reason = "its user-data went with the last boot".to_owned();
    assert_eq!(broken.state, InstanceState::Broken { reason });
    host.machines.remove(uid, Data::Keep).await.unwrap();
    host.make(&make).await.unwrap();
    assert_eq!(host.state(uid).await, Some(InstanceState::Made));
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn without_a_machine_there_is_no_process() {
    let host = Host::with(TEST_DRIVER, |_, deadlines| deadlines.idle = Duration::ZERO);
    let make = small(host.image("image", &IMAGE));
    host.machines.observe().await.unwrap();
    assert_eq!(host.machines.process_id().await, None);
    host.make(&make).await.unwrap();
    let process = host.machines.process_id().await.expect("a machine needs it");
    host.machines.remove(make.assigned.uid, Data::Delete).await.unwrap();
    host.machines.observe().await.unwrap();
    assert_eq!(host.machines.process_id().await, None);
    until("the process ends", || !std::path::Path::new(&format!("/proc/{process}/exe")).exists())
        .await;
}

#[tokio::test]
async fn a_process_that_does_not_answer_is_killed_and_another_serves() {
    let second = Duration::from_secs(1);
    let host = Host::with(TEST_DRIVER, |_, deadlines| deadlines.observe = second);
    let make = small(host.image("image", &IMAGE));
    host.make(&make).await.unwrap();
    let stuck = host.machines.process_id().await.unwrap();
    signal(stuck, Signal::STOP);
    let error = host.machines.observe().await.unwrap_err();
    assert_eq!(error.kind, Failure::Unavailable);
    assert_eq!(error.message, "hostd-virt did not answer within 1 s and was ended");
    host.machines.observe().await.unwrap();
    assert_ne!(host.machines.process_id().await, Some(stuck));
}

#[tokio::test]
async fn who_waits_is_told_when_the_process_dies() {
    let host = Host::new(TEST_DRIVER);
    let make = small(host.image("image", &IMAGE));
    host.make(&make).await.unwrap();
    // What was told of while the machine was made is heard first.
    let _ = tokio::time::timeout(Duration::from_millis(100), host.machines.changed()).await;
    let process = host.machines.process_id().await.unwrap();
    signal(process, Signal::KILL);
    tokio::time::timeout(DEADLINE, host.machines.changed()).await.expect("its end is told");
}

#[tokio::test]
async fn a_libvirt_that_is_not_there_is_said_to_be_unavailable() {
    let host = Host::new("qemu+unix:///system?socket=/nonexistent/libvirt-sock");
    let make = small(host.image("image", &IMAGE));
    let error = host.make(&make).await.unwrap_err();
    assert_eq!(error.kind, Failure::Unavailable);
    assert!(error.message.starts_with("libvirt at `qemu+unix://"), "{error}");
    assert!(error.message.contains("/nonexistent/libvirt-sock"), "{error}");
    assert_eq!(host.folders(), [""; 0]);
}

#[tokio::test]
async fn there_is_no_log_of_a_machine_that_is_not_there() {
    let host = Host::new(TEST_DRIVER);
    let uid = WorkloadUid(uuid::Uuid::new_v4());
    let wanted = LogsWanted { tail: None, follow: false };
    let error = host.machines.logs(uid, wanted).await.unwrap_err();
    assert_eq!(error.kind, Failure::NotThere);
}
