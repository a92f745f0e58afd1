//! What each command prints with `--json`. A command without a row fails.

use basalt_api::checkin::Action;
use basalt_endpoint::ctl::args::Cli;
use clap::{Command, CommandFactory};
use serde_json::{Value, json};

use crate::endpoint::{Ended, Endpoint, container};
use crate::host::TestHost;
use crate::restore::older;
use crate::rollouts;

/// A command, what is typed after it, and something that its JSON says: where, and what.
type Row<'a> = (&'static str, Vec<&'a str>, &'static str, Value);

/// All commands that do something, as `hosts show`.
fn leaves(command: &Command, before: &str, found: &mut Vec<String>) {
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("{before} {}", command.get_name()).trim_start().to_owned();
        if !command.is_subcommand_required_set() {
            found.push(name.clone());
        }
        leaves(command, &name, found);
    }
}

/// The JSON which is all that a command printed.
fn parse(command: &str, ended: &Ended) -> Value {
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{command}");
    // `events` prints one a line: the last.
    let text = if command == "events" { ended.stdout.lines().last() } else { Some(&*ended.stdout) };
    serde_json::from_str(text.unwrap()).unwrap_or_else(|error| panic!("{command}: {error}"))
}

/// What a command prints that waits for the host, which has to do its part.
async fn logs(endpoint: &Endpoint, host: &TestHost) -> Ended {
    let deliver = async {
        let answer = host.try_check_in(endpoint).await.unwrap();
        let [Action::SendLogs { ticket, .. }] = answer.actions[..] else { panic!("{answer:?}") };
        let path = basalt_api::checkin::logs_path(ticket);
        let body = Some(b"line one".to_vec());
        let client = host.client(endpoint);
        let reply = client.call(hyper::Method::POST, &path, body, crate::endpoint::DEADLINE).await;
        assert_eq!(reply.unwrap().status, 204);
    };
    tokio::join!(endpoint.ctl(&["logs", "web", "--json"]), deliver).0
}

/// Commands about releases of the system.
fn about_the_system() -> Vec<Row<'static>> {
    vec![
        ("os channel set", vec!["stable", "2"], "/version", json!("2")),
        ("os channel list", vec![], "/channels/0/name", json!("stable")),
        ("os rollout start", vec!["--wave", "10%"], "/version", json!("2")),
        ("os rollout status", vec![], "/rollouts/0/state", json!("running")),
        ("os rollout pause", vec![], "/state", json!("paused")),
        ("os rollout resume", vec![], "/state", json!("running")),
        ("os rollout abort", vec![], "/state", json!("aborted")),
        ("os channel rm", vec!["stable"], "", json!({ "did": "removed", "name": "stable" })),
        ("os group set", vec!["east", "--slots", "2"], "/slots", json!(2)),
        ("os group list", vec![], "/groups/1/name", json!("east")),
        ("os group fleetlock", vec!["east"], "/base_urls/0", Value::Null),
        ("os group unlock", vec!["east", "a/b"], "", json!({ "did": "unlocked", "name": "east" })),
        ("os group rm", vec!["east"], "", json!({ "did": "removed", "name": "east" })),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_tells_in_json_what_it_has_done() {
    let (endpoint, mut host) = older().await;
    // It is frozen, which a resync needs.
    host.check_in(&endpoint).await;
    endpoint.token(basalt_api::operator::TokenCreate::default()).await;
    let token = endpoint.get("/v1/tokens").await["tokens"][0]["id"].as_str().unwrap().to_owned();
    let path = |name: &str| endpoint.path(name).to_str().unwrap().to_owned();
    let (spec, value, pages) = (path("spec.json"), path("value"), path("pages"));
    std::fs::write(&spec, container("new").to_string()).unwrap();
    std::fs::write(&value, "x").unwrap();
    let token_file = endpoint.data().operator_token().to_str().unwrap().to_owned();
    let (url, fingerprint) = (endpoint.url(), endpoint.fingerprint().to_string());
    let login = vec![&*url, "--ca-fingerprint", &fingerprint, "--token-file", &token_file];
    let mut rows = about_the_system();
    rows.extend([
        ("hosts resync", vec!["a", "--from-endpoint"], "/name", json!("a")),
        ("logs", vec![], "/text", json!("line one")),
        ("login", login, "/did", json!("logged_in")),
        ("token create", vec!["--uses", "2"], "/id", Value::Null),
        ("token list", vec![], "/tokens/1/uses_left", Value::Null),
        ("token revoke", vec![&token], "", json!({ "did": "revoked", "id": token })),
        ("secret set", vec!["db", "--file", &value], "/name", json!("db")),
        ("secret list", vec![], "/secrets/0/name", json!("db")),
        ("secret rm", vec!["db"], "", json!({ "did": "removed", "name": "db" })),
        ("hosts", vec![], "/hosts/0/name", json!("a")),
        ("hosts show", vec!["a"], "/host/name", json!("a")),
        ("hosts cordon", vec!["a"], "/cordoned", json!(true)),
        ("hosts uncordon", vec!["a"], "/cordoned", json!(false)),
        ("apply", vec![&spec], "/workloads/0/change", json!("created")),
        ("workloads", vec![], "/workloads/0/spec/name", json!("new")),
        ("describe", vec!["web"], "/workload/spec/name", json!("web")),
        ("delete", vec!["new"], "", json!({ "did": "deleted", "name": "new" })),
        ("events", vec![], "/kind", json!("workload_deleted")),
        ("audit", vec![], "/entries/0/path", json!("/v1/workloads/new")),
        ("schema", vec![], "/$schema", json!("https://json-schema.org/draft/2020-12/schema")),
        ("completion", vec!["bash"], "/script", Value::Null),
        ("man", vec!["--out", &pages], "", json!({ "did": "wrote", "folder": pages })),
        // These end what the rows above need.
        ("hosts remove", vec!["a", "--force"], "", json!({ "did": "removed", "name": "a" })),
        ("operator rotate", vec![], "", json!({ "did": "rotated", "token_file": token_file })),
    ]);
    let (mut commands, mut with_row) = (Vec::new(), Vec::new());
    leaves(&Cli::command(), "", &mut commands);
    with_row.extend(rows.iter().map(|row| row.0.to_owned()));
    commands.sort();
    with_row.sort();
    assert_eq!(commands, with_row, "a command has no row here, or a row no command");
    for (command, rest, place, expected) in rows {
        let ended = if command == "logs" {
            host.settle(&endpoint).await;
            logs(&endpoint, &host).await
        } else {
            if command == "os group unlock" {
                rollouts::lock(&endpoint, "east", "a/b").await;
            }
            let words: Vec<&str> = command.split(' ').chain(rest).chain(["--json"]).collect();
            endpoint.ctl(&words).await
        };
        let said = parse(command, &ended);
        let found = said.pointer(place).unwrap_or_else(|| panic!("{command}: {said:#}"));
        // Where it cannot be foretold, it is there at least.
        assert!(
            *found == expected || expected.is_null() && !found.is_null(),
            "{command}: {said:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_and_a_restore_tell_in_json_what_they_have_done() {
    let mut endpoint = Endpoint::start();
    let file = endpoint.path("backup.tar");
    let file = file.to_str().unwrap();
    let backed_up = endpoint.command(&["backup", file, "--json"]).await;
    assert_eq!(parse("backup", &backed_up), json!({ "did": "backed_up", "file": file }));
    tokio::task::block_in_place(|| endpoint.terminate());
    let restored = endpoint.command(&["restore", file, "--overwrite", "--json"]).await;
    assert_eq!(parse("restore", &restored), json!({ "did": "restored", "file": file }));
}
