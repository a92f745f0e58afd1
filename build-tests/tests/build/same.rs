//! The same inputs.

use build_tests::ground::{Ground, Has};
use build_tests::hindrance::Hindrance;

/// The image was built by root; this one is built by a user, from the packages up, in another
/// folder and with another cache.
#[test]
fn the_same_inputs_give_the_same_commit_as_root_and_as_a_user() {
    let Some(ground) = Ground::prepare(Has::Packages) else { return };
    let version = ground.image["version"].as_str().expect("a version").to_owned();
    let command = ground.command().args(["--version", &version]);
    let output = Hindrance::Nobody(ground.root()).around(command).output().expect("basalt runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let built: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(built["build_id"], ground.image["build_id"]);
    assert_eq!(built["commit"], ground.image["commit"]);
}
