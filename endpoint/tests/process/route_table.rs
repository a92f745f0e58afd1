//! Who may ask what: every route × everybody who could ask. A route without a row fails.

use basalt_api::checkin::Action;
use basalt_api::operator::{AUDIT_PATH, AuditEntry, AuditLog, TokenCreate};
use basalt_endpoint::client::Client;
use basalt_endpoint::routes::{Who, table};
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::endpoint::{DEADLINE, Endpoint, container};
use crate::host::{TestHost, csr};

/// Method, path, body, and what is answered to: nobody, the host whose it is, another host, a
/// removed host, the operator.
type Row = (&'static str, &'static str, Option<Value>, [u16; 5]);

fn rows(renew: Value, checkin: Value) -> Vec<Row> {
    let enrol = json!({ "secret": "guessed", "name": "x", "csr": "x" });
    let secret = json!({ "value": "eA==" });
    let installing = json!({
        "secret": "guessed", "machine": "x", "state": "installing", "what": "step 1",
    });
    let apply = json!({ "workloads": [web()] });
    let set = json!({
        "lineage": uuid::Uuid::nil(), "generation": 1, "set_hash": "", "set": { "workloads": [] },
    });
    let operators = |status| [401, 403, 403, 403, status];
    vec![
        ("POST", "/v1/enrol", Some(enrol), [403; 5]),
        ("POST", "/v1/installations", Some(installing), [403; 5]),
        // Whoever it is, the body proves it: here it is the host's.
        ("POST", "/v1/hosts/self/certificate", Some(renew), [200; 5]),
        ("POST", "/v1/hosts/self/checkin", Some(checkin), [401, 200, 200, 403, 401]),
        // It is not frozen: nobody asked for its set.
        ("POST", "/v1/hosts/self/set", Some(set), [401, 409, 409, 403, 401]),
        ("GET", "/v1/hosts/self/secrets/{name}/{version}", None, [401, 200, 403, 403, 401]),
        // The log that somebody waits for, of the first host that may send it.
        ("POST", "/v1/hosts/self/logs/{ticket}", Some(json!("text")), [401, 204, 404, 403, 401]),
        ("GET", "/v1/hosts", None, operators(200)),
        ("GET", "/v1/hosts/{host}", None, operators(200)),
        ("POST", "/v1/hosts/{host}/cordon", None, operators(200)),
        ("POST", "/v1/hosts/{host}/uncordon", None, operators(200)),
        ("GET", "/v1/hosts/{host}/resync", None, operators(409)),
        ("POST", "/v1/hosts/{host}/resync", Some(json!({ "keep": "host" })), operators(409)),
        ("GET", "/v1/workloads", None, operators(200)),
        ("POST", "/v1/workloads", Some(apply), operators(200)),
        ("GET", "/v1/workloads/{name}", None, operators(200)),
        ("GET", "/v1/workloads/{name}/logs", None, operators(409)),
        ("GET", "/v1/os/channels", None, operators(200)),
        ("PUT", "/v1/os/channels/{name}", Some(json!({ "version": "2" })), operators(200)),
        ("GET", "/v1/os/rollouts", None, operators(200)),
        ("POST", "/v1/os/rollouts", Some(json!({ "channel": "web" })), operators(200)),
        ("GET", "/v1/os/rollouts/{channel}", None, operators(200)),
        ("POST", "/v1/os/rollouts/{channel}/pause", None, operators(200)),
        ("POST", "/v1/os/rollouts/{channel}/resume", Some(json!({})), operators(200)),
        ("POST", "/v1/os/rollouts/{channel}/abort", None, operators(200)),
        ("DELETE", "/v1/os/channels/{name}", None, operators(204)),
        ("GET", "/v1/os/groups", None, operators(200)),
        ("PUT", "/v1/os/groups/{name}", Some(json!({ "slots": 2 })), operators(200)),
        ("POST", "/v1/os/groups/{name}/fleetlock", None, operators(200)),
        ("DELETE", "/v1/os/groups/{name}/fleetlock", None, operators(204)),
        ("DELETE", "/v1/os/groups/{name}/locks", None, operators(404)),
        // The key alone counts, which here is none.
        ("POST", "/fleetlock/{key}/v1/pre-reboot", Some(json!({})), [400; 5]),
        ("POST", "/fleetlock/{key}/v1/steady-state", Some(json!({})), [400; 5]),
        ("DELETE", "/v1/os/groups/{name}", None, operators(204)),
        ("GET", "/v1/tokens", None, operators(200)),
        ("POST", "/v1/tokens", Some(json!({})), operators(200)),
        ("DELETE", "/v1/tokens/{id}", None, operators(204)),
        ("GET", "/v1/secrets", None, operators(200)),
        ("PUT", "/v1/secrets/{name}", Some(secret), operators(200)),
        ("DELETE", "/v1/secrets/{name}", None, operators(409)),
        ("GET", "/v1/events", None, operators(200)),
        ("GET", "/v1/audit", None, operators(200)),
        ("GET", "/metrics", None, operators(200)),
        ("GET", "/v1/openapi.json", None, [200; 5]),
        ("GET", "/healthz", None, [200; 5]),
        // These end what the rows above need.
        ("DELETE", "/v1/workloads/{name}", None, operators(204)),
        ("DELETE", "/v1/hosts/{host}", None, operators(204)),
        ("POST", "/v1/operator/rotate", None, operators(200)),
    ]
}

