//! What can be typed.

use std::path::PathBuf;

use basalt_manual::{CompletionArgs, ManArgs};
use clap::{Parser, Subcommand};

/// Asks the host's supervisor, and tells it what the host itself shall run.
#[derive(Debug, Parser)]
#[command(name = "hostctl", version)]
pub(crate) struct Cli {
    /// The root of the file system to work in
    #[arg(long, value_name = "DIR", default_value = "/", hide = true, global = true)]
    pub(crate) root: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
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
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Let go of workloads that were stopped, or run finished ones once more
    Start {
        /// Their names or uids
        #[arg(required = true)]
        names: Vec<String>,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Stop workloads and keep them so, over reboots too, whoever wants them to run
    Stop {
        /// Their names or uids
        #[arg(required = true)]
        names: Vec<String>,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make orphans workloads of this host's own
    ///
    /// An orphan is an instance that this host made and that no ledger knows any more, or that
    /// belongs to the id of another host, as on a disk that was moved. It is listed, and left alone
    /// until somebody decides. An adopted one goes on with its data. Needs root.
    Adopt {
        /// Their names or uids, as `hostctl workloads` lists them
        #[arg(required = true)]
        names: Vec<String>,
        /// The workload's file, for an orphan whose spec is not known any more
        #[arg(long, value_name = "FILE")]
        spec: Option<PathBuf>,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Stop orphans and remove them with their data, for good
    ///
    /// Asks first, unless `--yes` says so; see `hostctl adopt --help` for what an orphan is. Needs
    /// root.
    Purge {
        /// Their names or uids, as `hostctl workloads` lists them
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// Every orphan
        #[arg(long, conflicts_with = "names")]
        all: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
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
        /// Print a line of JSON for each: `{"message": …}`
        #[arg(long)]
        json: bool,
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
    /// Print this host's numbers for Prometheus
    ///
    /// The same text is at `/v1/metrics` on hostd's socket, which the group `basalt` may read.
    Metrics,
    /// Wait until this boot has proved itself; systemd runs it at every boot
    ///
    /// Exits with 0 when the ledger is read, hostd has done its first round and answers, the
    /// required units are active, and the workloads that ran before the boot run again; with 1 when
    /// this is not so by the deadline. Workloads that are finished, held or deleted do not count,
    /// nor do those that did not run before either.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_its_version() {
        let said = Cli::try_parse_from(["hostctl", "--version"]).unwrap_err();
        assert_eq!(said.kind(), clap::error::ErrorKind::DisplayVersion);
    }
}
