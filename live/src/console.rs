//! Says something on every console, and in the journal.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

/// The consoles that the kernel prints to, by their names in `/dev`.
const ACTIVE: &str = "/sys/class/tty/console/active";

/// Says one line.
pub fn say(line: &str) {
    eprintln!("{line}");
    let active = fs::read_to_string(ACTIVE).unwrap_or_default();
    for console in active.split_whitespace() {
        // A console that is not there keeps the others from nothing.
        if let Ok(mut file) = OpenOptions::new().write(true).open(Path::new("/dev").join(console)) {
            let _ = write!(file, "basalt: {line}\r\n");
        }
    }
}
