//! What libostree could not do, and to what.

use std::io;

use crate::patience::GivenUp;

/// Why a repository or deployment step failed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// libostree refused or failed.
    #[error("cannot {doing}")]
    Ostree {
        /// The step, as "commit `/tree`".
        doing: String,
        /// What libostree said.
        #[source]
        source: ostree::glib::Error,
    },
    /// A file operation of ours failed.
    #[error("cannot {doing}")]
    Io {
        /// The step, as "link slot `root.a`".
        doing: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Somebody else changes the sysroot.
    #[error(
        "`{}` is being changed by another program\nhint: wait until it has ended, and try again",
        .0.display()
    )]
    Busy(std::path::PathBuf),
    /// A download came to nothing in all the time that it was given.
    #[error(
        "the download from `{url}` was given up: {}\nhint: what came stays; the next one goes on \
         from there",
        words(*why)
    )]
    GivenUp {
        /// The archive.
        url: String,
        /// Why.
        why: GivenUp,
    },
    /// A repository does not have a commit.
    #[error("there is no commit {0}")]
    NoCommit(String),
    /// A commit is none of a host's system.
    #[error("{commit} {why}")]
    NoHost {
        /// The commit.
        commit: String,
        /// What it lacks, as "has no `/x`".
        why: String,
    },
    /// A path that libostree can only take as UTF-8 is not.
    #[error("`{0}` is not valid UTF-8")]
    Path(String),
}

fn words(why: GivenUp) -> String {
    match why {
        GivenUp::Silence(silence) => format!("nothing came for {} s", silence.as_secs()),
        GivenUp::Whole(whole) => match whole.as_secs() {
            seconds @ 0..120 => format!("it took longer than {seconds} s"),
            seconds => format!("it took longer than {} min", seconds / 60),
        },
    }
}

/// Says what was being done when a libostree or file call failed.
pub(crate) trait Doing<T> {
    fn doing(self, text: impl FnOnce() -> String) -> Result<T, DeployError>;
}

impl<T> Doing<T> for Result<T, ostree::glib::Error> {
    fn doing(self, text: impl FnOnce() -> String) -> Result<T, DeployError> {
        self.map_err(|source| DeployError::Ostree { doing: text(), source })
    }
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, text: impl FnOnce() -> String) -> Result<T, DeployError> {
        self.map_err(|source| DeployError::Io { doing: text(), source })
    }
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, text: impl FnOnce() -> String) -> Result<T, DeployError> {
        self.map_err(|errno| DeployError::Io { doing: text(), source: errno.into() })
    }
}
