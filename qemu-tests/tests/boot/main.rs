//! The image's smoke tests. `BASALT_IMAGE_DIR=out/base/1 cargo test --release -p qemu-tests`

mod clone;
mod first_install;
mod fleet;
mod install;
mod life;
mod live;
mod reset;
mod secure_boot;
mod updates;

use std::path::Path;
use std::process::ExitCode;

use qemu_tests::story;

fn main() -> ExitCode {
    // The longest first.
    let stories = &[
        updates::STORY,
        life::STORY,
        fleet::STORY,
        install::STORY,
        live::STORY,
        first_install::STORY,
        reset::STORY,
        secure_boot::STORY,
        clone::STORY,
    ];
    story::run(stories, Path::new(env!("CARGO_TARGET_TMPDIR")))
}
