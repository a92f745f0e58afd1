//! What takes too long for every change: `cargo xtask torture` runs `recorded`, `cargo xtask bench
//! updates` runs `timed`, `cargo xtask proof install` those of `install` and `examples`, and `cargo
//! xtask proof updates` the others.

mod examples;
mod install;
mod laden;
mod recorded;
mod reset;
mod timed;
mod trials;

use std::path::Path;
use std::process::ExitCode;

use qemu_tests::story;

fn main() -> ExitCode {
    let stories = &[
        recorded::STORY,
        reset::STORY,
        trials::STORY,
        laden::STORY,
        timed::STORY,
        install::STICK,
        install::DISC,
        install::CUT,
        install::MIRRORED,
        install::REFUSED,
        examples::STORY,
    ];
    story::run(stories, Path::new(env!("CARGO_TARGET_TMPDIR")))
}
