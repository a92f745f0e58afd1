//! Builds that end too early, and builds that meet.

use std::time::Duration;

use build_tests::ground::{Ground, Has};

#[test]
fn a_build_killed_in_any_stage_is_taken_up_again() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    std::fs::remove_dir_all(ground.path("cache/initramfs")).expect("it can be removed");
    ground.change_hostd();
    for stage in ["initramfs", "commit", "disk"] {
        ground.kill_in(stage);
        assert_eq!(ground.versions(), [""; 0], "after a kill in `{stage}`");
        if stage == "initramfs" {
            assert!(!ground.has_cached(stage));
        }
    }
    let built = ground.build();
    assert_eq!(ground.versions(), ["1"], "{}", built.stderr);
    let Some(other) = Ground::prepare(Has::Everything) else { return };
    other.change_hostd();
    assert_eq!(other.build().commit(), built.commit());
}

#[test]
fn half_a_tree_is_none() {
    let Some(ground) = Ground::prepare(Has::Packages) else { return };
    let mut running = ground.start("log");
    ground.wait_until("log", "installing", &mut running);
    running.kill();
    assert!(!ground.has_cached("tree"));
    assert_eq!(ground.versions(), [""; 0]);
}

#[test]
fn two_builds_at_once_wait_for_each_other() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    let mut first = ground.start("first");
    ground.wait_until("first", "…", &mut first);
    let mut second = ground.start("second");
    ground.wait_until("second", "waiting for another build", &mut second);
    for build in [&mut first, &mut second] {
        let ended = build.wait_for(Duration::from_secs(600)).expect("the build is ours");
        assert!(ended.is_some_and(|status| status.success()));
    }
    assert_eq!(ground.versions(), ["1"]);
}
