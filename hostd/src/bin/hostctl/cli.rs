//! What can be typed.

use std::path::PathBuf;

use basalt_manual::{CompletionArgs, ManArgs};
use clap::{Parser, Subcommand};

/// Asks the host's supervisor, and tells it what the host itself shall run.
#[derive(Debug, Parser)]
#[command(name = "hostctl", version, propagate_version = true)]
pub(crate) struct Cli {
    /// The root of the file system to work in
    #[arg(long, value_name = "DIR", default_value = "/", hide = true, global = true)]
    pub(crate) root: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[command(disable_version_flag = true)]
pub(crate) enum Command {
    /// Show how this host is
    ///
    /// Exits with 0 when nothing is wrong, 1 when something is or hostd does not answer.
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the workloads of this host
    #[command(visible_alias = "ps")]
    Workloads {
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one workload: how it is, what it is made from, what happened to it
    Describe {
        /// Its name or uid
        name: String,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what hostd would do now, and what it is doing
    Plan {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Run workloads of this host's own, whatever its endpoint says
    ///
    /// The file holds one workload, or several under `[[workload]]`, as TOML or, with the ending
    /// `.json`, as JSON. A workload whose name is known is changed. Needs root.
    Apply {
        /// The file; `-` for standard input
        file: PathBuf,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete workloads of this host's own, with their data
    Delete {
        /// Their names or uids
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Let go of workloads that were stopped, or run finished ones once more
    Start {
        /// Their names or uids
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Stop workloads and keep them so, over reboots too, whoever wants them to run
    Stop {
        /// Their names or uids
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Show what a workload writes
    Logs {
        /// Its name or uid
        name: String,
        /// Go on with what it writes from now on
        #[arg(short, long)]
        follow: bool,
        /// So many lines from the end
        #[arg(short = 'n', long, value_name = "LINES")]
        tail: Option<u32>,
    },
    /// Show what happened to workloads
    Events {
        /// Go on with what happens from now on
        #[arg(short, long)]
        follow: bool,
        /// Print a line of JSON for each
        #[arg(long)]
        json: bool,
    },
    /// Wait until this boot has proved itself; systemd runs it at every boot
    ///
    /// Exits with 0 when the ledger is read, hostd has done its first round and answers, and the
    /// required units are active; with 1 when they are not by the deadline.
    Gate {
        /// How long to wait at most [default: `gate.deadline_s` of hostd.toml, or 120]
        #[arg(long, value_name = "SECONDS")]
        deadline: Option<u64>,
    },
    /// Print a shell's completion script
    Completion(CompletionArgs),
    /// Write the man pages
    Man(ManArgs),
}
