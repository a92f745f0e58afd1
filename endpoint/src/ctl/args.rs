//! What can be typed. Nothing here does anything.

use std::path::PathBuf;

use basalt_api::id::Name;
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
