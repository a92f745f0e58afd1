//! What can be typed. Nothing here does anything.

use std::path::PathBuf;

use basalt_api::id::Name;
use basalt_api::rollout::{DEFAULT_CHANNEL, DEFAULT_GROUP, Wave};
use basalt_https::Fingerprint;
use basalt_manual::{CompletionArgs, ManArgs};
use clap::{Args, Parser, Subcommand};
use uuid::Uuid;

use crate::duration;
use crate::names::EndpointUrl;

/// Tells a Basalt endpoint what its hosts shall run
///
/// `BASALT_URL`, `BASALT_CA_FINGERPRINT` and `BASALT_TOKEN_FILE` go before what `login` saved.
#[derive(Debug, Parser)]
#[command(name = "basaltctl", version)]
pub struct Cli {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Remember an endpoint and the operator's token
    Login(Login),
    /// Make, list and revoke tokens by which hosts enrol
    #[command(subcommand)]
    Token(Token),
    /// The operator's own token
    #[command(subcommand)]
    Operator(Operator),
    /// Set, list and remove secrets
    #[command(subcommand)]
    Secret(Secret),
    /// List, show and decide about hosts
    Hosts {
        /// What about them [default: list them]
        #[command(subcommand)]
        command: Option<Hosts>,
    },
    /// Bring hosts to another release of the system
    #[command(subcommand)]
    Os(Os),
    /// Apply the workloads of a file: all of them, or none where one is wrong
    Apply(Apply),
    /// Delete a workload
    Delete {
        /// Its name
        name: Name,
    },
    /// List the workloads
    Workloads,
    /// Show a workload, how it is and why
    Describe {
        /// Its name
        name: Name,
    },
    /// Print the end of what a workload printed, from its host
    Logs {
        /// Its name
        name: Name,
        /// Lines from the end
        #[arg(long, short = 'n', default_value_t = 100)]
        lines: u32,
    },
    /// List what happened
    Events {
        /// Go on as it happens
        #[arg(long, short)]
        follow: bool,
    },
    /// List who asked the endpoint for what
    Audit,
    /// Print the JSON Schema of a file of workloads, for editors and other tools
    Schema,
    /// Print a shell's completion script
    Completion(CompletionArgs),
    /// Write the man pages
    Man(ManArgs),
}

/// What `login` takes.
#[derive(Debug, Args)]
pub struct Login {
    /// The endpoint, as `https://endpoint.example:8443`
    pub url: EndpointUrl,
    /// SHA-256 of its CA's certificate: `ca.sha256` in the endpoint's folder, and in its log
    #[arg(long, value_name = "SHA256")]
    pub ca_fingerprint: Fingerprint,
    /// A file with the operator's token: `operator.token` in the endpoint's folder
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
}

/// Tokens by which hosts enrol.
#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token and print its join string, this once; it is a secret
    Create {
        /// How many hosts may redeem it
        #[arg(long, default_value_t = 1)]
        uses: u32,
        /// How long it is good, as `12h`
        #[arg(long, value_name = "SPAN", value_parser = duration::parse, default_value = "1d")]
        expires: i64,
        /// A label that its hosts get, as `rack=4`; may be repeated
        #[arg(long = "label", visible_alias = "labels", value_name = "KEY=VALUE", value_parser = label)]
        labels: Vec<(String, String)>,
        /// The host whose place and name the new one takes; the old one is removed
        #[arg(long, value_name = "HOST")]
        replace: Option<Name>,
        /// Print the secret alone, for hosts whose kernel arguments have `basalt.endpoint=URL` (one
        /// or more) and `basalt.ca=SHA256`, as PXE gives them; the secret itself must not be there
        #[arg(long)]
        bare: bool,
    },
    /// List the tokens
    List,
    /// Take a token back; hosts that redeemed it stay
    Revoke {
        /// Its id, as `token list` shows it
        id: Uuid,
    },
}

/// The operator's own token.
#[derive(Debug, Subcommand)]
pub enum Operator {
    /// Replace it; the old one is worth nothing from now on
    Rotate,
}

/// Secrets.
#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Give a secret a value; workloads that use it are replaced
    ///
    /// The value is taken as it is, a final newline too.
    Set {
        /// Its name
        name: Name,
        /// The file that holds the value [default: standard input]
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List the secrets, without their values
    List,
    /// Remove a secret that no workload uses
    Rm {
        /// Its name
        name: Name,
    },
}

/// Hosts.
#[derive(Debug, Subcommand)]
pub enum Hosts {
    /// Show a host and what it reports
    Show {
        /// Its name
        host: Name,
    },
    /// Remove a host: its certificate is worth nothing, its workloads go elsewhere
    Remove {
        /// Its name
        host: Name,
        /// Also while it is there and runs workloads, which nobody can stop then
        #[arg(long)]
        force: bool,
    },
    /// Give a host nothing new; what it runs stays
    Cordon {
        /// Its name
        host: Name,
    },
    /// Give a host new workloads again
    Uncordon {
        /// Its name
        host: Name,
    },
    /// Decide whose set counts on a host that is frozen, as after a restored backup
    #[command(group = clap::ArgGroup::new("keep").required(true))]
    Resync {
        /// Its name
        host: Name,
        /// What the host runs goes on, and the endpoint takes it over; it is shown first, for it is
        /// only what the host says
        #[arg(long, group = "keep")]
        keep_host: bool,
        /// Keep what the host runs without asking
        #[arg(long, conflicts_with = "from_endpoint")]
        yes: bool,
        /// The host gets what the endpoint's database says
        #[arg(long, group = "keep")]
        from_endpoint: bool,
    },
}

