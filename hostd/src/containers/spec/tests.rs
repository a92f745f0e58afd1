//! Every field of a container, as the engine is asked for it: golden files in `../golden`, written
//! anew where `BASALT_GOLDEN=write` is set.

use std::path::Path;

use serde_json::{Value, json};

use super::super::samples;
use super::*;

/// Compares what `spec` becomes with `golden/NAME.json`.
fn check(name: &str, container: &Value, resources: &Value) {
    let make = samples::from(json!({
        "name": "web", "kind": "container", "resources": resources, "container": container,
    }));
    let wanted = wanted(&make).unwrap();
    let seen = json!({ "name": wanted.name, "container": wanted.body, "volumes": wanted.volumes });
    let seen = format!("{}\n", serde_json::to_string_pretty(&sorted(seen)).unwrap());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/containers/golden");
    let path = folder.join(format!("{name}.json"));
    if std::env::var_os("BASALT_GOLDEN").is_some_and(|how| how == "write") {
        std::fs::write(&path, &seen).unwrap();
    }
    assert_eq!(seen, std::fs::read_to_string(&path).unwrap_or_default(), "{}", path.display());
}

/// Keys in the order of their names, wherever they came from.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let map: std::collections::BTreeMap<String, Value> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            serde_json::to_value(map).unwrap()
        }
        Value::Array(values) => values.into_iter().map(sorted).collect(),
        plain => plain,
    }
}

#[test]
fn the_smallest_container_leaves_the_image_its_own_words() {
    check("smallest", &json!({ "image": "web" }), &json!({}));
}

#[test]
fn every_field_reaches_the_engine() {
    check(
        "everything",
        &json!({
            "image": "registry.example:5000/shop/web:3",
            "entrypoint": ["/bin/serve", "-v"],
            "command": ["--port", "80"],
            "environment": { "LOG": "info", "EMPTY": "" },
            "secrets": [
                { "name": "db-password" },
                { "name": "key", "path": "/etc/web/key" },
                { "name": "token", "variable": "TOKEN" },
            ],
            "user": "1000:1000",
            "working_dir": "/srv",
            "ports": [
                { "host": 8080, "container": 80 },
                { "host": 8081, "container": 80, "address": "127.0.0.1" },
                { "host": 53, "container": 53, "protocol": "udp", "address": "::1" },
            ],
            "volumes": [
                { "name": "data", "path": "/data" },
                { "host": "/srv/static", "path": "/static", "read_only": true },
            ],
            "devices": [{ "host": "/dev/kvm" }, { "host": "/dev/null", "path": "/dev/none" }],
            "pids_limit": 64,
            "read_only": true,
            "privileged": true,
        }),
        &json!({ "cpus": 1.5, "memory_mib": 256 }),
    );
}

#[test]
fn a_container_in_the_hosts_network_has_the_hosts_name() {
    check("host-network", &json!({ "image": "web", "network": "host" }), &json!({}));
}

#[test]
fn the_smallest_share_of_a_processor_is_one_that_the_kernel_takes() {
    let share = |milli| processor_share(Cpus::from_milli(milli));
    assert_eq!(share(500), (100_000, 50_000));
    assert_eq!(share(4_096_000), (100_000, 409_600_000));
    for milli in [1, 9, 10, 11] {
        assert!(share(milli).1 >= 1000, "{milli}");
    }
}

fn check_refused(container: &Value, expected: &str) {
    let spec = json!({ "name": "web", "kind": "container", "container": container });
    let error = wanted(&samples::from(spec)).unwrap_err();
    assert_eq!(error.kind, Failure::Workload);
    assert!(error.message.contains(expected), "{error}");
}

#[test]
fn a_path_cannot_say_more_than_it_does() {
    let host = |host: &str| json!({ "image": "a", "volumes": [{ "host": host, "path": "/b" }] });
    check_refused(&host("/a:/etc"), "take no `:`");
    check_refused(&host("/a,ro=false"), "take no `:`");
    check_refused(
        &json!({ "image": "a", "volumes": [{ "name": "v", "path": "/b,source=/etc" }] }),
        "take no `:`",
    );
    check_refused(
        &json!({ "image": "a", "devices": [{ "host": "/dev/a", "path": "/dev/b:rwm" }] }),
        "take no `:`",
    );
    check_refused(
        &json!({ "image": "a", "secrets": [{ "name": "s", "path": "/s:rw" }] }),
        "take no `:`",
    );
}

#[test]
fn a_secret_without_a_value_is_told_by_name() {
    let mut make = samples::from(json!({
        "name": "web", "kind": "container",
        "container": { "image": "web", "secrets": [{ "name": "key" }] },
    }));
    make.secrets.clear();
    let error = wanted(&make).unwrap_err();
    assert_eq!(error.message, "the secret `key` has no value here");
}

#[test]
fn what_no_variable_can_hold_is_refused_without_showing_it() {
    let mut make = samples::from(json!({
        "name": "web", "kind": "container",
        "container": { "image": "web", "secrets": [{ "name": "key", "variable": "KEY" }] },
    }));
    for value in [&b"canary\0"[..], b"canary\xff"] {
        make.secrets.insert("key".parse().unwrap(), value.to_vec());
        let error = wanted(&make).unwrap_err();
        assert!(error.message.contains("no variable can hold"), "{error}");
        assert!(!error.message.contains("canary"), "{error}");
    }
}
