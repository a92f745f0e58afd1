//! A publication that is killed at each of its steps, and what a host makes of the archive then.

use std::fs;
use std::path::Path;

use basalt_cmd::Cmd;
use basalt_release::Manifest;

use crate::ground::{Ground, REF, noise};
use crate::step::is_killed_at;

/// A publication of the second release over the first, and a host that has the first.
struct Story {
    ground: Ground,
    one: String,
    two: String,
}

impl Story {
    fn new() -> Self {
        let ground = Ground::new();
        let mut program = noise(3, 100_000);
        let one = ground.build("1", &program, Some("release.key"));
        ground.publish();
        let story = Self { two: String::new(), ground, one };
        story.ostree("host", &["init", "--mode=bare-user"]).run().expect("a host");
        let url = format!("file://{}", story.ground.path("site").display());
        let import = format!("--gpg-import={}", story.ground.path("release.pub").display());
        let add = ["remote", "add", "--set=gpg-verify-summary=true", &import, "ours", &url];
        story.ostree("host", &add).run().expect("a remote");
        assert_eq!(story.pulled(&[]), Some(story.one.clone()));
        for name in ["site", "host"] {
            copy(&story.ground.path(name), &story.ground.path(&format!("{name}.before")));
        }
        program[50_000] ^= 1;
        let two = story.ground.build("2", &program, Some("release.key"));
        Self { two, ..story }
    }

    /// As they were with the first release.
    fn begin_again(&self) {
        for name in ["site", "host"] {
            fs::remove_dir_all(self.ground.path(name)).expect("it can be removed");
            copy(&self.ground.path(&format!("{name}.before")), &self.ground.path(name));
        }
    }

    fn ostree(&self, repo: &str, args: &[&str]) -> Cmd {
        let repo = format!("--repo={}", self.ground.path(repo).display());
        Cmd::new("ostree").args(args).arg(repo)
    }

    /// What a host has that verifies all that it pulls; `None` when there is nothing that it takes.
    fn pulled(&self, flags: &[&str]) -> Option<String> {
        let pull = self.ostree("host", &["pull", "ours", REF]).args(flags);
        pull.run().ok()?;
        let commit = self.ostree("host", &["rev-parse", &format!("ours:{REF}")]).run();
        Some(commit.expect("it was pulled").stdout_text())
    }

    /// The summary and its signature.
    fn summary(&self, site: &str) -> [Vec<u8>; 2] {
        ["summary", "summary.sig"]
            .map(|name| fs::read(self.ground.path(site).join(name)).expect("it is always there"))
    }

    fn offered(&self) -> Manifest {
        self.ground.offered(&self.ground.path("site/releases/base.json"))
    }

    /// Whoever is told of the second release can have all of it.
    fn offers_what_it_says(&self, at: &str) {
        let offered = self.offered();
        if offered.version == "1" {
            assert_eq!(offered.commit, self.one, "{at}");
            return;
        }
        assert_eq!((offered.version.as_str(), &offered.commit), ("2", &self.two), "{at}");
        assert_eq!(offered.deltas.len(), 1, "{at}");
        self.has_the_second(at);
    }

    fn has_the_second(&self, at: &str) {
        let pulled = self.pulled(&["--require-static-deltas"]);
        assert_eq!(pulled.as_ref(), Some(&self.two), "{at}");
    }
}

fn copy(from: &Path, to: &Path) {
    Cmd::new("cp").arg("-a").arg(from).arg(to).run().expect("it can be copied");
}

#[test]
fn a_publication_killed_at_any_step_offers_one_whole_release_and_is_finished_by_the_next() {
    let story = Story::new();
    let [before, signed_before] = story.summary("site.before");
    let (mut steps, mut between) = (0, 0);
    let mut kill = |call: &str, number: usize| {
        story.begin_again();
        if !is_killed_at(call, number, story.ground.command()) {
            assert_eq!(story.offered().version, "2");
            return false;
        }
        steps += 1;
        let at = format!("at {call} {number}");
        let [summary, signature] = story.summary("site");
        if summary != before && signature == signed_before {
            // Two files cannot be renamed at once.
            between += 1;
        } else {
            let pulled = story.pulled(&[]);
            assert!(pulled.is_some_and(|it| it == story.one || it == story.two), "{at}");
            story.offers_what_it_says(&at);
        }
        story.ground.publish();
        assert_eq!(story.offered().version, "2", "{at}");
        story.has_the_second(&at);
        story.ostree("site", &["fsck"]).run().expect("the archive is whole");
        true
    };
    for call in ["rename", "renameat"] {
        let steps = (1..).take_while(|number| kill(call, *number));
        assert_ne!(steps.count(), 0, "{call}");
    }
    assert!(steps >= 15, "it has so few steps: {steps}");
    assert_eq!(between, 1, "between the two renames and nowhere else");
}
