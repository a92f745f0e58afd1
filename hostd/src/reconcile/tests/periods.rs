//! What has a period, when it is over.

use hostd_core::step::Step;
use hostd_core::track::Purpose;

use super::*;

#[tokio::test]
async fn what_has_a_period_is_stopped_when_it_is_over_and_not_a_minute_later() {
    let mut host = Host::new();
    host.assign_quiet(Duration::from_secs(57)).await;
    host.becomes("quiet=running").await;
    let begun = Instant::now();
    host.becomes("quiet=stopped").await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_being_prepared_when_its_period_ends_is_given_up() {
    let mut host = Host::new();
    host.runtime.state().stuck.insert("quiet".to_owned());
    host.assign_quiet(Duration::from_secs(58)).await;
    host.becomes("quiet=preparing").await;
    host.becomes("quiet=stopped").await;
    assert_eq!(host.runtime.state().created, 0);
}

/// Without the loop's help: it may be busy looking at a runtime that does not answer.
#[tokio::test]
async fn nothing_is_made_after_a_preparation_that_outlived_the_period() {
    let runtime = Arc::new(Memory::default());
    runtime.state().takes = Duration::from_secs(2);
    let host_id = HostId(uuid::Uuid::nil());
    let wanted = Wanted::new(quiet(), hostd_core::instance::Owner::Host(host_id), false);
    let heard = clock::uptime().checked_sub(Duration::from_secs(59)).unwrap();
    let (_give_up_tell, give_up) = watch::channel(false);
    let (_heard_tell, heard) = watch::channel(Some(heard));
    let (report, mut reports) = mpsc::channel(16);
    let task = carry_out::Task {
        runtime: runtime.clone(),
        secrets: Arc::new(NoSecrets),
        private: std::path::PathBuf::new(),
        work: Work {
            uid: wanted.uid(),
            name: wanted.name().clone(),
            kind: Kind::Container,
            steps: vec![Step::Prepare, Step::Create, Step::Start],
            purpose: Purpose::Run(wanted.hash.clone()),
        },
        wanted: Some(wanted),
        report,
        give_up,
        policy: Policy::default(),
        host_paths: crate::host_paths::HostPaths::new(&[]),
        heard,
    };
    task.run().await;
    let mut told = Vec::new();
    while let Some((_, progress)) = reports.recv().await {
        told.push(progress);
    }
    assert_eq!(
        told,
        [Progress::Began(Step::Prepare), Progress::Did(Step::Prepare), Progress::Over]
    );
    assert_eq!(runtime.state().created, 0);
}
