//! What takes too long for every change: `cargo xtask torture` runs `recorded`, `cargo xtask bench
//! updates` runs `timed`; the others are pieces of what `cargo xtask proof` proves.

mod clone;
mod examples;
mod first_install;
mod fleet;
mod install;
mod laden;
mod life;
mod live;
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
        life::STORY,
        fleet::STORY,
        first_install::STORY,
        clone::STORY,
        live::STORY,
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