/// Releases of the system.
#[derive(Debug, Subcommand)]
pub enum Os {
    /// Names for versions; a host follows the one of its label `channel`, or `stable`
    #[command(subcommand)]
    Channel(Channel),
    /// Bring the hosts of a channel to its version, some before the others
    #[command(subcommand)]
    Rollout(Box<Rollout>),
    /// Groups of hosts of which only some reboot at once
    #[command(subcommand)]
    Group(Group),
}

/// Channels.
#[derive(Debug, Subcommand)]
pub enum Channel {
    /// List them
    List,
    /// Give a channel a version; `rollout start` then brings its hosts there
    Set {
        /// Its name
        name: Name,
        /// The version, as `basalt publish` offers it
        version: String,
    },
    /// Remove a channel
    Rm {
        /// Its name
        name: Name,
    },
}

/// Rollouts.
#[derive(Debug, Subcommand)]
pub enum Rollout {
    /// Begin to bring the hosts of a channel to its version
    Start(RolloutStart),
    /// Show how far it is
    Status {
        /// The channel [default: all]
        #[arg(long)]
        channel: Option<Name>,
    },
    /// Hold it; hosts that reboot already go on
    Pause {
        /// The channel
        #[arg(long, default_value = DEFAULT_CHANNEL)]
        channel: Name,
    },
    /// Let it go on, also after too many hosts failed: those do not count any more
    Resume {
        /// The channel
        #[arg(long, default_value = DEFAULT_CHANNEL)]
        channel: Name,
        /// Hosts that failed try again
        #[arg(long)]
        retry: bool,
    },
    /// End it; hosts that have not rebooted stay as they are
    Abort {
        /// The channel
        #[arg(long, default_value = DEFAULT_CHANNEL)]
        channel: Name,
    },
}

/// What `rollout start` takes.
#[derive(Debug, Args)]
pub struct RolloutStart {
    /// The channel
    #[arg(long, default_value = DEFAULT_CHANNEL)]
    pub channel: Name,
    /// Who goes first: a part of the hosts, as `10%`, or those with a label, as `rack=4`; may be
    /// repeated, and whoever is in none goes last
    #[arg(long = "wave", value_name = "WAVE")]
    pub waves: Vec<Wave>,
    /// How long a wave has to run well before the next one begins
    #[arg(long, value_name = "SPAN", value_parser = duration::parse, default_value = "30m")]
    pub soak: i64,
    /// How many hosts may fail; one more stops it
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_failures: u32,
    /// When hosts may reboot, as `Sat,Sun 02:00-05:00 Europe/Berlin`; may be repeated [default: at
    /// any time]
    #[arg(long = "window", value_name = "WINDOW")]
    pub windows: Vec<String>,
    /// The group whose limit on reboots at once counts
    #[arg(long, default_value = DEFAULT_GROUP)]
    pub group: Name,
    /// How long workloads with `policy = "replace_after"` have to move to other hosts before a
    /// reboot
    #[arg(long, value_name = "SPAN", value_parser = duration::parse, default_value = "10m", conflicts_with = "no_drain")]
    pub drain: i64,
    /// Move nothing: what a host runs waits for it to come back
    #[arg(long)]
    pub no_drain: bool,
}

/// Groups of hosts.
#[derive(Debug, Subcommand)]
pub enum Group {
    /// List them, and who reboots now
    List,
    /// Say how many of a group may reboot at once
    Set {
        /// Its name
        name: Name,
        /// How many; with 0 nobody reboots
        #[arg(long, value_name = "N")]
        slots: u32,
    },
    /// Remove a group
    Rm {
        /// Its name
        name: Name,
    },
    /// Let hosts that are not Basalt's take part, by FleetLock; prints their `base_url`, this once
    Fleetlock {
        /// The group's name
        name: Name,
        /// Let them take part no more
        #[arg(long)]
        off: bool,
    },
    /// Take back the leave to reboot of a host that is not Basalt's
    Unlock {
        /// The group's name
        name: Name,
        /// What the host calls itself, as `list` shows it
        id: String,
    },
}

/// What `apply` takes.
#[derive(Debug, Args)]
pub struct Apply {
    /// TOML or JSON: one workload, or a list under `[[workload]]`; `-` is standard input
    pub file: PathBuf,
    /// Wait until they run
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "SPAN", value_parser = duration::parse, default_value = "5m", requires = "wait")]
    pub timeout: i64,
    /// Say what would follow and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("a label is `KEY=VALUE`")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn clap_finds_no_fault() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_resync_says_whose_set_counts() {
        let parse = |rest: &[&str]| {
            Cli::try_parse_from([&["basaltctl", "hosts", "resync", "a"], rest].concat()).is_ok()
        };
        assert!(parse(&["--keep-host"]) && parse(&["--from-endpoint"]));
        assert!(!parse(&[]) && !parse(&["--keep-host", "--from-endpoint"]));
        assert!(parse(&["--keep-host", "--yes"]) && !parse(&["--from-endpoint", "--yes"]));
    }
}
