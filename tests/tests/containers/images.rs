//! Images from a registry, and every way in which they do not come.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use basalt_cmd::Cmd;
use basalt_tests::engine::Kind;
use basalt_tests::ground::{ADDRESS, Ground};
use basalt_tests::image::Image;
use basalt_tests::registry::{PASSWORD, Registry, USER};
use hostd::containers::{Containers, Settings};
use hostd::registries::{Login, Registries, Registry as Known};
use hostd::runtime::{Failure, Runtime};
use serde_json::json;

use crate::stage::{Stage, settings};

crate::on_both!(
    an_image_comes_by_tag_and_by_digest,
    what_a_registry_does_not_give_is_told_in_a_sentence,
    bytes_that_are_not_what_their_hash_says_are_refused,
    a_registry_that_stalls_is_given_up,
    a_full_disk_is_told,
    an_image_that_is_too_large_is_refused_and_leaves_nothing,
    an_image_that_is_too_large_is_given_up_while_it_comes,
);

const PORT: u16 = 5443;
/// Short, so that a test of a stall is.
const STALL: Duration = Duration::from_secs(2);

/// A stage with an empty engine and a registry, which the runtime knows.
fn with_registry(kind: Kind) -> Option<(Stage, Registry)> {
    Ground::prepare_empty(kind).map(registry_in)
}

fn registry_in(ground: Ground) -> (Stage, Registry) {
    let registry = Registry::start(&ground, PORT);
    let known = known(&ground, &registry, Some(registry.ca()), PASSWORD);
    let runtime = Containers::new(Settings { registries: known, ..settings(&ground) });
    (Stage { runtime, ground }, registry)
}

fn known(ground: &Ground, registry: &Registry, ca: Option<PathBuf>, password: &str) -> Registries {
    // Each password has a file of its own: it is read when it is used.
    let password_file = ground.path(&format!("password of {} bytes", password.len()));
    std::fs::write(&password_file, format!("{password}\n")).unwrap();
    let login = Some(Login { username: USER.to_owned(), password_file });
    let mut registries = Registries::default();
    registries.insert(&registry.host, Known { ca, login });
    registries
}

async fn an_image_comes_by_tag_and_by_digest(kind: Kind) {
    let Some((stage, registry)) = with_registry(kind) else { return };
    let digest = registry.fill("shop/web", "3", &Image::tiny("-").heavier(3 << 20));
    let host = registry.host.clone();
    let images = [format!("{host}/shop/web:3"), format!("{host}/shop/web@{digest}")];
    for (number, image) in (1..).zip(&images) {
        let make = stage.make(number, json!({ "image": image, "command": ["echo", "here"] }));
        stage.runtime.prepare(&make).await.unwrap();
        stage.run(&make).await;
        assert_eq!(stage.output(&make).await, "here\n");
    }
    // What is here is not asked for again: the registry may be gone.
    drop(registry);
    for (number, image) in (1..).zip(&images) {
        let make = stage.make(number, json!({ "image": image, "command": ["echo", "here"] }));
        stage.runtime.prepare(&make).await.unwrap();
    }
    // Nothing of the password is told.
    assert!(!stage.ground.engine.log().contains(PASSWORD));
}

/// Why an image does not come.
async fn failure(stage: &Stage, image: &str) -> String {
    failure_as(stage, image, Failure::Workload).await
}

/// Why an image does not come, where that may be otherwise later.
async fn passing_failure(stage: &Stage, image: &str) -> String {
    failure_as(stage, image, Failure::Passing).await
}

async fn failure_as(stage: &Stage, image: &str, kind: Failure) -> String {
    let make = stage.make(1, json!({ "image": image }));
    let error = stage.runtime.prepare(&make).await.expect_err("it does not come");
    assert_eq!(error.kind, kind, "{error}");
    assert!(!error.message.contains(PASSWORD));
    error.message
}

