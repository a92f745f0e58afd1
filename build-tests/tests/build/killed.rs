//! Builds that end too early, and builds that meet.

use std::fs;
use std::time::Duration;

use build_tests::ground::{Ground, Has};
use build_tests::mirror::Mirror;

/// Packages that come before the mirror stalls.
const SOME: usize = 20;

/// Made as the commit begins to be taken out of the cache.
const EXPORT: &str = "out/repo/objects";

/// Where a build is killed: as a stage begins, or late in it, once it has made this.
const MOMENTS: [(&str, Option<&str>); 7] = [
    ("initramfs", None),
    ("initramfs", Some("cache/tmp/initramfs/output/initramfs.img")),
    ("commit", None),
    ("commit", Some("cache/tmp/compose/usr/etc")),
    ("commit", Some(EXPORT)),
    ("disk", None),
    ("disk", Some("out/base/.1.new/disk.raw")),
];

#[test]
fn a_build_killed_in_any_stage_is_taken_up_again() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    fs::remove_dir_all(ground.path("cache/initramfs")).expect("it can be removed");
    ground.change_hostd();
    for (stage, made) in MOMENTS {
        ground.kill_in(stage, made);
        assert_eq!(ground.versions(), [""; 0], "after a kill in `{stage}`, {made:?}");
        if stage == "initramfs" && made.is_none() {
            assert!(!ground.has_cached(stage));
        }
        if made == Some(EXPORT) {
            let half = ground.path("out/repo/refs/heads/basalt/trixie/x86_64/base");
            assert!(!half.exists(), "half a commit has a name");
        }
    }
    let built = ground.build();
    assert_eq!(ground.versions(), ["1"], "{}", built.stderr);
    let Some(other) = Ground::prepare(Has::Everything) else { return };
    other.change_hostd();
    assert_eq!(other.build().commit(), built.commit());
    // As a kill leaves it before the last step, the rename of what is whole already.
    let (place, staging) = (ground.path("out/base/1"), ground.path("out/base/.1.new"));
    fs::rename(place, &staging).expect("it can be moved");
    assert!(staging.join("manifest.json").exists() && !ground.has_cached("disk"));
    assert_eq!(ground.build().commit(), built.commit());
    assert!(!staging.exists());
    assert_eq!(ground.versions(), ["1"]);
}

/// From nothing: killed while it asks for the lock, while it fetches, and while it installs.
#[test]
fn half_a_lock_half_a_package_and_half_a_tree_are_none() {
    let Some(ground) = Ground::prepare(Has::Nothing) else { return };
    let lock = fs::read(ground.path("images/base.lock")).expect("a lock");
    let packages = ground.shared_packages();
    let mirror = Mirror::of(&ground.path("images/base.lock"), SOME, &packages);
    mirror.take_over(&ground.path("images/base.toml"));

    let mut running = ground.start_with("lock", &["--update"]);
    ground.wait_until("lock", "lock …", &mut running);
    running.kill();
    assert_eq!(fs::read(ground.path("images/base.lock")).expect("a lock"), lock);

    let mut running = ground.start_with("fetch", &["--locked"]);
    ground.wait_for("some packages", &mut running, || ground.cached_packages().len() >= SOME);
    running.kill();
    let there = ground.cached_packages();
    assert_eq!(there.len(), SOME, "{there:?}");
    for name in &there {
        let whole = fs::metadata(packages.join(name)).expect("the mirror has it").len();
        let found = fs::metadata(ground.path("cache/packages").join(name)).expect("it is there");
        assert_eq!(found.len(), whole, "{name}");
    }

    mirror.recover();
    let mut running = ground.start_with("tree", &["--locked"]);
    ground.wait_until("tree", "installing", &mut running);
    running.kill();
    assert!(ground.has_cached("fetch") && !ground.has_cached("tree"));
    assert_eq!(ground.versions(), [""; 0]);
}

/// A file that changed in the cache after it was committed goes into no image: it is made again.
#[test]
fn what_is_damaged_in_the_cache_is_said_and_made_again() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    ground.change_hostd();
    let built = ground.build();
    fs::remove_dir_all(ground.path("out")).expect("it can be removed");
    ground.damage_what_no_other_ground_has();
    let again = ground.build();
    let said = "the cache is damaged, what is damaged is made again: ";
    assert!(again.stderr.contains(said), "{}", again.stderr);
    assert_eq!(again.commit(), built.commit());
    fs::remove_dir_all(ground.path("out")).expect("it can be removed");
    assert!(!ground.build().stderr.contains("damaged"));
}

#[test]
fn two_builds_at_once_wait_for_each_other() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    let mut first = ground.start_with("first", &["--locked"]);
    ground.wait_until("first", "…", &mut first);
    let mut second = ground.start_with("second", &["--locked"]);
    let waits = "waiting for another build that uses the same output folder";
    ground.wait_until("second", waits, &mut second);
    for build in [&mut first, &mut second] {
        let ended = build.wait_for(Duration::from_secs(600)).expect("the build is ours");
        assert!(ended.is_some_and(|status| status.success()));
    }
    assert_eq!(ground.versions(), ["1"]);
}

#[test]
fn two_builds_into_two_folders_wait_for_the_cache_that_they_share() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    let mut first = ground.start_with("first", &["--locked"]);
    ground.wait_until("first", "…", &mut first);
    let mut second = ground.start_into("other", "second");
    ground.wait_until("second", "waiting for another build that uses the same cache", &mut second);
    for build in [&mut first, &mut second] {
        let ended = build.wait_for(Duration::from_secs(600)).expect("the build is ours");
        assert!(ended.is_some_and(|status| status.success()));
    }
    let commit = |out: &str| {
        let text = fs::read_to_string(ground.path(out).join("base/1/manifest.json"));
        let manifest: serde_json::Value =
            serde_json::from_str(&text.expect("a manifest")).expect("it is JSON");
        manifest["commit"].clone()
    };
    assert_eq!(commit("out"), commit("other"));
}
