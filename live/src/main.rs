//! What a live system's initrd runs: `basalt-live-boot root` brings its rootfs into memory,
//! `basalt-live-boot etc` makes the root that was found in it a live one.

use std::process::ExitCode;

use basalt_live_boot::{console, etc, root};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["root"] => root::bring(),
        ["etc"] => etc::make_live(),
        _ => Err(anyhow::anyhow!("say `root` or `etc`")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in basalt_explain::explain(&error).lines() {
                console::say(line);
            }
            ExitCode::FAILURE
        }
    }
}
