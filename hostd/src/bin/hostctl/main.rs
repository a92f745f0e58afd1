//! `hostctl` asks the host's supervisor.

mod cli;
mod host;
mod lines;
mod orphans;
mod os;
mod workloads;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use hostd::client::{Client, ClientError};
use hostd::os::OsError;
use hostd::paths::Paths;
use hostd::runtime::LogsWanted;

use cli::{Cli, Command};
use orphans::{Asks, Which};
use workloads::Form;

/// How long `hostctl` waits for an answer.
const ANSWER: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return basalt_manual::exit(&said),
    };
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            let code = exit_code(&error);
            eprintln!("error: {}", basalt_explain::explain(&error));
            code
        }
    }
}

/// 2 where hostd is at fault, 1 where the user can mend it.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    let is_ours = error.downcast_ref::<ClientError>().is_some_and(ClientError::is_hostds_fault)
        || error.downcast_ref::<OsError>().is_some_and(OsError::is_hostd_oss_fault);
    if is_ours { ExitCode::from(2) } else { ExitCode::FAILURE }
}

#[tokio::main(flavor = "current_thread")]
async fn run(cli: Cli) -> Result<ExitCode> {
    let paths = Paths::under(&cli.root);
    let client = Client::new(&paths.socket(), ANSWER);
    match cli.command {
        Command::Status { json } => host::status(&client, json).await,
        Command::Gate { deadline } => Ok(host::gate(&paths, deadline).await),
        Command::Checks => host::checks(&paths),
        Command::Metrics => host::metrics(&client).await,
        Command::Workloads { json } => workloads::list(&client, json).await,
        Command::Describe { name, json } => workloads::describe(&client, &name, json).await,
        Command::Plan { json } => workloads::plan(&client, json).await,
        Command::Apply { file, dry_run, json } => {
            workloads::apply(&client, &file, dry_run, json).await
        }
        Command::Delete { names, json } => workloads::delete(&client, &names, json).await,
        Command::Start { names, json } => workloads::start(&client, &names, json).await,
        Command::Stop { names, json } => workloads::stop(&client, &names, json).await,
        Command::Adopt { names, spec, json } => {
            orphans::adopt(&client, &names, spec.as_deref(), json).await
        }
        Command::Purge { names, all, yes, json } => {
            let which = if all { Which::All } else { Which::Named(names) };
            let asks = if yes { Asks::Nothing } else { Asks::First };
            orphans::purge(&client, which, asks, json).await
        }
        Command::Logs { name, follow, tail, json } => {
            let form = if json { Form::Json } else { Form::Raw };
            workloads::logs(&client, &name, LogsWanted { tail, follow }, form).await
        }
        Command::Events { follow, json } => workloads::events(&client, follow, json).await,
        Command::Os { command } => os::run(&paths, command).await,
        Command::Completion(args) => {
            print(&basalt_manual::completion(Cli::command(), &args))?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Man(args) => {
            basalt_manual::write_pages(Cli::command(), &args).context("cannot write")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Prints; whoever has read enough, as `head` does, ends it without an error.
fn print(bytes: &[u8]) -> Result<()> {
    write(bytes).map(|_| ()).context("cannot print")
}

/// Prints a part; whether somebody still reads.
fn write(bytes: &[u8]) -> io::Result<bool> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}

fn print_json<T: serde::Serialize>(value: &T) -> Result<()> {
    print((serde_json::to_string_pretty(value)? + "\n").as_bytes())
}

/// systemd's folder of credentials, where there is one.
fn credentials() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}
