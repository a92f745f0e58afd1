//! Publishing to an archive, and what a host's own tools make of it.

mod ground;
mod killed;
mod remote;
#[path = "../step/mod.rs"]
mod step;

use std::fs::{self, File};
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_builder::key;
use basalt_builder::progress::Progress;
use basalt_builder::publish::{self, Options};
use basalt_cmd::Cmd;
use basalt_deploy::Repo;
use rustix::fs::{FlockOperation, flock};

use ground::{Ground, REF, noise};

const DEADLINE: Duration = Duration::from_secs(60);

#[test]
fn a_release_is_offered_with_a_delta_and_a_manifest_that_its_key_signed() {
    let ground = Ground::new();
    let mut program = noise(1, 400_000);
    let one = ground.build("1", &program, Some("release.key"));
    let first = ground.publish().manifest;
    assert_eq!((first.version.as_str(), first.sequence), ("1", 1_000));
    assert_eq!((first.commit.as_str(), first.boot_bytes), (one.as_str(), 10_000));
    assert!(first.deltas.is_empty() && first.download_bytes > 400_000, "{first:?}");

    program[200_000] ^= 1;
    let two = ground.build("2", &program, Some("release.key"));
    let published = ground.publish();
    let second = &published.manifest;
    assert_eq!((second.version.as_str(), second.sequence), ("2", 1_001));
    let [delta] = &second.deltas[..] else { panic!("{second:?}") };
    assert_eq!(delta.from, one);
    assert!(delta.bytes < 20_000, "a byte in 400 000 changed: {delta:?}");
    // A host that unpacks it has the whole file anew, and the folders above it.
    assert!((400_000..500_000).contains(&delta.tree_bytes), "{delta:?}");
    let total: u64 = second.boot_files.iter().map(|file| file.bytes).sum();
    assert_eq!((second.boot_files.len(), total), (2, second.boot_bytes));
    assert_eq!(ground.offered(&published.file), *second);
    assert_eq!(ground.offered(&ground.path("site/releases/base/1.json")), first);
    let refs = Repo::open(&ground.path("site")).unwrap().refs().unwrap();
    assert_eq!(refs[REF], two);
    assert_eq!(refs["releases/base/1"], one);
}

/// With what Debian has, as a host would: signatures of the commit and of the summary, and nothing
/// but the delta.
#[test]
fn ostree_itself_follows_the_delta_and_takes_no_other_key() {
    let ground = Ground::new();
    let mut program = noise(2, 400_000);
    let one = ground.build("1", &program, Some("release.key"));
    ground.publish();
    let host = ground.path("host");
    let repo = format!("--repo={}", host.display());
    let ostree = |args: &[&str]| Cmd::new("ostree").args(args).arg(&repo);
    ostree(&["init", "--mode=bare-user"]).run().unwrap();
    let url = format!("file://{}", ground.path("site").display());
    key::create("foreign", ground.dir.path()).unwrap();
    for (remote, key) in [("ours", "release.pub"), ("theirs", "foreign.pub")] {
        let import = format!("--gpg-import={}", ground.path(key).display());
        let verify = "--set=gpg-verify-summary=true";
        ostree(&["remote", "add", verify, &import, remote, &url]).run().unwrap();
    }
    ostree(&["pull", "ours", REF]).run().unwrap();
    program[100_000] ^= 1;
    let two = ground.build("2", &program, Some("release.key"));
    ground.publish();
    ostree(&["pull", "theirs", REF]).run().unwrap_err();
    ostree(&["pull", "--require-static-deltas", "ours", REF]).run().unwrap();
    let has = |commit: &str| ostree(&["rev-parse", commit]).run().is_ok();
    assert!(has(&one) && has(&two));
    assert_eq!(ostree(&["rev-parse", &format!("ours:{REF}")]).run().unwrap().stdout_text(), two);
    ostree(&["fsck"]).run().unwrap();
}

#[test]
fn the_same_release_published_again_is_newer_and_nothing_else() {
    let ground = Ground::new();
    let commit = ground.build("1", b"program", Some("release.key"));
    ground.publish();
    let again = ground.publish().manifest;
    assert_eq!((again.commit, again.sequence, again.deltas), (commit, 1_001, Vec::new()));
}

