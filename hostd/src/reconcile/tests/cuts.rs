//! `hostd` is killed and comes back, and what it left half done.

use hostd_core::books::Orphan;
use hostd_core::instance::InstanceState;
use hostd_core::ledger::Place;

use super::*;

#[tokio::test]
async fn what_is_deleted_has_its_own_time_to_end_although_hostd_died_between() {
    let mut host = Host::new();
    host.apply_with_grace("web", 77).await;
    host.becomes("web=running").await;
    host.task.abort();
    host.books.change(|ledger| delete_local(ledger, "web")).await.unwrap();
    let mut host = host.comes_back();
    host.becomes("").await;
    assert_eq!(host.runtime.state().graces, [77]);
}

/// Between the container and its volumes; hostd is killed at the same moment.
#[tokio::test]
async fn a_removal_that_was_cut_off_before_the_data_goes_on_after_a_start() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    host.runtime.state().is_cut = true;
    host.books.change(|ledger| delete_local(ledger, "web")).await.unwrap();
    host.becomes("web=failed").await;
    host.task.abort();
    host.runtime.state().is_cut = false;
    let mut host = host.comes_back();
    host.becomes("").await;
    assert!(host.runtime.state().instances.is_empty());
}

#[tokio::test]
async fn data_alone_is_no_container_for_who_wants_it() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    for instance in host.runtime.state().instances.values_mut() {
        instance.state = InstanceState::DataOnly;
        instance.hash.clear();
    }
    host.runtime.changed.notify_one();
    let made_again = async {
        while host.runtime.state().created < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, made_again).await.unwrap();
    host.becomes("web=running").await;
}

#[tokio::test]
async fn secrets_that_a_cut_left_go_at_the_next_start_and_those_in_use_stay() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    let wanted = host.picture.borrow().statuses[0].uid;
    let left = WorkloadUid(uuid::Uuid::new_v4());
    for name in [left.to_string(), wanted.to_string(), "no-workload".to_owned()] {
        std::fs::create_dir(host.folder.path().join(name)).unwrap();
    }
    std::fs::write(host.folder.path().join(left.to_string()).join("key"), "canary").unwrap();
    let mut host = host.comes_back();
    host.becomes("web=running").await;
    let is_there = |name: &str| host.folder.path().join(name).exists();
    assert!(!is_there(&left.to_string()));
    assert!(is_there(&wanted.to_string()) && is_there("no-workload"));
}

#[tokio::test]
async fn what_an_older_copy_of_the_ledger_does_not_know_is_left_alone() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    host.task.abort();
    // The copy that knew it is damaged; the one before it serves.
    let folder = host.folder.path().to_owned();
    let sequence = host.books.known().unwrap().sequence;
    std::fs::write(folder.join(Place::of(sequence).file_name()), "torn").unwrap();
    let mut host = host.comes_back();
    host.becomes("web=running").await;
    let status = host.picture.borrow().statuses[0].clone();
    assert_eq!(status.source, basalt_api::report::Source::Orphaned);
    let orphan = Orphan { uid: status.uid, name: status.name, kind: status.kind };
    host.books.change(move |ledger| books::purge(ledger, &orphan)).await.unwrap();
    host.becomes("").await;
    assert!(host.runtime.state().instances.is_empty());
}

#[tokio::test]
async fn after_a_crash_what_runs_is_adopted() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    let mut host = host.comes_back();
    host.becomes("web=running").await;
    assert_eq!(host.runtime.state().created, 1);
}
