//! What can be typed.

use std::path::PathBuf;

use basalt_api::os::TRIES;
use basalt_manual::{CompletionArgs, ManArgs};
use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Update the system of this host as a whole, and go back
    ///
    /// There are two slots: an update goes into the one that does not run, and the next boot is its
    /// trial. When the host proves healthy it is kept, else the other slot comes back. Needs root.
    Os {
        #[command(subcommand)]
        command: Os,
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
    /// Run this host's own checks; systemd runs it at every boot, after the gate
    ///
    /// Checks are programs in `/usr/lib/basalt/required.d` and `wanted.d`, which the image brings,
    /// and in `/etc/basalt/required.d` and `wanted.d`, which are the operator's. They run as root,
    /// one after the other by their names, each for 60 seconds at most and all together for
    /// `gate.deadline_s`. Where a required one fails, also one of the operator's, this boot has not
    /// proved itself: exits with 1, and a release on trial is not kept. One that is only wanted is
    /// told by `hostctl status` and stops nothing.
    Checks,
    /// Print a shell's completion script
    Completion(CompletionArgs),
    /// Write the man pages
    Man(ManArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Os {
    /// Show what the slots hold, what boots next, and what became of releases here
    Status {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show which release is offered, and whether this host would take it
    Check {
        #[command(flatten)]
        source: OsSource,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a release into the other slot; the next boot is its trial
    ///
    /// It may be interrupted at any moment and begun again: the host boots, and what was downloaded
    /// stays. Once begun, it goes on although nobody looks on any more.
    Update {
        #[command(flatten)]
        source: OsSource,
        /// Boots in which it has to prove itself
        #[arg(long, value_name = "NUMBER", default_value_t = TRIES,
              value_parser = clap::value_parser!(u32).range(1..=9))]
        tries: u32,
        /// Whether to reboot once it is in place
        #[arg(long, value_enum, value_name = "WHEN", default_value_t = RebootWhen::Never)]
        reboot: RebootWhen,
        /// Only bring it over: nothing that boots changes
        #[arg(long, conflicts_with_all = ["tries", "reboot"])]
        download_only: bool,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Withdraw what waits to be tried at the next boot: a release, or kernel arguments
    ///
    /// What runs boots again. The slot that the release was put into holds nothing that boots then.
    Cancel {
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Boot the other slot's release at the next boot
    ///
    /// It boots as it did last, also with the kernel arguments of the host's own that it had then;
    /// they are the host's again.
    Rollback {
        /// Whether to reboot now
        #[arg(long, value_enum, value_name = "WHEN", default_value_t = RebootWhen::Never)]
        reboot: RebootWhen,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the host's own kernel arguments, or change them by a trial
    ///
    /// The next boot is a trial of what runs with the arguments as changed; once it has proved
    /// itself, every release that comes boots with them. Without `--append` and `--delete`, shows them.
    Kargs {
        /// An argument to add, at the end
        #[arg(long, value_name = "ARG")]
        append: Vec<String>,
        /// An argument of the host's own to take away
        #[arg(long, value_name = "ARG")]
        delete: Vec<String>,
        /// Boots in which they have to prove themselves
        #[arg(long, value_name = "NUMBER", default_value_t = TRIES,
              value_parser = clap::value_parser!(u32).range(1..=9))]
        tries: u32,
        /// Whether to reboot once it is in place
        #[arg(long, value_enum, value_name = "WHEN", default_value_t = RebootWhen::Never)]
        reboot: RebootWhen,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the host what it was when it was first installed
    ///
    /// The next boot does it, before anything else, and reboots. It takes `/etc`, what hostd and
    /// hostd-os know (identity, workloads, secrets, verdicts), the configuration that came on the
    /// EFI partition, root's home with the keys of who may log in, the host's own kernel arguments,
    /// and the release in the other slot. What workloads have in `/var` stays, unless `--all` takes
    /// all of it. Nothing is overwritten: a disk that leaves your hands wants more than this.
    ///
    /// A `host.toml` that lies on the EFI partition as `basalt/host.toml` is taken by the boot after
    /// it. The loader's menu, which a key held at power-on shows, has the same for a host that does
    /// not come up. Asks first, unless `--yes` says so.
    FactoryReset {
        /// All of `/var`, too: every workload with its data
        #[arg(long)]
        all: bool,
        /// Withdraw one that has not begun
        #[arg(long, conflicts_with_all = ["all", "yes", "reboot"])]
        cancel: bool,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
        /// Whether to reboot now
        #[arg(long, value_enum, value_name = "WHEN", default_value_t = RebootWhen::Never)]
        reboot: RebootWhen,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what was done to the system
    History {
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take no update until `unpin`
    Pin {
        /// Why, for who asks
        #[arg(default_value = "an operator wants it so")]
        reason: String,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take updates again
    Unpin {
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Forget what became of a release here, so that it may be tried again
    Clear {
        /// Its version or its commit
        release: String,
        /// Print what came of it as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Where releases come from.
#[derive(Debug, Args)]
pub(crate) struct OsSource {
    /// This version, also an older one [default: the release of now]
    #[arg(long, value_name = "VERSION")]
    pub(crate) version: Option<String>,
    /// The archive [default: `updates.url` of hostd.toml]
    #[arg(long, value_name = "URL", value_parser = archive)]
    pub(crate) url: Option<String>,
    /// The CA of its server [default: `updates.ca` of hostd.toml, or the CAs that the system knows]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

/// When to reboot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RebootWhen {
    /// As soon as it is in place
    Now,
    /// Once one of `updates.windows` of hostd.toml is open; a reboot before is as good
    Window,
    /// Somebody else will
    Never,
}

fn archive(text: &str) -> Result<String, String> {
    if hostd::config::is_archive(text) {
        return Ok(text.to_owned());
    }
    Err("it begins with `https://`, `http://` or `file:///`".to_owned())
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