async fn what_a_registry_does_not_give_is_told_in_a_sentence(kind: Kind) {
    let Some((mut stage, registry)) = with_registry(kind) else { return };
    let _ = registry.fill("shop/web", "3", &Image::tiny("-"));
    let host = &registry.host;
    let wrong = format!("{host}/shop/web@sha256:{}", "0".repeat(64));
    for (image, expected) in [
        (format!("{host}/shop/none:1"), format!("`{host}` has no image `{host}/shop/none:1`")),
        (format!("{host}/shop/web:9"), format!("`{host}` has no image `{host}/shop/web:9`")),
        (wrong.clone(), format!("`{host}` has no image `{wrong}`")),
        (
            "nowhere.invalid/a:1".to_owned(),
            "the name `nowhere.invalid` does not resolve".to_owned(),
        ),
    ] {
        assert_eq!(failure(&stage, &image).await, expected);
    }
    let away = passing_failure(&stage, &format!("{ADDRESS}:1/a:1")).await;
    assert_eq!(away, format!("`{ADDRESS}:1` refuses connections"));

    let image = format!("{host}/shop/web:3");
    let with = |ca, password: &str| {
        let registries = known(&stage.ground, &registry, ca, password);
        Containers::new(Settings { registries, ..settings(&stage.ground) })
    };
    let runtimes = [
        with(Some(registry.ca()), "wrong"),
        with(None, PASSWORD),
        with(Some("/nowhere/ca.pem".into()), PASSWORD),
    ];
    let expected = [
        format!("`{host}` does not accept our credentials"),
        format!("the certificate of `{host}` is from an authority that this host does not"),
        "`/nowhere/ca.pem`, which `[registries]` names, cannot be read".to_owned(),
    ];
    for (runtime, expected) in runtimes.into_iter().zip(expected) {
        stage.runtime = runtime;
        let message = failure(&stage, &image).await;
        assert!(message.starts_with(&expected), "{message}");
    }
}

async fn bytes_that_are_not_what_their_hash_says_are_refused(kind: Kind) {
    let Some((stage, registry)) = with_registry(kind) else { return };
    let image = Image::tiny("-");
    let digest = registry.fill("shop/web", "3", &image);
    registry.damage(image.layer());
    let host = &registry.host;
    let image = format!("{host}/shop/web@{digest}");
    let lies = format!("what `{host}` sends for `{image}` is not what its hash says");
    assert_eq!(failure(&stage, &image).await, lies);
    let make = stage.make(1, json!({ "image": image }));
    let error = stage.create_error(&make).await;
    assert_eq!(error.message, format!("the image `{image}` is not here"));
}

async fn a_registry_that_stalls_is_given_up(kind: Kind) {
    let Some(mut stage) = crate::stage::stage(kind) else { return };
    // It takes connections and says nothing: the kernel accepts them for it.
    let listener = TcpListener::bind((ADDRESS, 0)).unwrap();
    let host = listener.local_addr().unwrap().to_string();
    stage.runtime = Containers::new(Settings { stall: STALL, ..settings(&stage.ground) });
    let began = Instant::now();
    let image = format!("{host}/a:1");
    let expected = format!("`{host}` stalls: no progress for 2 s with `{image}`");
    assert_eq!(passing_failure(&stage, &image).await, expected);
    assert!(began.elapsed() < STALL + Duration::from_secs(5), "{:?}", began.elapsed());
    // However it moves, it has an end.
    let total = Duration::from_secs(1);
    stage.runtime = Containers::new(Settings { total, ..settings(&stage.ground) });
    let expected = format!("`{host}` is too slow: `{image}` is not here after 1 s");
    assert_eq!(passing_failure(&stage, &image).await, expected);
    // Others are not held up by the fetch that hangs.
    let make = stage.script(2, "exit 0");
    stage.run(&make).await;
    stage.end_of(&make).await;
}