/// A workload with a secret.
fn web() -> Value {
    let mut spec = container("web");
    spec["container"]["secrets"] = json!([{ "name": "db" }]);
    spec
}

struct Scene {
    endpoint: Endpoint,
    token: String,
    /// Of a log that an operator waits for.
    ticket: Uuid,
    /// Of the secret that the host's set names.
    secret_version: u64,
    askers: [Client; 5],
}

impl Scene {
    fn path(&self, path: &str) -> String {
        path.replace("{host}", "own")
            .replace("/v1/secrets/{name}", "/v1/secrets/db")
            .replace("secrets/{name}/{version}", &format!("secrets/db/{}", self.secret_version))
            .replace("{name}/locks", "{name}/locks?id=x")
            .replace("{channel}", "web")
            .replace("{key}", "guessed")
            .replace("{name}", "web")
            .replace("{ticket}", &self.ticket.to_string())
            .replace("{id}", &self.token)
    }

    /// The audit log, the newest first.
    async fn audit(&self, operator: &Client) -> Vec<(String, String, u16)> {
        let log: AuditLog = operator.get(AUDIT_PATH, DEADLINE).await.unwrap();
        let entry = |entry: AuditEntry| (entry.method, entry.path, entry.status.unwrap_or(0));
        log.entries.into_iter().map(entry).collect()
    }

    /// What stands there of a row that was answered so.
    fn write(&self, row: &Row, status: u16) -> (String, String, u16) {
        (row.0.to_owned(), self.path(row.1), status)
    }

    async fn ask(&self, row: &Row) -> [u16; 5] {
        let (method, path, body, _) = row;
        let method: Method = method.parse().unwrap();
        let body = body.as_ref().map(|body| serde_json::to_vec(body).unwrap());
        let mut found = [0; 5];
        // Whose it is comes after those whose it is not: it may be used up then.
        for number in [0, 2, 3, 1, 4] {
            let asker = &self.askers[number];
            let reply = asker.call(method.clone(), &self.path(path), body.clone(), DEADLINE).await;
            found[number] = reply.unwrap().status.as_u16();
        }
        found
    }
}

