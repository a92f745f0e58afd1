//! The host itself: its status, its gate.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_api::STATUS_PATH;
use basalt_api::checks::Weight;
use basalt_api::local::METRICS_PATH;
use basalt_api::status::HostStatus;
use hostd::client::Client;
use hostd::paths::Paths;
use hostd::{checks as hostd_checks, config, gate as hostd_gate, show};

use crate::{credentials, print, print_json, write};

pub(crate) async fn status(client: &Client, json: bool) -> Result<ExitCode> {
    let status: HostStatus = client.get(STATUS_PATH).await?;
    if json {
        print_json(&status)?;
    } else {
        print(show::status(&status).as_bytes())?;
    }
    Ok(if status.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

pub(crate) async fn metrics(client: &Client) -> Result<ExitCode> {
    client.follow(METRICS_PATH, write).await?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn gate(paths: &Paths, deadline: Option<u64>) -> ExitCode {
    let configured = || config::load(paths, credentials().as_deref()).config.gate_deadline;
    let deadline = deadline.map_or_else(configured, Duration::from_secs);
    match hostd_gate::wait(&paths.socket(), deadline).await {
        Ok(status) => {
            eprintln!("this boot is good: version {}, {}", status.version, status.boot);
            ExitCode::SUCCESS
        }
        Err(against) => {
            eprintln!("error: this boot is not good after {} s", deadline.as_secs());
            for reason in against {
                eprintln!("  {reason}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Those that only are wanted are said first: what the last lines say is why a trial failed.
pub(crate) fn checks(paths: &Paths) -> Result<ExitCode> {
    let budget = config::load(paths, credentials().as_deref()).config.gate_deadline;
    let mut failed = hostd_checks::run(paths, budget).context("cannot look for checks")?;
    hostd_checks::keep(paths, &failed).context("cannot write down which checks failed")?;
    failed.sort_by_key(|check| std::cmp::Reverse(check.weight));
    for check in &failed {
        eprintln!("{}: {}", check.path, check.how);
        for line in &check.lines {
            eprintln!("  {line}");
        }
    }
    let is_bad = failed.iter().any(|check| check.weight == Weight::Required);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
