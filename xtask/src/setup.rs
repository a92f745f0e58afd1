//! `cargo xtask setup`: installs what this machine misses, and says so before it does.

mod apt;
mod packages;
mod python;
mod tools;

use anyhow::Result;
use clap::Args;

use crate::session::Session;
pub(crate) use apt::is_root;
pub(crate) use tools::{Tool, program as tool_program};

/// What was typed.
#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    /// Install without asking; so it is with `CI=true`
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What the machine is set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To build an image, boot it and give it work.
    Run,
    /// To run everything that CI runs.
    Test,
    /// To measure beside what others do.
    Peers,
}

/// Installs the Debian packages and tools that `purpose` needs and this machine misses.
///
/// # Errors
/// Nobody agreed, this user may not, or a download failed.
pub(crate) fn run(session: &Session, args: &SetupArgs, purpose: Purpose) -> Result<()> {
    // Twice: apt-get may have taken away a newer one of the list for the sake of another, as
    // `qemu-utils` from backports for `qemu-system-x86`.
    for _ in 0..2 {
        let missing = apt::missing(purpose)?;
        if !missing.is_empty() {
            apt::install(session, &missing, args.yes)?;
        }
    }
    if purpose == Purpose::Test {
        tools::install(session)?;
        python::install(session)?;
    }
    Ok(())
}
