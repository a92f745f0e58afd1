//! `basalt-endpoint`, which tells hosts what to run.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use basalt_endpoint::backup;
use basalt_endpoint::daemon::{self, Options};
use basalt_endpoint::data::Data;
use basalt_endpoint::duration;
use basalt_endpoint::names::EndpointUrl;
use basalt_endpoint::restore::{self, Overwrite};
use basalt_endpoint::server::MAX_CONNECTIONS;
use basalt_endpoint::store::trouble;
use basalt_endpoint_core::pace::Pace;
use basalt_log::Filter;
use basalt_manual::{CompletionArgs, ManArgs};
use clap::{CommandFactory, Parser, Subcommand};
use rustix::fs::Mode;
use serde_json::{Value, json};

/// Tells Basalt hosts what to run. Without a command, it runs until it is asked to stop
#[derive(Debug, Parser)]
#[command(name = "basalt-endpoint", version)]
struct Cli {
    /// The folder of everything that it knows; made on the first start
    #[arg(long, value_name = "DIR", global = true, default_value = "/var/lib/basalt-endpoint")]
    data: PathBuf,
    /// The address to listen on
    #[arg(long, value_name = "ADDR", default_value = "0.0.0.0:8443")]
    listen: SocketAddr,
    /// A URL at which hosts reach it, as `https://endpoint.example:8443`; may be repeated
    ///
    /// Without one it is the address that it listens on, or the machine's name where that is every
    /// address.
    #[arg(long, value_name = "URL", num_args = 1..)]
    advertise: Vec<EndpointUrl>,
    /// How long a host's certificate is good, as `30d`
    #[arg(long, value_name = "SPAN", value_parser = duration::parse, default_value = "30d")]
    cert_life: i64,
    /// How long a CA is good; it has a successor before the last third of that begins
    #[arg(long, value_name = "SPAN", value_parser = duration::parse, default_value = "7320d")]
    ca_life: i64,
    /// How many connections may be up at once; the system's hard limit of open files must allow them
    ///
    /// One address has at most a quarter of them until a certificate says whose they are; a host has
    /// at most 32.
    #[arg(long, value_name = "N", default_value_t = MAX_CONNECTIONS)]
    max_connections: usize,
    /// Find out so many times faster who is silent: for tests, which cannot wait for minutes
    #[arg(long, value_name = "TIMES", hide = true, default_value_t = Pace::CALM.times)]
    quicken: u64,
    /// What to log, as `info,basalt_endpoint=debug`
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the database and the keys to one new file, also while the endpoint runs
    Backup {
        /// The file; who has it is the endpoint
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Put a backup into the folder, while no endpoint runs there
    ///
    /// Hosts that took a newer set than the backup knows keep what they run and are frozen until
    /// `basaltctl hosts resync` decides. Hosts that were removed after the backup are back.
    Restore {
        /// The file
        file: PathBuf,
        /// Replace what is in the folder
        #[arg(long)]
        overwrite: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a shell's completion script
    Completion(CompletionArgs),
    /// Write the man pages
    Man(ManArgs),
}

fn main() -> ExitCode {
    // Nothing that it writes is for others, whoever made the folder; what is says so itself.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return basalt_manual::exit(&said),
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", basalt_explain::explain(&error));
            // 1 where whoever started it can mend it.
            if trouble::is_ours(&error) { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    let data = Data::at(&cli.data);
    match cli.command {
        None => {
            begin_logging(&cli.log)?;
            daemon::run(&Options {
                data,
                listen: cli.listen,
                advertise: cli.advertise,
                certificate_life: cli.cert_life,
                ca_life: cli.ca_life,
                max_connections: cli.max_connections,
                pace: Pace { times: cli.quicken },
            })
        }
        Some(Command::Backup { file, json }) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(backup::backup(&data, &file))?;
            let told = format!("wrote `{}`: whoever has it is this endpoint", file.display());
            tell(json, &json!({ "did": "backed_up", "file": file }), &told)
        }
        Some(Command::Restore { file, overwrite, json }) => {
            let overwrite = if overwrite { Overwrite::Yes } else { Overwrite::No };
            restore::restore(&data, &file, overwrite)?;
            let told = format!(
                "restored `{}`; the operator's token is that of the backup",
                file.display()
            );
            tell(json, &json!({ "did": "restored", "file": file }), &told)
        }
        Some(Command::Completion(args)) => print(&basalt_manual::completion(Cli::command(), &args)),
        Some(Command::Man(args)) => {
            basalt_manual::write_pages(Cli::command(), &args).context("cannot write")?;
            Ok(())
        }
    }
}

/// Tells what was done: as JSON, or a person in a sentence, which is no data.
fn tell(is_json: bool, done: &Value, for_people: &str) -> Result<()> {
    if is_json {
        return print(format!("{done:#}\n").as_bytes());
    }
    eprintln!("{for_people}");
    Ok(())
}

fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot print"),
    }
}

fn begin_logging(filter: &str) -> Result<()> {
    let filter = Filter::parse(filter)
        .with_context(|| format!("`--log {filter}`\nhint: {}", basalt_log::HINT))?;
    basalt_log::begin(filter);
    Ok(())
}
