//! An archive on another machine, by an rsync daemon on loopback.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use basalt_builder::progress::Progress;
use basalt_builder::publish::{self, Target, publish_remotely};
use basalt_cmd::{Cmd, Running};
use basalt_deploy::Repo;
use basalt_release::Manifest;

use crate::ground::{Ground, REF, noise};

const DEADLINE: Duration = Duration::from_secs(30);

/// A build, and a machine that takes archives.
struct Story {
    ground: Ground,
    port: u16,
    program: Vec<u8>,
    _daemon: Running,
}

impl Story {
    fn new() -> Self {
        let ground = Ground::new();
        let there = ground.path("there");
        fs::create_dir(&there).expect("a folder");
        let port = free_port();
        configure(&ground, port, "");
        let daemon = Cmd::new("rsync").args(["--daemon", "--no-detach", "--config"]);
        let daemon = daemon.arg(ground.path("rsyncd.conf"));
        let null = || Stdio::null();
        let daemon = daemon.spawn(null(), null(), null()).expect("it starts");
        let end = Instant::now() + DEADLINE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "the rsync daemon does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { program: noise(7, 400_000), ground, port, _daemon: daemon }
    }

    fn build(&mut self, version: &str) -> String {
        let middle = self.program.len() / 2;
        self.program[middle] ^= 1;
        self.ground.build(version, &self.program, Some("release.key"))
    }

    fn url(&self) -> String {
        format!("rsync://127.0.0.1:{}/sites/a/b", self.port)
    }

    /// As people type it.
    fn command(&self, url: &str) -> Cmd {
        Cmd::new(env!("CARGO_BIN_EXE_basalt"))
            .arg("publish")
            .arg(self.ground.path("repo"))
            .args(["--to", url, "--json", "--sign-key"])
            .arg(self.ground.path("release.key"))
    }

    fn publish(&self) -> Manifest {
        let said = self.command(&self.url()).run().expect("it is published").stdout_text();
        serde_json::from_str(&said).expect("a manifest")
    }

    fn refused(&self, url: &str) -> String {
        self.command(url).run().expect_err("it is refused").to_string()
    }

    fn there(&self, name: &str) -> PathBuf {
        self.ground.path("there/a/b").join(name)
    }

    /// The commit that a host comes to that verifies all, and the manifest that it reads.
    fn offered(&self) -> (String, Manifest) {
        let host = tempfile::tempdir().expect("a folder");
        let repo = format!("--repo={}", host.path().display());
        let ostree = |args: &[&str]| Cmd::new("ostree").args(args).arg(&repo).run();
        ostree(&["init", "--mode=bare-user"]).expect("a host");
        let url = format!("file://{}", self.there("").display());
        let import = format!("--gpg-import={}", self.ground.path("release.pub").display());
        ostree(&["remote", "add", "--set=gpg-verify-summary=true", &import, "ours", &url])
            .expect("a remote");
        ostree(&["pull", "ours", REF]).expect("it can be pulled");
        let commit = ostree(&["rev-parse", &format!("ours:{REF}")]).expect("a commit");
        (commit.stdout_text(), self.ground.offered(&self.there("releases/base.json")))
    }
}

/// A daemon reads this anew with each connection.
fn configure(ground: &Ground, port: u16, more: &str) {
    let there = ground.path("there");
    let config = format!(
        "use chroot = no\nuid = 0\ngid = 0\nport = {port}\naddress = 127.0.0.1\n[sites]\npath = {}\n\
         read only = no\n{more}",
        there.display()
    );
    fs::write(ground.path("rsyncd.conf"), config).expect("a file");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

#[test]
fn an_archive_on_another_machine_is_gone_on_with_also_where_the_one_here_is_lost() {
    let mut story = Story::new();
    let one = story.build("1");
    let first = story.publish();
    assert_eq!(story.offered(), (one.clone(), first.clone()));
    assert!(story.ground.path("archive/objects").exists(), "it is kept beside the repository");

    fs::remove_dir_all(story.ground.path("archive")).unwrap();
    let two = story.build("2");
    let second = story.publish();
    assert!(second.sequence > first.sequence, "{second:?}");
    assert_eq!(second.deltas[0].from, one);
    assert_eq!(story.offered(), (two.clone(), second.clone()));
    let refs = Repo::open(&story.there("")).unwrap().refs().unwrap();
    assert_eq!((&refs["releases/base/1"], &refs["releases/base/2"]), (&one, &two));
    let mode = |name: &str| story.there(name).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("objects"), mode("summary")), (0o755, 0o644), "a web server may read it");
    let names = [".lock", ".publish.lock", ".remote.lock"];
    assert_eq!(names.map(|name| story.there(name).exists()), [false; 3]);
}

