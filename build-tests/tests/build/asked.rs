//! Builds that are asked for something else than a disk with a development key.

use std::fs;

use basalt_cmd::Cmd;
use build_tests::ground::{Ground, Has};

#[test]
fn a_release_key_signs_the_image_and_no_other_key_does() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    let basalt = || Cmd::new(ground.path("programs/basalt")).current_dir(ground.root());
    for name in ["release", "foreign"] {
        basalt().args(["key", "create", "--name", name]).run().expect("a key is made");
    }
    let output = ground.command().args(["--sign-key", "release.key"]).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    let built: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(built["release"], "signed");
    let commit = built["commit"].as_str().expect("a commit");
    let shown = |key: &str| {
        let home = ground.path(&format!("gpg-{key}"));
        fs::create_dir(&home).expect("a folder");
        let public = ground.path(&format!("{key}.pub"));
        let text = Cmd::new("gpg").arg("--dearmor").stdin(fs::read(public).expect("a key"));
        let binary = text.run().expect("gpg reads the key").stdout;
        fs::write(home.join("pubring.gpg"), binary).expect("a keyring");
        let show = Cmd::new("ostree").arg("show").arg(commit).arg("--repo");
        let show = show.arg(ground.path("out/repo")).arg("--gpg-homedir").arg(&home);
        show.env("LC_ALL", "C").run().expect("ostree shows the commit").stdout_text()
    };
    let (ours, foreign) = (shown("release"), shown("foreign"));
    assert!(ours.contains("Good signature"), "{ours}");
    assert!(!foreign.contains("Good signature"), "{foreign}");
    let release =
        Cmd::new("ostree").arg("cat").arg(commit).arg("/usr/lib/os-release").arg("--repo");
    let release = release.arg(ground.path("out/repo")).run().expect("it is in the image");
    assert!(!release.stdout_text().contains("unsigned"), "{}", release.stdout_text());
}

#[test]
fn without_formats_there_is_a_commit_and_no_disk() {
    let Some(ground) = Ground::prepare(Has::Everything) else { return };
    let definition = ground.path("images/base.toml");
    let text = fs::read_to_string(&definition).expect("a definition");
    assert!(text.contains("formats = [\"raw\"]"));
    fs::write(&definition, text.replace("formats = [\"raw\"]", "formats = []")).expect("a file");
    let built = ground.build();
    assert_eq!(built.commit(), ground.build().commit());
    assert_eq!(
        built.manifest.as_ref().map(|manifest| &manifest["disk"]),
        Some(&serde_json::Value::Null)
    );
    assert_eq!(ground.versions(), ["1"]);
    assert!(!ground.path("out/base/1/disk.raw").exists());
    assert!(ground.has_cached("disk"));
}