async fn a_full_disk_is_told(kind: Kind) {
    let Some(ground) = Ground::prepare_small(kind, 24) else { return };
    let (stage, registry) = registry_in(ground);
    let _ = registry.fill("shop/web", "3", &Image::tiny("-").heavier(32 << 20));
    let _ = registry.fill("shop/web", "4", &Image::tiny("-"));
    let large = format!("{}/shop/web:3", registry.host);
    let expected = format!("no space left on the disk for `{large}`");
    assert_eq!(failure(&stage, &large).await, expected);
    // What failed takes no room from others.
    let small = format!("{}/shop/web:4", registry.host);
    let make = stage.make(2, json!({ "image": small, "command": ["echo", "here"] }));
    stage.runtime.prepare(&make).await.unwrap();
    stage.run(&make).await;
    assert_eq!(stage.output(&make).await, "here\n");
}

async fn an_image_that_is_too_large_is_refused_and_leaves_nothing(kind: Kind) {
    let Some((mut stage, registry)) = with_registry(kind) else { return };
    let _ = registry.fill("shop/web", "heavy", &Image::tiny("-").heavier(12 << 20));
    let _ = registry.fill("shop/web", "packed", &Image::tiny("-").packed_with_zeros(12 << 20));
    let registries = known(&stage.ground, &registry, Some(registry.ca()), PASSWORD);
    let settings = settings(&stage.ground);
    stage.runtime = Containers::new(Settings { registries, max_image_bytes: 8 << 20, ..settings });
    for tag in ["heavy", "packed"] {
        let image = format!("{}/shop/web:{tag}", registry.host);
        let told = failure(&stage, &image).await;
        assert!(told.starts_with(&format!("`{image}` is too large: ")), "{told}");
        // A fast one is here before the engine says how large it is.
        let on_disk = told.contains("it takes 1");
        assert!(on_disk || (tag == "heavy" && told.contains(" MiB or more are sent")), "{told}");
        let most = ", and this host takes 8 MiB at most (hostd.toml: [containers] max_image_gib)";
        assert!(told.ends_with(most), "{told}");
        let there = stage.ground.engine.ask("GET /images/json?all=true").json();
        assert_eq!(there, json!([]), "{tag}");
    }
    // One that somebody put there is not ours to remove, and not used.
    stage.ground.engine.load(&Image::tiny("example.test/heavy:1").heavier(12 << 20));
    let told = failure(&stage, "example.test/heavy:1").await;
    assert!(told.contains("it takes 1"), "{told}");
    let there = stage.ground.engine.ask("GET /images/json").json();
    assert_eq!(there.as_array().unwrap().len(), 1);
    // What is small enough comes.
    let _ = registry.fill("shop/web", "small", &Image::tiny("-"));
    let make = stage.make(2, json!({ "image": format!("{}/shop/web:small", registry.host) }));
    stage.runtime.prepare(&make).await.unwrap();
}

async fn an_image_that_is_too_large_is_given_up_while_it_comes(kind: Kind) {
    let Some((mut stage, registry)) = with_registry(kind) else { return };
    let _ = registry.fill("shop/web", "heavy", &Image::tiny("-").heavier(32 << 20));
    let registries = known(&stage.ground, &registry, Some(registry.ca()), PASSWORD);
    let settings = settings(&stage.ground);
    stage.runtime = Containers::new(Settings { registries, max_image_bytes: 8 << 20, ..settings });
    // A MiB in a second, in this test's own network.
    let slow = ["qdisc", "add", "dev", "lo", "root", "tbf", "rate", "8mbit", "burst", "128kb"];
    Cmd::new("tc").args(slow).args(["latency", "1s"]).run().unwrap();
    let began = Instant::now();
    let told = failure(&stage, &format!("{}/shop/web:heavy", registry.host)).await;
    assert!(told.contains(" MiB or more are sent"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(24), "{:?}", began.elapsed());
}
