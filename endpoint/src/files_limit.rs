//! How many files this process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides the connections: the database, its log, the listener, what is written just now.
const BESIDES: u64 = 64;

/// Raises the limit to what the system allows, and says so where that is not enough for so many
/// connections: the endpoint runs all the same, and refuses those beyond.
pub fn raise(connections: usize) {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: before.maximum, maximum: before.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(BESIDES);
    match getrlimit(Resource::Nofile).current {
        Some(files) if files < wanted => tracing::warn!(
            files,
            connections,
            "the system allows fewer open files than the connections that may be up; \
             `LimitNOFILE=` of the unit raises it"
        ),
        files => tracing::debug!(?files, "limit of open files"),
    }
}
