//! What can go wrong with a machine.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use basalt_cmd::CmdError;

/// Why a machine did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum VmError {
    /// A file that a Debian package brings is not there.
    #[error("no `{}`\nhint: install the package `{package}`", path.display())]
    NotInstalled {
        /// The file, or the program's name.
        path: PathBuf,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// A file or socket of the machine.
    #[error("cannot {doing} `{}`", path.display())]
    File {
        /// What was being done, such as `read`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// QEMU could not be started or waited for.
    #[error("the machine does not run")]
    Program(#[source] CmdError),
    /// QEMU ended when it should have run.
    #[error("the machine ended ({how})\n{said}")]
    Ended {
        /// Its exit status, as text.
        how: String,
        /// What QEMU said on stderr, or the console's last lines.
        said: String,
    },
    /// Something did not come in time.
    #[error(
        "no {what}: {why}; the console's last lines:\n{tail}\nthe whole of it is in `{}`",
        log.display()
    )]
    Waited {
        /// What was waited for.
        what: String,
        /// Which limit was reached, or what happened instead.
        why: String,
        /// The last lines of the console.
        tail: String,
        /// The console's file.
        log: PathBuf,
    },
    /// QEMU's control socket failed.
    #[error("lost QEMU's control socket during `{doing}`")]
    Control {
        /// The command or event.
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An answer or event of QEMU did not come in time.
    #[error("no `{what}` from QEMU: {}", passed(*time))]
    Unanswered {
        /// The command or event.
        what: String,
        /// How long it was given.
        time: Duration,
    },
    /// QEMU refused a command.
    #[error("QEMU refused `{command}`: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// What QEMU said.
        reason: String,
    },
    /// The machine was built without it.
    #[error("the machine has no {0}: it was not asked for")]
    NotAsked(String),
}

impl VmError {
    /// For `map_err`: what was being done to which file.
    pub(crate) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }

    /// A program that is not installed names its package; everything else stays as it is.
    pub(crate) fn program(error: CmdError) -> Self {
        match &error {
            CmdError::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Self::NotInstalled { path: crate::QEMU.into(), package: "qemu-system-x86" }
            }
            _ => Self::Program(error),
        }
    }
}

/// The words for a machine that no longer says anything.
pub(crate) fn silent(limit: Duration) -> String {
    format!("silent for {} s", limit.as_secs())
}

/// The words for a limit that was reached.
pub(crate) fn passed(limit: Duration) -> String {
    format!("{} s passed", limit.as_secs())
}
