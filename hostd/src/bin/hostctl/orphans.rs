//! Orphans: what this host made and nobody knows of any more. Somebody has to decide.

use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use basalt_api::local::{AdoptRequest, WORKLOADS_PATH, WorkloadList};
use basalt_api::report::{Source, WorkloadStatus};
use basalt_api::workload::WorkloadSpec;
use hostd::client::Client;
use hyper::Method;

use crate::print;
use crate::workloads::{Wish, each, read};

/// Which orphans are meant.
pub(crate) enum Which {
    All,
    Named(Vec<String>),
}

/// Whether somebody is asked before anything is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asks {
    First,
    Nothing,
}

pub(crate) async fn adopt(
    client: &Client,
    names: &[String],
    spec: Option<&Path>,
    json: bool,
) -> Result<ExitCode> {
    if spec.is_some() && names.len() > 1 {
        bail!("a spec is for one workload\nhint: adopt them one after the other");
    }
    let spec = spec.map(one_spec).transpose()?;
    let body = serde_json::to_vec(&AdoptRequest { spec })?.into();
    let wish = Wish { method: Method::POST, path: "/adopt", body, done: "adopted" };
    each(client, names, &wish, json).await
}

fn one_spec(file: &Path) -> Result<WorkloadSpec> {
    let (name, text) = read(file)?;
    let mut specs = basalt_workload_file::parse(&name, &text)?;
    match (specs.pop(), specs.len()) {
        (Some(spec), 0) => Ok(spec),
        _ => bail!("`{name}` must hold one workload"),
    }
}

pub(crate) async fn purge(
    client: &Client,
    which: Which,
    asks: Asks,
    json: bool,
) -> Result<ExitCode> {
    let list: WorkloadList = client.get(WORKLOADS_PATH).await?;
    let orphans = list.workloads.iter().filter(|one| one.source == Source::Orphaned);
    let names = match which {
        Which::All => orphans.clone().map(|one| one.uid.to_string()).collect(),
        Which::Named(names) => names,
    };
    if names.is_empty() {
        print(if json { b"{\n  \"results\": []\n}\n" } else { b"there is no orphan\n" })?;
        return Ok(ExitCode::SUCCESS);
    }
    if asks == Asks::First {
        let is_meant = |one: &&WorkloadStatus| {
            names.iter().any(|name| *name == one.uid.to_string() || name == one.name.as_str())
        };
        confirm(&orphans.filter(is_meant).collect::<Vec<_>>())?;
    }
    each(client, &names, &Wish::post("/purge", "purged"), json).await
}

/// Has somebody confirm it at a terminal. What is no orphan is refused later, and costs nothing.
fn confirm(orphans: &[&WorkloadStatus]) -> Result<()> {
    if orphans.is_empty() {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        bail!("nobody can be asked here\nhint: `--yes` purges without asking");
    }
    for one in orphans {
        eprintln!("{} ({}, {}, {})", one.name, one.kind, one.state, one.uid);
    }
    eprint!("stop and remove with all data? [y/N] ");
    io::stderr().flush().context("cannot ask")?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    if !matches!(answer.trim(), "y" | "Y" | "yes") {
        bail!("nothing was purged");
    }
    Ok(())
}
