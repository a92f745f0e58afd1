//! What can go wrong with a program.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use crate::Output;

/// Bytes of a failed program's last words that an error carries.
const TAIL: usize = 4096;

/// Why a program did not do what was asked. `line` is the command, secrets redacted.
#[derive(Debug, thiserror::Error)]
pub enum CmdError {
    /// It could not be started at all.
    #[error("cannot run `{line}`")]
    Start {
        /// The command.
        line: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It ended with something else than exit code 0.
    #[error("`{line}` failed with {status}: {tail}")]
    Failed {
        /// The command.
        line: String,
        /// How it ended.
        status: ExitStatus,
        /// The last of what it printed: stderr, or stdout when stderr is empty.
        tail: String,
    },
    /// It ran longer than allowed and was killed with its process group.
    #[error("`{line}` did not end within {} s and was stopped; it last said: {tail}", deadline.as_secs())]
    Deadline {
        /// The command.
        line: String,
        /// How long it was given.
        deadline: Duration,
        /// The last of what it printed.
        tail: String,
    },
    /// It was killed and does not die. It is left behind.
    #[error("cannot kill `{line}`, which is left behind")]
    NotKilled {
        /// The command.
        line: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Reading from it, writing to it or waiting for it failed.
    #[error("lost `{line}` while it ran")]
    Lost {
        /// The command.
        line: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl CmdError {
    pub(crate) fn failed(line: String, output: &Output) -> Self {
        Self::Failed {
            line,
            status: output.status,
            tail: last_words(&output.stdout, &output.stderr),
        }
    }
}

/// The end of stderr, or of stdout when stderr is empty.
pub(crate) fn last_words(stdout: &[u8], stderr: &[u8]) -> String {
    let bytes = if stderr.trim_ascii().is_empty() { stdout } else { stderr };
    let tail = &bytes[bytes.len().saturating_sub(TAIL)..];
    String::from_utf8_lossy(tail).trim().to_owned()
}
