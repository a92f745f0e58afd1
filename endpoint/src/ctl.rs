//! `basaltctl`: what an operator types, asked of the endpoint and shown.

mod access;
pub mod args;
mod ask;
mod events;
mod hosts;
mod login;
mod os;
mod output;
mod pages;
mod resync;
mod wait;
mod workloads;

use std::time::Duration;

use anyhow::{Context, Result};
use basalt_api::fault::Fault;
use clap::CommandFactory;

use args::{Cli, Command};
use login::Session;
use output::Output;

/// How long an answer may take that nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Does what was typed.
///
/// # Errors
/// It cannot be done; see [`exit_code`].
pub async fn run(cli: Cli) -> Result<()> {
    let output = Output { is_json: cli.json };
    match cli.command {
        Command::Login(login) => return login::login(&login, output).await,
        Command::Schema => {
            return output::print(basalt_workload_file::schema::text().as_bytes());
        }
        Command::Completion(args) => {
            let script = basalt_manual::completion(Cli::command(), &args);
            return output.script(&script);
        }
        Command::Man(args) => {
            let pages = basalt_manual::write_pages(Cli::command(), &args);
            return output.pages(pages.context("cannot write")?);
        }
        _ => (),
    }
    let session = Session::load(login::Environment::read())?;
    match cli.command {
        Command::Token(command) => access::token(&session, output, command).await,
        Command::Operator(command) => access::operator(&session, output, command).await,
        Command::Secret(command) => access::secret(&session, output, command).await,
        Command::Hosts { command } => hosts::hosts(&session, output, command).await,
        Command::Os(command) => os::os(&session, output, command).await,
        Command::Apply(apply) => workloads::apply(&session, output, &apply).await,
        Command::Delete { name } => workloads::delete(&session, output, &name).await,
        Command::Workloads => workloads::list(&session, output).await,
        Command::Describe { name } => workloads::describe(&session, output, &name).await,
        Command::Logs { name, lines } => workloads::logs(&session, output, &name, lines).await,
        Command::Events { follow } => events::events(&session, output, follow).await,
        Command::Audit => events::audit(&session, output).await,
        Command::Login(_) | Command::Schema | Command::Completion(_) | Command::Man(_) => Ok(()),
    }
}

/// 1 where the user can mend it, 2 where the endpoint broke.
#[must_use]
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Fault>() {
        Some(fault) if fault.status >= 500 => 2,
        _ => 1,
    }
}
