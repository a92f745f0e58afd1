//! The host itself: its status, its gate.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use basalt_api::STATUS_PATH;
use basalt_api::local::METRICS_PATH;
use basalt_api::status::HostStatus;
use hostd::client::Client;
use hostd::paths::Paths;
use hostd::{config, gate as hostd_gate, show};

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
