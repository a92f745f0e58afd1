//! The consoles of this machine, where somebody may sit.

use std::path::Path;

use anyhow::{Error, Result};
use basalt_cmd::Cmd;

use crate::execute::tool;
use crate::log::Log;

/// The screen that is in front, and the one that somebody can type at.
const SCREEN: (&str, &str) = ("tty0", "tty1");

/// Has each of them ask what shall be done, by a unit that a live system has.
pub(crate) fn ask_at_each(log: &mut Log) {
    for console in basalt_consoles::active() {
        let unit = unit(&console);
        let started = tool("systemctl").args(["start", "--no-block", &unit]).run();
        if let Err(error) = started {
            log.say(&format!("warning: nobody is asked at `{}`: {error}", console.display()));
        }
    }
}

fn unit(console: &Path) -> String {
    let console = console.file_name().unwrap_or_default().to_string_lossy();
    let name = if console == SCREEN.0 { SCREEN.1 } else { &console };
    format!("basalt-install-ask@{name}.service")
}

/// A shell in place of this program, at this terminal.
///
/// # Errors
/// There is none.
pub(crate) fn shell() -> Result<()> {
    let error = Cmd::new("bash").arg("--login").exec();
    Err(Error::from(error).context("there is no shell"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_console_is_asked_at_where_somebody_can_type() {
        assert_eq!(super::unit("/dev/tty0".as_ref()), "basalt-install-ask@tty1.service");
        assert_eq!(super::unit("/dev/ttyS0".as_ref()), "basalt-install-ask@ttyS0.service");
    }
}
