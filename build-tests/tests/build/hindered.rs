//! Builds in whose way something stands.

use std::fs;

use build_tests::ground::{Ground, Has};
use build_tests::hindrance::Hindrance;

#[test]
fn without_room_for_the_disk_it_says_so_and_a_later_build_succeeds() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    let out = ground.path("out");
    fs::create_dir(&out).expect("a folder");
    let full = ground.build_hindered(&Hindrance::Full(&out, 200));
    assert_eq!(full.code, Some(1));
    assert!(full.stderr.contains("No space left on device"), "{}", full.stderr);
    let hint = "\nhint: free some space there, or name another folder with `--out`";
    assert!(full.stderr.contains(hint), "{}", full.stderr);
    ground.build().commit();
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