#[test]
fn what_breaks_off_offers_what_was_offered_and_is_done_again() {
    let mut story = Story::new();
    story.build("1");
    story.publish();
    let before = story.offered();
    let two = story.build("2");
    // The last thing that is sent cannot be.
    configure(&story.ground, story.port, "exclude = base.json\n");
    let said = story.refused(&story.url());
    assert!(said.contains("cannot bring the archive to or from"), "{said}");
    configure(&story.ground, story.port, "");
    assert_eq!(story.offered().1, before.1);
    let second = story.publish();
    assert_eq!(story.offered(), (two, second));
}

#[test]
fn whoever_published_meanwhile_is_not_overwritten() {
    let mut story = Story::new();
    story.build("1");
    story.publish();
    let Ok(Target::Remote(remote)) = story.url().parse() else { panic!("it is remote") };
    story.build("2");
    let mine = story.ground.path("mine");
    let options = publish::Options { to: mine.clone(), ..story.ground.options() };
    let others = || {
        // Another machine, which has an archive of its own.
        let other = story.command(&story.url()).arg("--archive").arg(story.ground.path("other"));
        other.run().unwrap();
        Ok(publish::publish(&options, Progress::Silent).unwrap().manifest)
    };
    let refused = publish_remotely(&remote, &mine, others, Progress::Silent).unwrap_err();
    let said = format!("{refused:#}");
    assert!(said.contains("meanwhile: `releases/base"), "{said}");
    let offered = story.offered();
    let again = || Ok(publish::publish(&options, Progress::Silent).unwrap().manifest);
    let third = publish_remotely(&remote, &mine, again, Progress::Silent).unwrap();
    assert!(third.sequence > offered.1.sequence, "{third:?}");
    assert_eq!(story.offered().1, third);
}

/// ssh itself is left out: what it would start over there is started here.
#[test]
fn over_ssh_the_folder_is_the_one_that_the_url_names() {
    let mut story = Story::new();
    let one = story.build("1");
    let shell = story.ground.path("shell");
    fs::write(&shell, "#!/bin/sh\necho \"$1 $2 $3\" >> \"$0.hosts\"\nshift 3\nexec \"$@\"\n")
        .unwrap();
    fs::set_permissions(&shell, fs::Permissions::from_mode(0o755)).unwrap();
    let url = format!("ssh://ann@web.example{}", story.there("").display());
    story.command(&url).env("RSYNC_RSH", &shell).run().unwrap();
    assert_eq!(story.offered().0, one);
    let hosts = fs::read_to_string(story.ground.path("shell.hosts")).unwrap();
    assert!(hosts.lines().all(|line| line == "-l ann web.example"), "{hosts}");
}

#[test]
fn a_machine_that_cannot_be_reached_is_named_and_nothing_is_published_here() {
    let mut story = Story::new();
    story.build("1");
    let url = format!("rsync://127.0.0.1:{}/sites", free_port());
    let said = story.refused(&url);
    assert!(said.contains(&url) && said.contains("Connection refused"), "{said}");
    assert!(!story.ground.path("archive/releases").exists());
    let said = story.refused(&format!("rsync://127.0.0.1:{}/nowhere", story.port));
    assert!(said.contains("Unknown module 'nowhere'"), "{said}");
    let said = story.refused("s3://bucket/site");
    assert!(said.contains("nothing is known of such addresses"), "{said}");
}
