//! All that must not stop a host from booting, a piece at a time: on folders, or on the booted
//! image where the boot itself is the subject.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;
use serde_json::json;

use super::{Ground, Piece, Record};
use crate::image::{self, Image};
use crate::program::{self, Output};
use crate::session;
use crate::setup::{Tool, tool_program};

/// A story of several boots, and compiling before the first.
const DEADLINE: Duration = Duration::from_secs(5400);

/// A piece, by the test that shows it; of a story all steps run.
struct Part {
    name: &'static str,
    place: Place,
    test: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In folders that stand for the disk.
    Folders,
    /// A story of CI's.
    Boot,
    /// A story that takes too long for CI.
    Proof,
}

const fn part(name: &'static str, place: Place, test: &'static str) -> Part {
    Part { name, place, test }
}

const PARTS: &[Part] = &[
    part(
        "by delta, no new kernel, /etc after staging, a power cut, a kernel that panics, a gate that \
         fails, back",
        Place::Boot,
        "whatever_a_power_cut_leaves_of_an_update_boots",
    ),
    part(
        "an initramfs that fails, hostd that crashes, a hang, ESP, root and /var full, three power \
         cycles in a trial, no endpoint, update and downgrade, cold boots",
        Place::Proof,
        "an_update_there_and_back_needs_no_endpoint",
    ),
    part(
        "a rollout with ten workloads, a release in which none starts",
        Place::Proof,
        "ten_containers_run",
    ),
    part(
        "kernel arguments, a window, factory resets, both slots exhausted",
        Place::Proof,
        "changed_kernel",
    ),
    part(
        "a new form of the ledger, and the release before",
        Place::Folders,
        "test(on_trial_the_release_before) + test(what_the_release_before_wrote) + \
         test(a_container_of_the_release_before)",
    ),
    part("whole, without a delta", Place::Folders, "test(/update::tests::download/)"),
    part("a server that stalls, truncates, lies", Place::Folders, "test(a_server_that)"),
    part(
        "unsigned, another key, replayed, expired, pinned",
        Place::Folders,
        "test(what_no_trusted_key_signed) + test(a_manifest_that_is_played_again)",
    ),
    part(
        "cut before any step",
        Place::Folders,
        "test(/update::tests::cuts/) + test(/update::model/)",
    ),
];

pub(super) fn run(ground: &Ground<'_>, record: &mut Record) -> Result<()> {
    image::compile_with_tests(ground.session)?;
    let image = image::build(ground.session, image::Formats::Own)?;
    for part in PARTS.iter().filter(|part| !record.has(part.name)).collect::<Vec<_>>() {
        ground.session.go_on()?;
        ground.session.progress.heading(&format!("updates: {}", part.name));
        let began = Instant::now();
        let result = part.run(ground, &image);
        // Interrupted is neither held nor failed.
        ground.session.go_on()?;
        let run = json!({
            "piece": part.name,
            "test": part.test,
            "took_s": began.elapsed().as_secs(),
        });
        record.add(Piece { seed: 0, held: result.is_ok(), runs: vec![run] })?;
        result.with_context(|| format!("`{}` does not hold", part.name))?;
    }
    Ok(())
}

impl Part {
    fn run(&self, ground: &Ground<'_>, image: &Image) -> Result<()> {
        let cmd = match self.place {
            Place::Folders => {
                Cmd::new(tool_program(Tool::NEXTEST)?.context("cargo-nextest is gone")?)
                    .args(["nextest", "run", "--release", "--workspace", "--color", "never"])
                    .args(["-E", self.test])
            }
            Place::Boot | Place::Proof => {
                let test = if self.place == Place::Boot { "boot" } else { "proof" };
                Cmd::new(session::cargo()).args([
                    "test",
                    "--release",
                    "--workspace",
                    "--test",
                    test,
                    "--",
                    self.test,
                ])
            }
        };
        let cmd = cmd
            .env("BASALT_NO_SKIP", "1")
            .env("BASALT_IMAGE_DIR", &image.folder)
            .current_dir(&ground.session.root);
        let lines = program::run(ground.session, cmd, Output::ShownAndKept, DEADLINE)?;
        // A story tells of all its steps; what the filter leaves out of the closing was told there.
        let failed: Vec<_> = lines.iter().filter(|line| line.contains(" FAILED, ")).collect();
        if !failed.is_empty() {
            bail!("{failed:?}");
        }
        Ok(())
    }
}
