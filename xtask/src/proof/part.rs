//! Pieces of a proof that are tests which others have, too: each runs by its name.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_cmd::Cmd;
use serde_json::json;

use super::{Ground, Piece, Record};
use crate::image::{self, Formats, Image};
use crate::program::{self, Output};
use crate::session;
use crate::setup::{Tool, tool_program};

/// A story of several boots, and compiling before the first.
const DEADLINE: Duration = Duration::from_secs(5400);

/// A piece, by the test that shows it; of a story all steps run.
pub(super) struct Part {
    name: &'static str,
    place: Place,
    test: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In folders that stand for the disk.
    Folders,
    /// A story of CI's.
    Boot,
    /// A story that takes too long for CI.
    Proof,
}

pub(super) const fn part(name: &'static str, place: Place, test: &'static str) -> Part {
    Part { name, place, test }
}

/// Proves what of these is not proven yet, on an image that is built in these formats. What does not
/// hold keeps the others from nothing: they take hours, and each stands for itself.
///
/// # Errors
/// One does not hold, or cannot be tried; the error has all of those.
pub(super) fn prove(
    parts: &[Part],
    formats: Formats,
    ground: &Ground<'_>,
    record: &mut Record,
) -> Result<()> {
    image::compile_with_tests(ground.session)?;
    let image = image::build(ground.session, formats)?;
    let mut failed = Vec::new();
    for part in parts.iter().filter(|part| !record.has(part.name)).collect::<Vec<_>>() {
        ground.session.go_on()?;
        ground.session.progress.heading(part.name);
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
        failed
            .extend(result.err().map(|error| format!("`{}` does not hold: {error:#}", part.name)));
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
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
