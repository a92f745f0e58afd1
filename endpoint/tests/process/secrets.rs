use std::fs;

use basalt_api::fault::FaultKind;
use basalt_api::operator::TokenCreate;
use basalt_api::secret::SecretValue;
use hyper::Method;
use rcgen::KeyPair;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};

use crate::endpoint::{DEADLINE, Endpoint, container, files};
use crate::host::{TestHost, is, redeem};

/// Found nowhere but where it belongs.
const CANARY: &str = "canary-4f1c0a7e";

fn with_secret(name: &str) -> serde_json::Value {
    let mut spec = container(name);
    spec["container"]["secrets"] = json!([{ "name": "db" }]);
    spec
}

async fn fetch(host: &TestHost, endpoint: &Endpoint, version: u64) -> anyhow::Result<Vec<u8>> {
    let path = basalt_api::secret::path(&"db".parse().unwrap(), version);
    let value: SecretValue = host.client(endpoint).get(&path, DEADLINE).await?;
    Ok(value.bytes().unwrap())
}

/// The version of `db` that the endpoint knows.
async fn version(endpoint: &Endpoint) -> u64 {
    endpoint.get("/v1/secrets").await["secrets"][0]["version"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_gets_the_values_that_its_set_names_and_no_others() {
    let endpoint = Endpoint::start();
    let mut host = TestHost::ready(&endpoint, "a").await;
    let set = endpoint.ctl_with(&["secret", "set", "db"], CANARY.as_bytes()).await;
    assert_eq!(set.code, 0, "{}", set.stderr);
    let first = version(&endpoint).await;
    let refused = fetch(&host, &endpoint, first).await.unwrap_err();
    assert!(is(&refused, FaultKind::Forbidden), "{refused}");
    endpoint.apply_spec(with_secret("web")).await;
    host.settle(&endpoint).await;
    let versions = &host.set.as_ref().unwrap().workloads[0].secret_versions;
    assert_eq!(versions.values().collect::<Vec<_>>(), [&first]);
    assert_eq!(fetch(&host, &endpoint, first).await.unwrap(), CANARY.as_bytes());
    let other = TestHost::ready(&endpoint, "b").await;
    let refused = fetch(&other, &endpoint, first).await.unwrap_err();
    assert!(is(&refused, FaultKind::Forbidden), "{refused}");

    let before = host.set.as_ref().unwrap().workloads[0].replacement_hash();
    endpoint.ctl_with(&["secret", "set", "db"], b"another").await;
    host.settle(&endpoint).await;
    assert_ne!(host.set.as_ref().unwrap().workloads[0].replacement_hash(), before);
    let second = version(&endpoint).await;
    assert!(second > first);
    assert_eq!(fetch(&host, &endpoint, second).await.unwrap(), b"another");
    let refused = fetch(&host, &endpoint, first).await.unwrap_err();
    assert!(is(&refused, FaultKind::Forbidden), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_found_in_no_file_log_or_answer_of_the_endpoint() {
    let mut endpoint = Endpoint::start();
    // A token that was redeemed, by which more hosts may come.
    let join = endpoint.token(TokenCreate { uses: Some(2), ..TokenCreate::default() }).await;
    let key = KeyPair::generate().unwrap();
    let answer = redeem(&endpoint, &join, "a", &key).await.unwrap();
    let mut host = TestHost::of(key, answer);
    host.settle(&endpoint).await;
    endpoint.ctl_with(&["secret", "set", "db"], CANARY.as_bytes()).await;
    endpoint.apply_spec(with_secret("web")).await;
    host.settle(&endpoint).await;
    fetch(&host, &endpoint, version(&endpoint).await).await.unwrap();
    // A request that fails must not repeat it either.
    let body = format!("{{\"value\": \"{CANARY}\"}}").into_bytes();
    for (path, body) in [("/v1/secrets/db", body.clone()), ("/v1/secrets/NO", body)] {
        let reply =
            endpoint.operator().call(Method::PUT, path, Some(body), DEADLINE).await.unwrap();
        assert!(!String::from_utf8_lossy(&reply.body).contains(CANARY));
    }
    let listed = endpoint.ctl(&["secret", "list", "--json"]).await;
    assert!(!listed.stdout.contains(CANARY) && listed.stdout.contains("\"db\""));
    endpoint.command(&["backup", endpoint.path("backup.tar").to_str().unwrap()]).await;
    let encoded = SecretValue::of(CANARY.as_bytes()).value;
    let listed = endpoint.ctl(&["token", "list", "--json"]).await.stdout;
    assert!(listed.contains("\"uses_left\": 1") && !listed.contains(&join.secret), "{listed}");
    let check = |endpoint: &Endpoint| {
        for path in files(endpoint.folder.path()) {
            let Ok(bytes) = fs::read(&path) else { continue };
            for needle in [CANARY.as_bytes(), encoded.as_bytes(), join.secret.as_bytes()] {
                let is_there = bytes.windows(needle.len()).any(|window| window == needle);
                assert!(!is_there, "it is in {}", path.display());
            }
        }
    };
    check(&endpoint);
    tokio::task::block_in_place(|| endpoint.terminate());
    check(&endpoint);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_used_stays_and_versions_go_on_rising() {
    let endpoint = Endpoint::start();
    endpoint.ctl_with(&["secret", "set", "db"], b"one").await;
    let first = version(&endpoint).await;
    endpoint.apply_spec(with_secret("web")).await;
    let refused = endpoint.ctl(&["secret", "rm", "db"]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("workload `web` uses"), "{}", refused.stderr);
    endpoint.ctl(&["delete", "web"]).await;
    assert_eq!(endpoint.ctl(&["secret", "rm", "db"]).await.code, 0);
    assert_eq!(endpoint.get("/v1/secrets").await["secrets"], json!([]));
    endpoint.ctl_with(&["secret", "set", "db"], b"two").await;
    assert!(version(&endpoint).await > first);
}

/// What the database has of a host's set: where in the table it lies, its generation.
async fn set_of(database: &mut SqliteConnection, host: &TestHost) -> (i64, i64) {
    let row = sqlx::query_as("SELECT rowid, generation FROM sets WHERE host = ?");
    row.bind(host.id.to_string()).fetch_one(database).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secrets_new_value_concerns_the_hosts_whose_sets_name_it_and_nothing_else() {
    let endpoint = Endpoint::start();
    let mut with = TestHost::ready(&endpoint, "a").await;
    let mut without = TestHost::ready(&endpoint, "b").await;
    endpoint.ctl_with(&["secret", "set", "db"], b"one").await;
    let mut web = with_secret("web");
    web["placement"] = json!({ "host": "a" });
    endpoint.apply_spec(web).await;
    let mut more = container("more");
    more["placement"] = json!({ "host": "b" });
    endpoint.apply_spec(more).await;
    let mut nowhere = container("nowhere");
    nowhere["placement"] = json!({ "host": "c" });
    endpoint.apply_spec(nowhere).await;
    with.settle(&endpoint).await;
    without.settle(&endpoint).await;
    let options = SqliteConnectOptions::new().filename(endpoint.data().database());
    let mut database = options.connect().await.unwrap();
    // Whoever places all workloads anew says why again.
    let mark = sqlx::query("UPDATE workloads SET reason = 'mark' WHERE name = 'nowhere'");
    mark.execute(&mut database).await.unwrap();
    let before = (set_of(&mut database, &with).await, set_of(&mut database, &without).await);
    endpoint.ctl_with(&["secret", "set", "db"], b"two").await;
    let after = (set_of(&mut database, &with).await, set_of(&mut database, &without).await);
    assert_eq!(after.0.1, before.0.1 + 1);
    assert_eq!(after.1, before.1);
    let shown = endpoint.get("/v1/workloads/nowhere").await;
    assert_eq!(shown["workload"]["reason"], "mark");
    with.settle(&endpoint).await;
    let versions = &with.set.as_ref().unwrap().workloads[0].secret_versions;
    assert_eq!(versions.values().collect::<Vec<_>>(), [&version(&endpoint).await]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_endpoint_writes_is_for_its_owner_but_url_and_fingerprint() {
    use std::os::unix::fs::PermissionsExt;
    let endpoint = Endpoint::start();
    endpoint.apply("web").await;
    for path in files(endpoint.data().folder()) {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        let is_public = path == endpoint.data().url() || path == endpoint.data().ca_fingerprint();
        assert_eq!(mode, if is_public { 0o644 } else { 0o600 }, "{}", path.display());
    }
}