#[test]
fn what_must_not_be_published_is_refused_and_offers_what_was_offered_before() {
    let ground = Ground::new();
    ground.build("1", b"one", Some("release.key"));
    let before = ground.publish();

    ground.build("1", b"other", Some("release.key"));
    let said = ground.refused(&ground.options());
    assert!(said.contains("version 1 was published on"), "{said}");

    ground.build("2", b"two", None);
    let said = ground.refused(&ground.options());
    assert!(said.contains("not signed by this key\nhint: "), "{said}");

    key::create("foreign", ground.dir.path()).unwrap();
    ground.build("2", b"two", Some("foreign.key"));
    let said = ground.refused(&ground.options());
    assert!(said.contains("not signed by this key"), "{said}");

    fs::remove_file(ground.path("release.manifest.key")).unwrap();
    ground.build("2", b"two", Some("release.key"));
    let said = ground.refused(&ground.options());
    assert!(said.contains("has no half that signs release manifests"), "{said}");

    let said = ground.refused(&Options { source: ground.path("site"), ..ground.options() });
    assert!(said.contains("has no half"), "{said}");
    let offered = fs::read(&before.file).unwrap();
    assert!(!offered.is_empty());
    let refs = Repo::open(&ground.path("site")).unwrap().refs().unwrap();
    assert_eq!(refs[REF], before.manifest.commit);
}

#[test]
fn a_key_after_another_goes_on_with_its_releases() {
    let ground = Ground::new();
    let mut program = noise(3, 400_000);
    let one = ground.build("1", &program, Some("release.key"));
    ground.publish();
    key::create("next", ground.dir.path()).unwrap();
    program[200_000] ^= 1;
    ground.build("2", &program, Some("next.key"));
    let trust = vec![ground.path("release.pub")];
    let options = Options { sign_key: ground.path("next.key"), trust, ..ground.options() };
    let said = publish::publish(&options, Progress::Silent).unwrap();
    assert_eq!(said.manifest.sequence, 1_001);
    let from: Vec<_> = said.manifest.deltas.iter().map(|delta| delta.from.clone()).collect();
    assert_eq!(from, [one]);
    ground.build("1", b"other", Some("next.key"));
    let said = ground.refused(&options);
    assert!(said.contains("version 1 was published on"), "{said}");
    let said = ground.refused(&Options { trust: vec![ground.path("release.key")], ..options });
    assert!(said.contains("it holds the secret half"), "{said}");
}

#[test]
fn a_repository_that_is_none_or_an_archive_is_named() {
    let ground = Ground::new();
    ground.build("1", b"one", Some("release.key"));
    ground.publish();
    let said = ground.refused(&Options { source: ground.path("nowhere"), ..ground.options() });
    assert!(said.contains("nowhere") && said.contains("basalt build"), "{said}");
    let said = ground.refused(&Options { source: ground.path("site"), ..ground.options() });
    assert!(said.contains("it is an archive"), "{said}");
}

#[test]
fn one_that_waits_says_that_it_waits_for_another_publication() {
    let ground = Ground::new();
    ground.build("1", b"one", Some("release.key"));
    ground.publish();
    let held = File::open(ground.path("site/.publish.lock")).unwrap();
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let log = ground.path("log");
    let said = File::create(&log).unwrap().into();
    let publish = ground.command().spawn(Stdio::null(), Stdio::null(), said);
    let mut publish = publish.unwrap();
    let until = Instant::now() + DEADLINE;
    let waits = "waiting for another publication that uses the same archive …";
    while !fs::read_to_string(&log).unwrap().contains(waits) {
        let ended = publish.wait_for(Duration::from_millis(20)).unwrap();
        let said = fs::read_to_string(&log).unwrap();
        assert!(ended.is_none() && Instant::now() < until, "{ended:?}: {said}");
    }
    drop(held);
    assert!(publish.wait_for(DEADLINE).unwrap().expect("it ends").success());
}
