//! `cargo xtask proof`: proves what takes long, a piece at a time, and keeps what was proven.
//!
//! A proof that is interrupted goes on where it was, as long as the commit is the same. What failed
//! is kept too, with the seed that shows it again.

mod hosts;
mod install;
mod kills;
mod part;
mod record;
mod updates;

use std::time::SystemTime;

use anyhow::{Context, Result};
use clap::Args;

use crate::session::Session;
use crate::setup::{self, Purpose, SetupArgs};
pub(crate) use record::{Piece, Record};

/// What was typed.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct ProofArgs {
    #[command(flatten)]
    setup: SetupArgs,
    /// Say which proofs there are, and what was proven of this commit
    #[arg(long, group = "what")]
    list: bool,
    /// Kills, for `kills`
    #[arg(long, value_name = "NUMBER", default_value_t = 500)]
    kills: u64,
    /// Run the piece of this seed and no more, as one that failed is shown again
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// Which one
    #[arg(value_parser = names(), group = "what")]
    name: Option<String>,
}

/// What a proof goes by.
struct Ground<'a> {
    session: &'a Session,
    args: &'a ProofArgs,
    now: SystemTime,
}

struct Proof {
    name: &'static str,
    about: &'static str,
    run: fn(&Ground<'_>, &mut Record) -> Result<()>,
}

const PROOFS: &[Proof] = &[
    Proof {
        name: "kills",
        about: "kill -9 of hostd, hostd-virt, endpoint, podman, dockerd and libvirtd at random \
                moments",
        run: kills::run,
    },
    Proof {
        name: "hosts",
        about: "a first boot beside another host's disk, disks that claim to be the same, a copy",
        run: hosts::run,
    },
    Proof {
        name: "install",
        about: "an installation by each way, from each place of a kickstart, to each kind of disk",
        run: install::run,
    },
    Proof {
        name: "updates",
        about: "every way in which an update may go wrong: the host boots, and says what happened",
        run: updates::run,
    },
];

fn names() -> Vec<&'static str> {
    PROOFS.iter().map(|proof| proof.name).collect()
}

/// Goes on with a proof until it is done, and writes `proofs/DATE-COMMIT-NAME.json` after each
/// piece.
///
/// # Errors
/// Something does not hold, or cannot be tried.
pub(crate) fn run(session: &Session, args: &ProofArgs, now: SystemTime) -> Result<()> {
    let Some(name) = args.name.as_deref() else { return list(session, now) };
    let proof = PROOFS.iter().find(|proof| proof.name == name).context("no such proof")?;
    setup::run(session, &args.setup, Purpose::Test)?;
    let mut record = Record::begin(session, proof.name, now)?;
    let result = (proof.run)(&Ground { session, args, now }, &mut record);
    println!("{record}");
    result
}

fn list(session: &Session, now: SystemTime) -> Result<()> {
    for proof in PROOFS {
        println!("{:<10}{}", proof.name, proof.about);
        let record = Record::begin(session, proof.name, now)?;
        if !record.is_empty() {
            println!("{record}");
        }
    }
    Ok(())
}