/// What an operator's wait for a log of the host's is known by, and the log.
async fn ticket(endpoint: &Endpoint, host: &TestHost) -> (Uuid, JoinHandle<String>) {
    let operator = endpoint.operator();
    let waits = tokio::spawn(async move {
        let path = "/v1/workloads/web/logs";
        let reply = operator.call(Method::GET, path, None, DEADLINE).await.unwrap();
        String::from_utf8(reply.body).unwrap()
    });
    let answer = host.try_check_in(endpoint).await.unwrap();
    match answer.actions[..] {
        [Action::SendLogs { ticket, .. }] => (ticket, waits),
        _ => panic!("{answer:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_open_to_whom_the_table_says_and_to_nobody_else() {
    let endpoint = Endpoint::start();
    let mut own = TestHost::ready(&endpoint, "own").await;
    let other = TestHost::enrol(&endpoint, "other").await;
    let removed = TestHost::enrol(&endpoint, "removed").await;
    assert_eq!(endpoint.ctl(&["hosts", "remove", "removed"]).await.code, 0);
    endpoint.ctl_with(&["secret", "set", "db"], b"x").await;
    endpoint.apply_spec(web()).await;
    own.settle(&endpoint).await;
    let secrets = endpoint.get("/v1/secrets").await;
    let secret_version = secrets["secrets"][0]["version"].as_u64().unwrap();
    let (ticket, log) = ticket(&endpoint, &own).await;
    // A second one, so that its answer comes at once: it is behind.
    endpoint.apply("more").await;
    let renew = json!({ "csr": csr(&own.key), "certificate": own.certificate });
    own.is_known = false;
    let facts = own.request().facts;
    let checkin = json!({
        "protocol": 1, "boot_id": own.boot_id, "session": own.session,
        "observed_generation": 0, "applied_generation": 0,
        // Not logs: nobody here would answer when it is asked for one.
        "features": ["container", "secrets"],
        "facts": facts,
    });
    endpoint.token(TokenCreate::default()).await;
    let token = endpoint.get("/v1/tokens").await["tokens"][0]["id"].as_str().unwrap().to_owned();
    let askers = [
        endpoint.client(),
        own.client(&endpoint),
        other.client(&endpoint),
        removed.client(&endpoint),
        endpoint.operator(),
    ];
    let scene = Scene { endpoint, token, ticket, secret_version, askers };

    let begun = scene.audit(&scene.askers[4]).await.len();
    let rows = rows(renew, checkin);
    let mut writes = Vec::new();
    for route in table() {
        let has_row = rows.iter().any(|row| row.0 == route.method.as_str() && row.1 == route.path);
        assert!(has_row, "{} {} has no row here", route.method, route.path);
    }
    assert_eq!(rows.len(), table().len(), "a row has no route");
    for row in &rows {
        let mut found = scene.ask(row).await;
        if row.0 == "DELETE" && row.1 == "/v1/hosts/{host}" && found[4] == 409 {
            let forced = Row::clone(&(row.0, "/v1/hosts/{host}?force=true", None, row.3));
            found[4] = scene.ask(&forced).await[4];
            writes.push(scene.write(row, 409));
            writes.push(scene.write(&forced, found[4]));
        } else if table().iter().any(|route| {
            row.0 == route.method.as_str() && row.1 == route.path && route.who == Who::Operator
        }) {
            writes.extend((row.0 != "GET").then(|| scene.write(row, found[4])));
        }
        assert_eq!(found, row.3, "{} {}; the log: {}", row.0, row.1, scene.endpoint.log());
    }
    assert_eq!(log.await.unwrap(), "\"text\"", "and no other's");
    // The token was rotated by the last row.
    let mut entries = scene.audit(&scene.endpoint.operator()).await;
    entries.truncate(entries.len() - begun);
    entries.reverse();
    assert_eq!(entries, writes, "each write of an operator stands there, and nothing else");
}

#[test]
fn the_table_opens_to_anyone_only_what_must_be() {
    let open: Vec<&str> =
        table().iter().filter(|route| route.who == Who::Anyone).map(|route| route.path).collect();
    let expected = [
        "/v1/enrol",
        "/v1/installations",
        "/v1/hosts/self/certificate",
        "/fleetlock/{key}/v1/pre-reboot",
        "/fleetlock/{key}/v1/steady-state",
        "/v1/openapi.json",
        "/healthz",
    ];
    assert_eq!(open, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_no_token() {
    let endpoint = Endpoint::start();
    let token = std::fs::read_to_string(endpoint.data().operator_token()).unwrap();
    let truncated = &token[..token.len() - 1];
    for wrong in ["", "x", truncated, &format!("{token}x")] {
        let client = endpoint.client().with_token(wrong).unwrap();
        let reply = client.call(Method::GET, "/v1/hosts", None, DEADLINE).await.unwrap();
        assert_eq!(reply.status, 401, "{wrong}");
    }
}
