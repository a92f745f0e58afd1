//! Builds in whose way something stands.

use std::fs;

use build_tests::ground::{Ground, Has};
use build_tests::hindrance::Hindrance;

/// Room for a part of the repository, and for the repository but not for the disk.
#[test]
fn without_room_for_the_export_or_the_disk_it_says_so_and_a_later_build_succeeds() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    let out = ground.path("out");
    fs::create_dir(&out).expect("a folder");
    let for_the_repository = "hint: free some space there, or name another folder with `--out`";
    let for_the_disk = "hint: free some space there, or build into another folder with `--out`";
    let rooms = [(200, "commit …", for_the_repository), (1100, "disk …", for_the_disk)];
    for (room, last_stage, hint) in rooms {
        let full = ground.build_hindered(&Hindrance::Full(&out, room));
        assert_eq!(full.code, Some(1));
        let mut stages = full.stderr.lines().filter(|line| line.ends_with(" …"));
        assert_eq!(stages.next_back(), Some(last_stage), "{}", full.stderr);
        said_what_to_do(&full.stderr, hint);
    }
    ground.build().commit();
}

/// What a build that found no more room left in the cache is no harm to the next one.
#[test]
fn in_a_full_cache_it_says_so_and_with_room_it_is_taken_up_again() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    ground.change_hostd();
    let cache = ground.path("cache");
    let later = ground.build_hindered(&Hindrance::FullAtFirst(&cache, 100));
    let full = fs::read_to_string(ground.path("cache.first")).expect("it was built twice");
    let hint = "hint: free some space there, or name another folder with `--cache`";
    said_what_to_do(&full, hint);
    assert!(full.ends_with("\nexit code 1\n"), "{full}");
    assert!(!later.stderr.contains("damaged"), "{}", later.stderr);
    // Nothing of all that reached the cache itself: this is a build that was never hindered.
    assert_eq!(ground.versions(), ["1"]);
    let Some(other) = Ground::prepare(Has::Everything) else { return };
    other.change_hostd();
    assert_eq!(other.build().commit(), later.commit());
}

/// That there is no space, and a hint of its own line, with the flag that names another folder.
fn said_what_to_do(said: &str, hint: &str) {
    assert!(said.lines().any(|line| line == hint), "{said}");
    assert!(said.contains("error: no space left"), "{said}");
}

#[test]
fn an_output_folder_that_cannot_be_written_is_named() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    let out = ground.path("out");
    fs::create_dir(&out).expect("a folder");
    let refused = ground.build_hindered(&Hindrance::ReadOnly(&out));
    assert_eq!(refused.code, Some(1));
    let name = out.display().to_string();
    assert!(refused.stderr.contains(&name), "{}", refused.stderr);
    assert!(refused.stderr.contains("Read-only file system"), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("hint: name another one with `--out DIR`"),
        "{}",
        refused.stderr
    );
}

#[test]
fn without_a_network_a_full_cache_suffices() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    ground.change_hostd();
    ground.build_hindered(&Hindrance::NoNetwork).commit();
}

#[test]
fn without_a_network_and_packages_it_says_what_to_do() {
    let Some(ground) = Ground::prepare(Has::Nothing) else { return };
    let refused = ground.build_hindered(&Hindrance::NoNetwork);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("error: cannot get `"), "{}", refused.stderr);
    assert!(refused.stderr.contains("\nhint: check the network"), "{}", refused.stderr);
    assert!(refused.stderr.lines().count() < 60, "{}", refused.stderr);
}

#[test]
fn a_key_that_is_none_is_refused_before_anything_is_built() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    let key = ground.path("release.key");
    fs::write(&key, "no key at all\n").expect("a file");
    let output = ground.command().arg("--sign-key").arg(&key).output().expect("basalt runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("release.key"), "{said}");
    assert!(!ground.path("out/base").exists());
}
