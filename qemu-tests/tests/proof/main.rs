//! What takes too long for every change: `cargo xtask torture` runs `recorded`, `cargo xtask proof
//! updates` the others, `cargo xtask bench updates` runs `timed`.

mod laden;
mod recorded;
mod reset;
mod timed;
mod trials;

use std::path::Path;
use std::process::ExitCode;

use qemu_tests::story;

fn main() -> ExitCode {
    let stories = &[recorded::STORY, reset::STORY, trials::STORY, laden::STORY, timed::STORY];
    story::run(stories, Path::new(env!("CARGO_TARGET_TMPDIR")))
}
