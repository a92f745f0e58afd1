//! Has qemu-img look at an image, as somebody who can do nothing else.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use basalt_cmd::Cmd;

use super::privileges;
use super::qcow;

/// The second argument is the file.
const MODE: &str = "check";
/// It reads a few tables.
const DEADLINE: Duration = Duration::from_secs(60);
/// The whole of what it says.
const MAX_SAID: usize = 1 << 20;

/// Whether the qcow2 image in this file is one that a host takes; if not, why.
///
/// # Errors
/// It cannot be looked at.
pub(super) fn qcow2(file: &Path) -> Result<(), String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let cmd = Cmd::new(own).arg(MODE).arg(file).deadline(DEADLINE).output_cap(MAX_SAID);
    let output = cmd.output().map_err(|error| format!("cannot be judged: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().next_back().unwrap_or_default();
        return Err(format!("is no good qcow2 image: {said}"));
    }
    qcow::judge_info(&output.stdout_text())
}

/// Becomes qemu-img, which looks at that file. Returns only where that fails.
pub(crate) fn become_checker(file: &Path) -> String {
    let opened = || -> io::Result<()> {
        rustix::stdio::dup2_stdin(File::open(file)?)?;
        // It writes nothing.
        privileges::give_up(0)
    };
    match opened() {
        Err(error) => format!("cannot open the image: {error}"),
        Ok(()) => {
            let cmd = Cmd::new("qemu-img").args(["info", "--output=json", "-f", "qcow2"]);
            cmd.arg("/dev/stdin").exec().to_string()
        }
    }
}
