//! A backup that is older than what hosts have.

use std::fs;

use basalt_api::checkin::Action;

use crate::endpoint::Endpoint;
use crate::host::TestHost;

/// A host with `web` and `more`, on an endpoint whose backup knows only `web`.
async fn older() -> (Endpoint, TestHost) {
    let mut endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    endpoint.apply("web").await;
    host.settle(&endpoint).await;
    let file = endpoint.path("backup.tar");
    let file = file.to_str().unwrap();
    let backed_up = endpoint.command(&["backup", file]).await;
    assert_eq!(backed_up.code, 0, "{}", backed_up.stderr);
    endpoint.apply("more").await;
    host.settle(&endpoint).await;
    assert_eq!(host.workloads().len(), 2);
    tokio::task::block_in_place(|| endpoint.terminate());
    let refused = endpoint.command(&["restore", file]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("hint: `--overwrite`"), "{}", refused.stderr);
    let restored = endpoint.command(&["restore", file, "--overwrite"]).await;
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    endpoint.run();
    (endpoint, host)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_backup_is_refused_without_its_content() {
    let endpoint = Endpoint::start();
    let file = endpoint.path("notes");
    std::fs::write(&file, "a line of text\n".repeat(100)).unwrap();
    let new = endpoint.path("new");
    let args = ["--data", new.to_str().unwrap(), "restore", file.to_str().unwrap()];
    let refused = crate::endpoint::run(
        basalt_cmd::Cmd::new(env!("CARGO_BIN_EXE_basalt-endpoint")).args(args),
    );
    let refused = refused.await;
    let expected =
        format!("error: `{}` is no backup: it is no tar file, or cut off\n", file.display());
    assert_eq!((refused.code, refused.stderr), (1, expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_workload_stops_after_an_older_backup_was_restored() {
    let (endpoint, mut host) = older().await;
    let answer = host.check_in(&endpoint).await;
    assert_eq!(answer.set, None);
    assert!(answer.actions.contains(&Action::Frozen), "{answer:?}");
    assert_eq!(endpoint.get("/v1/hosts/a").await["host"]["state"], "ahead");
    // The endpoint's history goes on and gets as far as the host's: still no set is sent.
    for name in ["x", "y", "z"] {
        endpoint.apply(name).await;
        let applied = endpoint.get(&format!("/v1/workloads/{name}")).await;
        assert!(applied["workload"]["reason"].as_str().unwrap().contains("frozen"), "{applied}");
    }
    assert_eq!(endpoint.ctl(&["delete", "web"]).await.code, 0);
    let answer = host.try_check_in(&endpoint);
    let answer = tokio::time::timeout(std::time::Duration::from_millis(300), answer).await;
    assert!(answer.is_err(), "a frozen host waits and gets nothing: {answer:?}");
    assert_eq!(host.workloads().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_keeps_what_the_host_runs() {
    let (endpoint, mut host) = older().await;
    let before = host.set.clone().unwrap();
    let answer = host.check_in(&endpoint).await;
    assert!(answer.actions.contains(&Action::ReportSet), "{answer:?}");
    let early = endpoint.ctl(&["hosts", "resync", "a", "--keep-host"]).await;
    assert_eq!(early.code, 1);
    assert!(early.stderr.contains("has not sent the set"), "{}", early.stderr);

    host.sends_set = true;
    let poll = host.try_check_in(&endpoint);
    let resync = async {
        crate::endpoint::wait_until("the set has come", async || {
            let resync = endpoint.ctl(&["hosts", "resync", "a", "--keep-host"]).await;
            if resync.code == 0 { Ok(()) } else { Err(resync.stderr) }
        })
        .await;
    };
    let (answer, ()) = tokio::join!(poll, resync);
    host.take(&answer.unwrap());
    assert_eq!(host.set.as_ref().unwrap(), &before, "the same set under a higher generation");
    assert_eq!(endpoint.get("/v1/hosts/a").await["host"]["problems"], serde_json::json!([]));
    endpoint.apply("after").await;
    host.settle(&endpoint).await;
    assert_eq!(host.workloads().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_host_takes_nothing_from_another_by_what_it_says() {
    let (endpoint, mut host) = older().await;
    let mut other = TestHost::ready(&endpoint, "b").await;
    let mut spec = crate::endpoint::container("theirs");
    spec["placement"] = serde_json::json!({ "host": "b" });
    endpoint.apply_spec(spec).await;
    other.settle(&endpoint).await;
    let mut set = host.set.clone().unwrap();
    set.workloads.extend(other.set.clone().unwrap().workloads);
    host.set = Some(set);
    host.check_in(&endpoint).await;
    host.sends_set = true;
    let _ =
        tokio::time::timeout(std::time::Duration::from_secs(2), host.try_check_in(&endpoint)).await;
    let refused = endpoint.ctl(&["hosts", "resync", "a", "--keep-host"]).await;
    assert_eq!(refused.code, 1);
    let why = "`theirs` is the workload of host `b`, which has it";
    assert!(refused.stderr.contains(why), "{}", refused.stderr);
    assert_eq!(endpoint.get("/v1/hosts/a").await["host"]["state"], "ahead");
    assert_eq!(endpoint.get("/v1/workloads/theirs").await["workload"]["host"], "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_gives_the_host_what_the_endpoint_knows() {
    let (endpoint, mut host) = older().await;
    let frozen_at = host.observed;
    host.check_in(&endpoint).await;
    let resync = endpoint.ctl(&["hosts", "resync", "a", "--from-endpoint"]).await;
    assert_eq!(resync.code, 0, "{}", resync.stderr);
    host.check_in(&endpoint).await;
    assert!(host.observed > frozen_at);
    assert_eq!(host.workloads(), ["web"]);
    let again = endpoint.ctl(&["hosts", "resync", "a", "--from-endpoint"]).await;
    assert!(again.stderr.contains("is not frozen"), "{}", again.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_another_endpoints_database_is_frozen() {
    let mut endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    endpoint.apply("web").await;
    host.settle(&endpoint).await;
    host.lineage = Some(basalt_api::id::Lineage(uuid::Uuid::from_u128(1)));
    tokio::task::block_in_place(|| endpoint.kill());
    endpoint.run();
    let answer = host.check_in(&endpoint).await;
    assert!(answer.set.is_none() && answer.actions.contains(&Action::Frozen), "{answer:?}");
    let shown = endpoint.ctl(&["hosts", "show", "a"]).await;
    assert!(shown.stdout.contains("another endpoint's database"), "{}", shown.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_for_its_owner_only_and_replaces_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let endpoint = Endpoint::start();
    let file = endpoint.path("backup.tar");
    let args = ["backup", file.to_str().unwrap()];
    assert_eq!(endpoint.command(&args).await.code, 0);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(endpoint.command(&args).await.code, 1);
}
