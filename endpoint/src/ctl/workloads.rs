//! Workloads.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_api::id::Name;
use basalt_api::operator::{
    Applied, Apply as Asked, ApplyAnswer, Change, WORKLOADS_PATH, WorkloadDetail, WorkloadSummary,
};
use basalt_table::{facts, labels, shortened, table, time};
use hyper::Method;
use serde::Serialize;

use super::PATIENCE;
use super::args::Apply;
use super::login::Session;
use super::output::{Done, Named, Output, print};
use super::pages;
use super::wait;

/// How long a host may take to send a log, and then some.
const LOG_TIME: Duration = Duration::from_secs(45);

pub(super) async fn apply(session: &Session, output: Output, apply: &Apply) -> Result<()> {
    let (name, text) = read(&apply.file)?;
    let workloads = basalt_workload_file::parse(&name, &text)?;
    let asked = Asked { workloads, dry_run: apply.dry_run };
    let answer: ApplyAnswer =
        session.client.send(Method::POST, WORKLOADS_PATH, &asked, PATIENCE).await?;
    // Before the wait: it is applied whatever comes of it.
    output.show(&answer, |answer| {
        let rows: Vec<_> = answer.workloads.iter().map(applied_row).collect();
        table(["workload", "change", "host", "reason"], &rows)
    })?;
    if !apply.wait {
        return Ok(());
    }
    let names: Vec<Name> = answer.workloads.iter().map(|applied| applied.name.clone()).collect();
    let timeout = Duration::from_secs(apply.timeout.unsigned_abs());
    wait::until_they_run(&session.client, &names, timeout).await
}

fn applied_row(applied: &Applied) -> [String; 4] {
    let change = match applied.change {
        Change::Created => "created",
        Change::Changed => "changed",
        Change::Unchanged => "unchanged",
    };
    [
        applied.name.to_string(),
        change.to_owned(),
        applied.host.as_ref().map(ToString::to_string).unwrap_or_default(),
        applied.reason.clone().unwrap_or_default(),
    ]
}

fn read(path: &Path) -> Result<(String, String)> {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin { "standard input".to_owned() } else { path.display().to_string() };
    // One byte more than is taken, so that too long a file is told as such.
    let limit = basalt_document::MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = if is_stdin {
        io::stdin().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("cannot read `{name}`"))?;
    let text = String::from_utf8(bytes).with_context(|| format!("`{name}` is no UTF-8 text"))?;
    Ok((name, text))
}

pub(super) async fn delete(session: &Session, output: Output, name: &Name) -> Result<()> {
    let path = format!("{WORKLOADS_PATH}/{name}");
    session.client.call(Method::DELETE, &path, None, PATIENCE).await?.good()?;
    output.tell(&Done::new("deleted", Named { name }), &format!("deleted workload `{name}`"))
}

pub(super) async fn list(session: &Session, output: Output) -> Result<()> {
    let workloads = pages::workloads(&session.client).await?;
    output.show(&workloads, |workloads| {
        let rows: Vec<_> = workloads.workloads.iter().map(row).collect();
        table(["name", "kind", "host", "state", "restarts", "reason"], &rows)
    })
}

fn row(workload: &WorkloadSummary) -> [String; 6] {
    [
        workload.spec.name.to_string(),
        workload.spec.kind.to_string(),
        workload.host.as_ref().map(ToString::to_string).unwrap_or_default(),
        wait::state(workload).to_owned(),
        workload.status.as_ref().map(|status| status.restarts.to_string()).unwrap_or_default(),
        shortened(&reason(workload)),
    ]
}

fn reason(workload: &WorkloadSummary) -> String {
    let of_host = workload.status.as_ref().and_then(|status| status.reason.clone());
    workload.reason.clone().or(of_host).unwrap_or_default()
}

pub(super) async fn describe(session: &Session, output: Output, name: &Name) -> Result<()> {
    let path = format!("{WORKLOADS_PATH}/{name}");
    let detail: WorkloadDetail = session.client.get(&path, PATIENCE).await?;
    output.show(&detail, description)
}

fn description(detail: &WorkloadDetail) -> String {
    let workload = &detail.workload;
    let status = workload.status.as_ref();
    // As a person writes it.
    let spec = toml::to_string_pretty(&workload.spec).unwrap_or_default();
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    let host_has_it = workload.host.as_ref().map(|_| match detail.host_has_it {
        true => "has this set",
        false => "has not taken this set yet",
    });
    let host = workload
        .host
        .as_ref()
        .map(|host| format!("{host}, which {}", host_has_it.unwrap_or_default()));
    let exit_code = status.and_then(|status| status.exit_code).map(|code| code.to_string());
    let text = facts(&[
        ("name", workload.spec.name.to_string()),
        ("uid", workload.uid.to_string()),
        ("kind", workload.spec.kind.to_string()),
        ("labels", labels(&workload.spec.labels)),
        ("host", host.unwrap_or_default()),
        ("state", wait::state(workload).to_owned()),
        ("reason", reason(workload)),
        (
            "held",
            status
                .filter(|status| status.held)
                .map(|_| "by `hostctl stop`".to_owned())
                .unwrap_or_default(),
        ),
        ("restarts", status.map(|status| status.restarts.to_string()).unwrap_or_default()),
        ("exit code", exit_code.unwrap_or_default()),
        ("started", status.and_then(|status| status.started_at).map(time).unwrap_or_default()),
        ("addresses", status.map(|status| status.addresses.join(", ")).unwrap_or_default()),
        ("applied", time(workload.applied_at)),
    ]);
    format!("{text}\nspec\n{spec}")
}

/// The end of a log.
#[derive(Debug, Serialize)]
struct Log<'a> {
    name: &'a Name,
    /// What is no text in it is replaced.
    text: String,
}

pub(super) async fn logs(session: &Session, output: Output, name: &Name, lines: u32) -> Result<()> {
    let path = format!("{WORKLOADS_PATH}/{name}/logs?lines={lines}");
    let reply = session.client.call(Method::GET, &path, None, LOG_TIME).await?.good()?;
    if !output.is_json {
        return print(&reply.body);
    }
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    output.show(&Log { name, text }, |log| log.text.clone())
}
