//! What one call of `cargo xtask` works with: the folders, the terminal, the wish to stop.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::progress::Progress;

/// Exit code of a program that a second Ctrl-C ends at once.
const INTERRUPTED: i32 = 130;

/// One call of `cargo xtask`.
pub(crate) struct Session {
    /// The workspace's folder.
    pub(crate) root: PathBuf,
    /// Where cargo puts the programs that it builds.
    pub(crate) programs: PathBuf,
    /// Where steps are shown.
    pub(crate) progress: Progress,
    stop: Arc<AtomicBool>,
}

impl Session {
    /// Looks around, and from here on takes Ctrl-C and SIGTERM as a wish to stop in good order.
    /// The second one ends the process at once.
    pub(crate) fn begin() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
        let own = std::env::current_exe().context("cannot find this program's own file")?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            flag::register_conditional_shutdown(signal, INTERRUPTED, Arc::clone(&stop))?;
            flag::register(signal, Arc::clone(&stop))?;
        }
        Ok(Self {
            root: root.to_owned(),
            programs: own.parent().unwrap_or(root).to_owned(),
            progress: Progress::for_stderr(),
            stop,
        })
    }

    /// Whether somebody asked to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Fails when somebody asked to stop.
    pub(crate) fn go_on(&self) -> Result<()> {
        if self.is_stopped() {
            bail!("interrupted");
        }
        Ok(())
    }

    /// One that no signal reaches.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        let (root, programs) = (PathBuf::new(), PathBuf::new());
        Self { root, programs, progress: Progress::Lines, stop: Arc::default() }
    }

    /// Asks to stop, as Ctrl-C does.
    #[cfg(test)]
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Where images and the repository go.
    pub(crate) fn out(&self) -> PathBuf {
        self.root.join("out")
    }

    /// One of the programs that `cargo build --release` makes.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

/// `cargo`, the one that runs us.
pub(crate) fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// Whether this runs where nobody can answer.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true" || value == "1")
}

/// Whether a person sits at our stdin.
pub(crate) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}
