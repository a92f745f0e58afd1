//! A backup that is older than what hosts have.

use std::fs;

use basalt_api::checkin::Action;
use basalt_api::fault::FaultKind;
use basalt_api::id::WorkloadUid;
use basalt_api::operator::{Claims, HostSummary, Keep, Resync};
use basalt_cmd::Cmd;
use hyper::Method;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use crate::endpoint::{DEADLINE, Endpoint, container, run};
use crate::host::{TestHost, is};

/// A host with `web` and `more`, on an endpoint whose backup knows only `web`.
pub(crate) async fn older() -> (Endpoint, TestHost) {
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
    let refused = run(Cmd::new(env!("CARGO_BIN_EXE_basalt-endpoint")).args(args)).await;
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
            let resync = endpoint.ctl(&["hosts", "resync", "a", "--keep-host", "--yes"]).await;
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

const RESYNC: &str = "/v1/hosts/a/resync";

/// A frozen host that has sent its set: `web` is known and was to be on it, `more` is new and names
/// a secret, `moved` was assigned to `b` meanwhile, `dropped` is only in the database.
async fn claiming() -> (Endpoint, TestHost) {
    let mut endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    for name in ["web", "moved", "dropped"] {
        endpoint.apply(name).await;
    }
    let file = endpoint.path("backup.tar");
    let file = file.to_str().unwrap();
    assert_eq!(endpoint.command(&["backup", file]).await.code, 0);
    let mut more = container("more");
    more["container"]["secrets"] = serde_json::json!([{ "name": "db" }]);
    endpoint.apply_spec(more).await;
    let mut web = container("web");
    web["priority"] = 5.into();
    endpoint.apply_spec(web).await;
    endpoint.ctl(&["delete", "dropped"]).await;
    host.settle(&endpoint).await;
    tokio::task::block_in_place(|| endpoint.terminate());
    assert_eq!(endpoint.command(&["restore", file, "--overwrite"]).await.code, 0);
    endpoint.run();
    host.check_in(&endpoint).await;
    host.report_set(&endpoint).await.unwrap();
    (endpoint, host)
}

/// What an operator asks for by this hash.
async fn keep(endpoint: &Endpoint, set_hash: Option<&str>) -> anyhow::Result<HostSummary> {
    let how = Resync { keep: Keep::Host, set_hash: set_hash.map(str::to_owned) };
    endpoint.operator().send(Method::POST, RESYNC, &how, DEADLINE).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_claims_is_shown_and_nothing_else_is_kept() {
    let (endpoint, mut host) = claiming().await;
    let asked = endpoint.ctl(&["hosts", "resync", "a", "--keep-host"]).await;
    assert_eq!(asked.code, 1);
    for line in ["more      container  new      -", "moved     container  known    -"] {
        assert!(asked.stderr.contains(line), "{}", asked.stderr);
    }
    assert!(asked.stderr.contains("web       container  changed  -"), "{}", asked.stderr);
    assert!(asked.stderr.contains("  db  "), "{}", asked.stderr);
    let parked = "nobody runs until it is applied again: dropped\n";
    assert!(asked.stderr.contains(parked), "{}", asked.stderr);
    assert!(asked.stderr.ends_with("hint: `--yes` keeps it without asking\n"), "{}", asked.stderr);

    // Another set than the one that was shown.
    let shown: Claims = endpoint.operator().get(RESYNC, DEADLINE).await.unwrap();
    assert_eq!(shown.set_hash, host.set.as_ref().unwrap().hash());
    host.set.as_mut().unwrap().workloads.pop();
    host.is_known = false;
    host.check_in(&endpoint).await;
    host.report_set(&endpoint).await.unwrap();
    let other = keep(&endpoint, Some(&shown.set_hash)).await.unwrap_err();
    assert!(is(&other, FaultKind::Conflict), "{other}");
    assert!(other.to_string().contains("has another set now"), "{other}");
    let none = keep(&endpoint, None).await.unwrap_err();
    assert!(is(&none, FaultKind::Invalid), "{none}");
    assert_eq!(endpoint.get("/v1/hosts/a").await["host"]["state"], "ahead");
    let shown: Claims = endpoint.operator().get(RESYNC, DEADLINE).await.unwrap();
    keep(&endpoint, Some(&shown.set_hash)).await.unwrap();
    assert_eq!(endpoint.get("/v1/hosts/a").await["host"]["state"], "present");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moves_to_a_host_that_claims_it_is_shown() {
    let (endpoint, mut host) = older().await;
    let mut other = TestHost::ready(&endpoint, "b").await;
    let mut spec = container("theirs");
    spec["placement"] = serde_json::json!({ "host": "b" });
    endpoint.apply_spec(spec).await;
    other.settle(&endpoint).await;
    let mut set = host.set.clone().unwrap();
    set.workloads.extend(other.set.clone().unwrap().workloads);
    host.set = Some(set);
    host.is_known = false;
    host.check_in(&endpoint).await;
    host.report_set(&endpoint).await.unwrap();
    // As long as `b` is there it is refused; a host that is lost may have been replaced.
    let options = SqliteConnectOptions::new().filename(endpoint.data().database());
    let mut database = options.connect().await.unwrap();
    let lost = sqlx::query("UPDATE hosts SET state = 'lost' WHERE name = 'b'");
    lost.execute(&mut database).await.unwrap();
    let claims: Claims = endpoint.operator().get(RESYNC, DEADLINE).await.unwrap();
    let moves: Vec<_> =
        claims.workloads.iter().filter_map(|claim| claim.moves_from.as_ref()).collect();
    assert_eq!(moves, [&"b".parse().unwrap()], "{claims:?}");
}

/// `basaltctl` at a terminal on which somebody types.
async fn typed(endpoint: &Endpoint, answer: &str) -> crate::endpoint::Ended {
    let program = env!("CARGO_BIN_EXE_basaltctl");
    let command = format!("{program} hosts resync a --keep-host");
    let cmd = endpoint.ctl_env(Cmd::new("/usr/bin/script").env_clear());
    run(cmd.args(["-qec", &command, "/dev/null"]).stdin(format!("{answer}\n"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_at_a_terminal_is_asked_before_a_hosts_set_is_kept() {
    let (endpoint, _host) = claiming().await;
    for no in ["n", "", "what?"] {
        let refused = typed(&endpoint, no).await;
        assert!(refused.stdout.contains("[y/N]"), "{refused:?}");
        assert!(refused.stdout.contains("nothing was changed"), "{refused:?}");
        assert_eq!(refused.code, 1);
    }
    assert_eq!(endpoint.get("/v1/hosts/a").await["host"]["state"], "ahead");
    let kept = typed(&endpoint, "y").await;
    assert_eq!(kept.code, 0, "{kept:?}");
    assert_eq!(endpoint.get("/v1/hosts/a").await["host"]["state"], "present");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_set_of_a_frozen_host_may_be_larger_than_a_check_in() {
    let (endpoint, mut host) = older().await;
    host.check_in(&endpoint).await;
    let set = host.set.as_mut().unwrap();
    let mut large = set.workloads[0].clone();
    let environment = &mut large.spec.container.as_mut().unwrap().environment;
    environment.insert("X".to_owned(), "x".repeat(120 << 10));
    for number in 0..12 {
        large.uid = WorkloadUid(uuid::Uuid::from_u128(number));
        large.spec.name = format!("large-{number}").parse().unwrap();
        set.workloads.push(large.clone());
    }
    set.workloads.sort_by_key(|assigned| assigned.uid);
    let early = host.report_set(&endpoint).await.unwrap_err();
    assert!(is(&early, FaultKind::Conflict), "{early}");
    // With news, so that it is not held.
    host.is_known = false;
    host.check_in(&endpoint).await;
    host.report_set(&endpoint).await.unwrap();
    host.report_set(&endpoint).await.unwrap();
    let kept = endpoint.ctl(&["hosts", "resync", "a", "--keep-host", "--yes"]).await;
    assert_eq!(kept.code, 0, "{}", kept.stderr);
    let before = host.set.clone();
    host.check_in(&endpoint).await;
    assert_eq!((host.set.as_ref().unwrap().workloads.len(), &host.set), (14, &before));
    let over = vec![b' '; basalt_api::checkin::MAX_ANSWER_BYTES + 1];
    let path = basalt_api::checkin::SET_PATH;
    let reply = host.client(&endpoint).call(Method::POST, path, Some(over), DEADLINE).await;
    assert_eq!(reply.unwrap().status, 413);
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
