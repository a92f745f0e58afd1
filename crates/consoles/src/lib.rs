//! The consoles of a machine, where somebody may sit and read.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// Those that the kernel prints to, by their names in `/dev`; the last one is `/dev/console`.
const ACTIVE: &str = "/sys/class/tty/console/active";

/// Their devices. None where the kernel says nothing of any.
#[must_use]
pub fn active() -> Vec<PathBuf> {
    let text = fs::read_to_string(ACTIVE).unwrap_or_default();
    text.split_whitespace().map(|name| Path::new("/dev").join(name)).collect()
}

/// Shows a line on one of them. It never waits: a console that nobody empties shows less.
///
/// # Errors
/// It is not there, or takes no more.
pub fn show(console: &Path, line: &str) -> io::Result<()> {
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    let mut options = OpenOptions::new();
    let mut console = options.write(true).custom_flags(flags.bits() as i32).open(console)?;
    console.write_all(format!("{line}\r\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_line_ends_as_a_terminal_wants_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        show(file.path(), "one").unwrap();
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "one\r\n");
    }

    #[test]
    fn a_console_that_nobody_empties_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console");
        mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).unwrap();
        // Nobody has it open at its other end: who waits for that would wait for ever.
        assert!(show(&path, "one").is_err());
        let _reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let full = (0..).find_map(|_| show(&path, &"x".repeat(1000)).err()).unwrap();
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
    }
}
