//! How long `basalt write` takes, with the look whether all of it is there, over `dd` of the same
//! image to the same kind of target, which looks at nothing.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_cmd::Cmd;

use super::{Ground, Measure};

/// Each side writes so often, by turns, so that what else the machine does meets both.
const ROUNDS: u32 = 2;

pub(super) fn run(ground: &Ground<'_>) -> Result<Vec<Measure>> {
    let image = ground.image()?.disk.clone();
    let target = ground.folder("write")?.join("disk");
    let (mut by_dd, mut by_basalt) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        by_dd += time(ground, dd(&image, &target), &target)?;
        by_basalt += time(ground, write(ground, &image, &target), &target)?;
    }
    let rounds = f64::from(ROUNDS);
    Ok(vec![
        Measure::new("dd bs=4M conv=fsync", by_dd / rounds, "s"),
        Measure::new("basalt write, read back", by_basalt / rounds, "s"),
        Measure::new("basalt write over dd", by_basalt / by_dd, "×").at_most(0.5),
    ])
}

/// The seconds that a command takes to write `target`, which then goes.
fn time(ground: &Ground<'_>, cmd: Cmd, target: &Path) -> Result<f64> {
    let seconds = ground.time(cmd)?;
    fs::remove_file(target).with_context(|| format!("cannot remove `{}`", target.display()))?;
    Ok(seconds)
}

fn dd(image: &Path, target: &Path) -> Cmd {
    let (from, to) = (format!("if={}", image.display()), format!("of={}", target.display()));
    Cmd::new("dd").args([from, to]).args(["bs=4M", "conv=fsync", "status=none"])
}

fn write(ground: &Ground<'_>, image: &Path, target: &Path) -> Cmd {
    let cmd = Cmd::new(ground.session.program("basalt")).arg("write").arg(image);
    cmd.arg("--to").arg(target)
}
