//! `basalt kickstart check`.

use std::fs;
use std::path::PathBuf;

use basalt_cmd::{Cmd, Output};
use tempfile::TempDir;

struct Ground(TempDir);

impl Ground {
    /// A folder with these files.
    fn with(files: &[(&str, &str)]) -> Self {
        let ground = Self(tempfile::tempdir().expect("a folder"));
        for (name, text) in files {
            let path = ground.path(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        }
        ground
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn check(&self, args: &[&str]) -> (Option<i32>, String, String) {
        let basalt = Cmd::new(env!("CARGO_BIN_EXE_basalt")).args(["kickstart", "check"]).args(args);
        said(&basalt.current_dir(self.0.path()).output().expect("basalt runs"))
    }
}

/// Exit code, stdout and stderr.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const GOOD: &str = "reqpart\npart / --size=4096\npart /var --size=1 --grow\nreboot\n";

#[test]
fn a_good_kickstart_is_called_good() {
    let ground = Ground::with(&[("a.ks", GOOD)]);
    assert_eq!(ground.check(&["a.ks"]), (Some(0), "a.ks: good (2 partitions)\n".into(), "".into()));
}

#[test]
fn a_warning_is_shown_and_the_kickstart_is_good() {
    let ground = Ground::with(&[("a.ks", &format!("{GOOD}vnc --password=hunter2\n"))]);
    let (code, out, err) = ground.check(&["a.ks"]);
    assert_eq!((code, out.as_str()), (Some(0), "a.ks: good (2 partitions)\n"));
    assert_eq!(
        err,
        "warning: a.ks:5:1: `vnc` has no effect: the installer has no desktop\n 5 | vnc \
         --password=*******\n   | ^^^^^^^^^^^^^^^^^^^^^^\nhint: it shows itself on every console, also \
         a serial one\n\n"
    );
}

#[test]
fn all_that_is_wrong_is_shown_each_with_its_line_its_mark_and_a_hint() {
    let ground =
        Ground::with(&[("a.ks", "autopart --noswap\nbootlaoder\n%packages\n@core\n%end\n")]);
    let (code, out, err) = ground.check(&["a.ks"]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(
        err,
        "error: a.ks:2:1: unknown command `bootlaoder`\n 2 | bootlaoder\n   | ^^^^^^^^^^\nhint: did \
         you mean `bootloader`?\n\nerror: a.ks:4:1: `%packages` cannot be carried out: the system is \
         one image, and 1 package or group would be missing\n 4 | @core\n   | ^^^^^\nhint: add what \
         you need to the image's definition and build it: `basalt build`; then leave `%packages` \
         away\n"
    );
}

#[test]
fn an_included_file_is_found_beside_the_one_that_includes_it() {
    let ground = Ground::with(&[
        ("sub/a.ks", "%include layout.ks\n%include http://a/b\nlang\n"),
        ("sub/layout.ks", GOOD),
        ("sub/b.ks", "%include wrong.ks\nautopart --noswap\n"),
        ("sub/wrong.ks", "\nlangg x\n"),
        ("sub/c.ks", "autopart --noswap\n%include gone.ks\n%include .\n"),
    ]);
    let (code, _, err) = ground.check(&["sub/a.ks"]);
    assert_eq!(code, Some(1));
    assert!(
        err.starts_with("warning: sub/a.ks:2:10: `http://a/b` is not read: nothing is"),
        "{err}"
    );
    assert!(err.contains("error: sub/a.ks:3:1: `lang` needs a word"), "{err}");
    let (_, _, err) = ground.check(&["sub/b.ks"]);
    assert!(err.starts_with("error: sub/wrong.ks:2:1: unknown command `langg`"), "{err}");
    let (_, _, err) = ground.check(&["sub/c.ks"]);
    assert!(err.contains("sub/c.ks:2:10: `gone.ks` cannot be read: No such file"), "{err}");
    assert!(err.contains("sub/c.ks:3:10: `.` cannot be read: it is a folder"), "{err}");
}

#[test]
fn what_a_pre_at_the_end_may_write_is_a_warning() {
    let text = "text\n%include /nowhere/part-include\n%pre\ntrue\n%end\n";
    let ground = Ground::with(&[("a.ks", text)]);
    let (code, out, err) = ground.check(&["a.ks"]);
    assert_eq!((code, out.as_str()), (Some(0), "a.ks: good (1 script)\n"));
    assert!(err.starts_with("warning: a.ks:2:10: `/nowhere/part-include` cannot be read"), "{err}");
    assert!(err.contains("hint: written by a `%pre`?"), "{err}");
}

#[test]
fn a_place_that_nothing_is_read_from_is_told_with_what_is() {
    for what in ["nfs:server:/a.ks", "ftp://server/a.ks", "hd:sda1:/a.ks"] {
        let text = format!("%include {what}\n%pre\ntrue\n%end\n");
        let ground = Ground::with(&[("a.ks", text.as_str())]);
        let (code, _, err) = ground.check(&["a.ks"]);
        let scheme = what.split(':').next().expect("a word");
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(&format!("cannot be read: nothing is read by `{scheme}`")), "{err}");
        assert!(
            err.contains("hint: a path, from here or from beside this file, or a URL"),
            "{err}"
        );
    }
}

#[test]
fn what_can_be_no_kickstart_is_told() {
    let ground = Ground::with(&[("long.ks", &"#".repeat((1 << 20) + 1))]);
    fs::write(ground.path("bytes.ks"), b"text\nlang \xff\n").expect("a file");
    for (file, expected) in [
        ("gone.ks", "No such file or directory"),
        (".", "it is a folder"),
        ("long.ks", "it is too long: at most 1048576 bytes are read"),
        ("bytes.ks", "line 2 is no text in UTF-8"),
    ] {
        let (code, out, err) = ground.check(&[file]);
        assert_eq!((code, out.as_str()), (Some(1), ""));
        assert!(err.starts_with(&format!("error: cannot read the kickstart `{file}`: ")), "{err}");
        assert!(err.contains(expected), "{err}");
    }
}

#[test]
fn json_has_all_that_is_said_and_what_is_asked_for_and_no_secret() {
    let text = format!("{GOOD}rootpw --plaintext hunter2\n%post\necho hunter2\n%end\n");
    let ground = Ground::with(&[("a.ks", &text), ("b.ks", "autopart --noswap --x\nfoo hunter2")]);
    let (code, out, err) = ground.check(&["a.ks", "--json"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(!out.contains("hunter2"), "{out}");
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(json["good"], true);
    assert_eq!(json["warnings"], 1);
    assert_eq!(json["diagnostics"][0]["severity"], "warning");
    assert_eq!(
        (&json["diagnostics"][0]["line"], &json["diagnostics"][0]["column"]),
        (&5.into(), &20.into())
    );
    assert_eq!(json["kickstart"]["part"][1]["usage"]["mount"], "/var");
    assert_eq!(json["kickstart"]["rootpw"]["password"]["plain"], "(hidden)");
    let (code, out, err) = ground.check(&["b.ks", "--json"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("error: `b.ks` is no good kickstart"), "{err}");
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&json["errors"], &json["kickstart"]), (&2.into(), &serde_json::Value::Null));
    assert_eq!(json["diagnostics"][1]["hint"].as_str().map(str::is_empty), Some(false));
}
