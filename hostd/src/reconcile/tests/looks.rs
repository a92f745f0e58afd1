//! What is looked at, and when: lost events, runtimes that are away, kinds that nobody uses.

use basalt_api::report::WorkloadState;

use super::*;

#[tokio::test]
async fn what_has_our_labels_and_is_not_ours_is_told_as_long_as_it_is_there() {
    let mut host = Host::new();
    host.runtime.state().strangers = vec!["`a` has the labels of `b`".to_owned()];
    host.apply("web").await;
    host.becomes("web=running").await;
    assert_eq!(host.picture.borrow().strangers, ["`a` has the labels of `b`"]);
    host.runtime.state().strangers.clear();
    host.runtime.changed.notify_one();
    let gone = host.picture.wait_for(|picture| picture.strangers.is_empty());
    tokio::time::timeout(DEADLINE, gone).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_no_event_told_is_seen_within_two_minutes_although_the_endpoint_is_heard() {
    let mut host = Host::new();
    host.apply("web").await;
    host.becomes("web=running").await;
    host.runtime.end_unheard("web", 77);
    let heard = host.heard.clone();
    let ticks = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(24)).await;
            heard.send_replace(Some(clock::uptime()));
        }
    });
    let restarted = host.picture.wait_for(|picture| picture.statuses[0].restarts == 1);
    tokio::time::timeout(Duration::from_secs(120), restarted).await.unwrap().unwrap();
    ticks.abort();
}

#[tokio::test]
async fn a_runtime_that_comes_back_is_used_again() {
    let mut host = Host::new();
    host.runtime.state().is_away = true;
    host.apply("web").await;
    host.becomes("web=unknown").await;
    host.runtime.state().is_away = false;
    host.runtime.changed.notify_one();
    host.becomes("web=running").await;
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_slow_when_it_comes_back_is_heard_before_the_next_look_at_everything() {
    let mut host = Host::new();
    host.runtime.state().is_away = true;
    host.apply("web").await;
    host.becomes("web=unknown").await;
    {
        let mut state = host.runtime.state();
        state.is_away = false;
        state.answers_in = Duration::from_secs(5);
    }
    host.runtime.changed.notify_one();
    let heard = host.picture.wait_for(|picture| {
        picture.statuses.first().is_some_and(|web| web.state != WorkloadState::Unknown)
    });
    tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap().unwrap();
}

#[tokio::test]
async fn without_workloads_no_runtime_is_asked() {
    let mut host = Host::new();
    let known = host.picture.wait_for(|picture| picture.is_known);
    tokio::time::timeout(DEADLINE, known).await.unwrap().unwrap();
    assert_eq!(host.runtime.state().looks, 0);
}

#[tokio::test]
async fn a_kind_that_was_not_used_costs_no_write() {
    let memory = || Arc::new(Memory::default());
    // A folder that is not there can be neither written to nor synced.
    let runtimes = Runtimes {
        containers: memory(),
        machines: memory(),
        private: "/nowhere".into(),
        marks: "/nowhere/at/all".into(),
    };
    runtimes.is_done_with(Kind::Vm).await.unwrap();
    assert!(runtimes.will_use(Kind::Vm).await.is_err());
}
