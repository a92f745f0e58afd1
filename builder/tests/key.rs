//! Release keys and what may go wrong around them. A secret key lies in a temporary folder while it
//! is used; some of these end `basalt` meanwhile.

mod step;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_builder::key;
use basalt_cmd::{Cmd, Running};
use tempfile::TempDir;

use step::is_killed_at;

const DEADLINE: Duration = Duration::from_secs(60);

/// A folder with a `gpg` that says which home it was given, and then takes for ever.
fn ground() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let script = "#!/bin/sh\nfor word; do [ \"$last\" != --homedir ] || home=$word; last=$word; done\n\
                  echo secret >\"$home/secret\"; echo \"$home\" >\"${0%/*}/new\"\n\
                  mv \"${0%/*}/new\" \"${0%/*}/home\"; exec sleep 600\n";
    let gpg = folder.path().join("gpg");
    fs::write(&gpg, script).expect("a program");
    fs::set_permissions(&gpg, fs::Permissions::from_mode(0o755)).expect("it is ours");
    folder
}

/// Starts to make a key, and waits until the home that it is made in holds a secret.
fn start(ground: &Path) -> (Running, PathBuf) {
    let path = std::env::var("PATH").unwrap_or_default();
    let cmd = Cmd::new(env!("CARGO_BIN_EXE_basalt"))
        .args(["key", "create", "--out"])
        .arg(ground)
        .env("PATH", format!("{}:{path}", ground.display()));
    let mut running = cmd.spawn(Stdio::null(), Stdio::null(), Stdio::inherit()).expect("it runs");
    let until = Instant::now() + DEADLINE;
    loop {
        if let Ok(home) = fs::read_to_string(ground.join("home")) {
            let home = PathBuf::from(home.trim());
            assert!(home.join("secret").exists());
            return (running, home);
        }
        let ended = running.wait_for(Duration::from_millis(20)).expect("it is ours");
        assert!(ended.is_none() && Instant::now() < until, "it never ran gpg: {ended:?}");
    }
}

#[test]
fn a_signal_leaves_no_secret_behind() {
    let ground = ground();
    let (mut running, home) = start(ground.path());
    running.terminate();
    let ended = running.wait_for(DEADLINE).expect("it is ours").expect("it ends");
    assert_eq!(ended.signal(), Some(15));
    assert!(!home.exists());
}

#[test]
fn what_a_kill_left_behind_goes_with_the_next_key() {
    let ground = ground();
    let (mut running, home) = start(ground.path());
    running.kill();
    assert!(home.exists());
    let next = tempfile::tempdir().expect("a folder");
    Cmd::new(env!("CARGO_BIN_EXE_basalt"))
        .args(["key", "create", "--out"])
        .arg(next.path())
        .run()
        .expect("a key is made");
    assert!(!home.exists());
}

#[test]
fn without_gnupg_it_says_so_and_does_not_blame_the_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let basalt = || Cmd::new(env!("CARGO_BIN_EXE_basalt")).current_dir(folder.path());
    basalt().args(["key", "create", "--name", "good"]).run().expect("a key is made");
    let images = concat!(env!("CARGO_MANIFEST_DIR"), "/../images/base.toml");
    let plan =
        basalt().args(["plan", images, "--sign-key", "good.key"]).env("PATH", "/nonexistent");
    let output = plan.output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot use the key `good.key`"), "{said}");
    assert!(said.ends_with("hint: install `gnupg`\n") && !said.contains("holds no"), "{said}");
}

/// All that lies in a folder, sorted.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_key_whose_making_is_killed_at_any_step_is_whole_or_none_and_the_next_makes_it_whole() {
    const FILES: [&str; 4] =
        ["release.key", "release.manifest.key", "release.manifest.pub", "release.pub"];
    let create = |folder: &Path| {
        let cmd = Cmd::new(env!("CARGO_BIN_EXE_basalt"));
        cmd.args(["key", "create", "--name", "release", "--out"]).arg(folder)
    };
    let kill = |call: &str, number: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        let is_killed = is_killed_at(call, number, create(folder.path()));
        let left = names(folder.path());
        let at = format!("at {call} {number}: {left:?}");
        let has = |name: &&str| left.iter().any(|left| left == name);
        assert!(!has(&"release.key") || FILES.iter().all(has), "{at}");
        let is_made = left == FILES;
        let again = create(folder.path()).output().expect("it runs");
        let said = String::from_utf8_lossy(&again.stderr);
        assert_eq!(again.status.success(), !is_made, "{at}: {said}");
        assert_eq!(names(folder.path()), FILES, "{at}");
        let key = key::load(&folder.path().join("release.key")).expect("it is a key");
        let public = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a file");
        assert_eq!(key.public.trim(), public("release.pub").trim(), "{at}");
        let manifests = key.manifests.as_ref().expect("it has both halves").public().to_pem();
        assert_eq!(manifests, public("release.manifest.pub"), "{at}");
        is_killed
    };
    let steps = |call: &&str| (1..).take_while(|number| kill(call, *number)).count();
    // Two files, the draft and four moves; two files; the folder that they were moved from.
    assert_eq!(["rename", "renameat", "rmdir"].each_ref().map(steps), [7, 2, 1]);
}
