//! What each commit has to boot: an update that goes well and three that do not, an installation
//! over the network whose host runs what its endpoint tells it, and a disk that was written. All
//! else is in `proof`.

mod install;
mod updates;
mod written;

use std::path::Path;
use std::process::ExitCode;

use qemu_tests::story;

fn main() -> ExitCode {
    // The longest first.
    let stories = &[updates::STORY, install::STORY, written::STORY];
    story::run(stories, Path::new(env!("CARGO_TARGET_TMPDIR")))
}
