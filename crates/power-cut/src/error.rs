//! What keeps states from being looked at. That one does not boot is no error, but a finding.

use std::io;
use std::path::{Path, PathBuf};

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// A file cannot be used.
    #[error("cannot {doing} `{}`", path.display())]
    File {
        /// The step, as "read".
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program cannot be run.
    #[error(transparent)]
    Program(#[from] basalt_cmd::CmdError),
    /// A machine does not do as it should.
    #[error(transparent)]
    Machine(#[from] basalt_vm::VmError),
    /// A host that was booted is not as it should be.
    #[error("it boots, but {0}")]
    Boot(String),
    /// What was recorded is not what is expected.
    #[error("the recording is of no use: {0}")]
    Recording(String),
}

pub(crate) fn doing(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Problem {
    let path = path.to_owned();
    move |source| Problem::File { doing, path, source }
}
