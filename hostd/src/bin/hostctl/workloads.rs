//! Workloads: what is asked and how the answer looks.

use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use basalt_api::id::WorkloadUid;
use basalt_api::local::{
    ApplyAnswer, ApplyRequest, EVENTS_PATH, Event, PLAN_PATH, PlanAnswer, WORKLOADS_PATH,
    WorkloadDescription, WorkloadList,
};
use basalt_document::MAX_BYTES;
use hostd::client::Client;
use hostd::show::workloads as show;
use hyper::Method;
use hyper::body::Bytes;

use crate::{print, print_json, write};

pub(crate) async fn list(client: &Client, json: bool) -> Result<ExitCode> {
    let list: WorkloadList = client.get(WORKLOADS_PATH).await?;
    if json {
        print_json(&list)?;
    } else {
        print(show::list(&list.workloads).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn describe(client: &Client, name: &str, json: bool) -> Result<ExitCode> {
    let one: WorkloadDescription = client.get(&path(name, "")?).await?;
    if json {
        print_json(&one)?;
    } else {
        print(show::describe(&one)?.as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn plan(client: &Client, json: bool) -> Result<ExitCode> {
    let plan: PlanAnswer = client.get(PLAN_PATH).await?;
    if json {
        print_json(&plan)?;
    } else {
        print(show::plan(&plan).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn apply(
    client: &Client,
    file: &Path,
    dry_run: bool,
    json: bool,
) -> Result<ExitCode> {
    let (name, text) = read(file)?;
    let workloads = basalt_workload_file::parse(&name, &text)?;
    let body = serde_json::to_vec(&ApplyRequest { workloads, dry_run })?;
    let answer: ApplyAnswer = client.ask(Method::POST, WORKLOADS_PATH, body.into()).await?;
    if json {
        print_json(&answer)?;
    } else {
        for result in &answer.results {
            let would = if dry_run { "would be " } else { "" };
            print(format!("{}: {would}{}\n", result.name, result.result).as_bytes())?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn delete(client: &Client, names: &[String]) -> Result<ExitCode> {
    each(client, names, Method::DELETE, "", "deleted").await
}

pub(crate) async fn start(client: &Client, names: &[String]) -> Result<ExitCode> {
    each(client, names, Method::POST, "/start", "let go").await
}

pub(crate) async fn stop(client: &Client, names: &[String]) -> Result<ExitCode> {
    each(client, names, Method::POST, "/stop", "held").await
}

/// Asks for each; one that is refused does not keep the others from being asked for.
async fn each(
    client: &Client,
    names: &[String],
    method: Method,
    wish: &str,
    done: &str,
) -> Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for name in names {
        match client.ask::<WorkloadUid>(method.clone(), &path(name, wish)?, Bytes::new()).await {
            Ok(_) => print(format!("{name}: {done}\n").as_bytes())?,
            Err(error) => {
                eprintln!("error: {name}: {}", basalt_explain::explain(&error.into()));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

pub(crate) async fn logs(
    client: &Client,
    name: &str,
    follow: bool,
    tail: Option<u32>,
) -> Result<ExitCode> {
    let tail = tail.map(|lines| format!("&tail={lines}")).unwrap_or_default();
    let path = path(name, &format!("/logs?follow={follow}{tail}"))?;
    client.follow(&path, write).await?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn events(client: &Client, follow: bool, json: bool) -> Result<ExitCode> {
    let path = format!("{EVENTS_PATH}?follow={follow}");
    let mut rest = Vec::new();
    let each_line = |bytes: &[u8]| {
        if json {
            return write(bytes);
        }
        rest.extend_from_slice(bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            let event: Event = serde_json::from_slice(&line).map_err(io::Error::other)?;
            if !write(show::event(&event).as_bytes())? {
                return Ok(false);
            }
        }
        Ok(true)
    };
    client.follow(&path, each_line).await?;
    Ok(ExitCode::SUCCESS)
}

fn path(name: &str, wish: &str) -> Result<String> {
    if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
        bail!("`{name}` is neither the name nor the uid of a workload");
    }
    Ok(format!("{WORKLOADS_PATH}/{name}{wish}"))
}

fn read(file: &Path) -> Result<(String, String)> {
    let is_stdin = file == Path::new("-");
    let name = if is_stdin { "standard input".to_owned() } else { file.display().to_string() };
    let mut text = String::new();
    let limit = MAX_BYTES as u64 + 1;
    let read = if is_stdin {
        io::stdin().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_string(&mut text))
    };
    read.with_context(|| format!("cannot read `{name}`"))?;
    Ok((name, text))
}
