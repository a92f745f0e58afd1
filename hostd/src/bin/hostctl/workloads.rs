//! Workloads: what is asked and how the answer looks.

use std::io::{self, Read};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_api::id::WorkloadUid;
use basalt_api::local::{
    ApplyAnswer, ApplyRequest, EVENTS_PATH, Event, PLAN_PATH, PlanAnswer, WORKLOADS_PATH,
    WorkloadDescription, WorkloadList,
};
use basalt_api::report::WorkloadState;
use basalt_document::MAX_BYTES;
use hostd::client::Client;
use hostd::runtime::LogsWanted;
use hostd::show::workloads as show;
use hyper::Method;
use hyper::body::Bytes;

use crate::lines::Lines;
use crate::{print, print_json, write};

/// How often it is looked whether something has started whose log is to be followed.
const START_TICK: Duration = Duration::from_millis(200);

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

pub(crate) async fn delete(client: &Client, names: &[String], json: bool) -> Result<ExitCode> {
    let wish = Wish { method: Method::DELETE, path: "", body: Bytes::new(), done: "deleted" };
    each(client, names, &wish, json).await
}

pub(crate) async fn start(client: &Client, names: &[String], json: bool) -> Result<ExitCode> {
    each(client, names, &Wish::post("/start", "let go"), json).await
}

pub(crate) async fn stop(client: &Client, names: &[String], json: bool) -> Result<ExitCode> {
    each(client, names, &Wish::post("/stop", "held"), json).await
}

/// What is wished for a workload.
pub(crate) struct Wish {
    pub(crate) method: Method,
    /// What follows the workload's path.
    pub(crate) path: &'static str,
    pub(crate) body: Bytes,
    /// The word for its success.
    pub(crate) done: &'static str,
}

impl Wish {
    pub(crate) fn post(path: &'static str, done: &'static str) -> Self {
        Self { method: Method::POST, path, body: Bytes::new(), done }
    }
}

/// What came of a wish for each, as JSON has it.
#[derive(serde::Serialize)]
struct Outcomes<'a> {
    results: &'a [Outcome],
}

/// What came of a wish.
#[derive(serde::Serialize)]
struct Outcome {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<WorkloadUid>,
    result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Asks for each; one that is refused does not keep the others from being asked for.
pub(crate) async fn each(
    client: &Client,
    names: &[String],
    wish: &Wish,
    json: bool,
) -> Result<ExitCode> {
    let mut results = Vec::new();
    for name in names {
        let asked = ask(client, name, wish).await;
        let (uid, result, error) = match asked {
            Ok(uid) => (Some(uid), wish.done, None),
            Err(error) => (None, "failed", Some(basalt_explain::explain(&error))),
        };
        match &error {
            Some(error) if error.contains(name) => eprintln!("error: {error}"),
            Some(error) => eprintln!("error: {name}: {error}"),
            None if !json => print(format!("{name}: {result}\n").as_bytes())?,
            None => (),
        }
        results.push(Outcome { name: name.clone(), uid, result: result.to_owned(), error });
    }
    if json {
        print_json(&Outcomes { results: &results })?;
    }
    let is_good = results.iter().all(|result| result.error.is_none());
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask(client: &Client, name: &str, wish: &Wish) -> Result<WorkloadUid> {
    let path = path(name, wish.path)?;
    Ok(client.ask(wish.method.clone(), &path, wish.body.clone()).await?)
}

/// How a log is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it was written.
    Raw,
    /// A line of JSON for each line.
    Json,
}

/// A line of a log, as JSON has it. What is no UTF-8 in it is replaced by U+FFFD.
#[derive(serde::Serialize)]
struct LogLine<'a> {
    message: &'a str,
}

pub(crate) async fn logs(
    client: &Client,
    name: &str,
    wanted: LogsWanted,
    form: Form,
) -> Result<ExitCode> {
    if wanted.follow {
        until_started(client, name).await?;
    }
    let tail = wanted.tail.map(|lines| format!("&tail={lines}")).unwrap_or_default();
    let path = path(name, &format!("/logs?follow={}{tail}", wanted.follow))?;
    match form {
        Form::Raw => client.follow(&path, write).await?,
        Form::Json => {
            let mut lines = Lines::default();
            let each = |bytes: &[u8]| all(lines.take(bytes), write_log_line);
            client.follow(&path, each).await?;
            all(lines.last().into_iter().collect(), write_log_line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits for the start of one that is on its way to it: it has no log yet that could be followed.
async fn until_started(client: &Client, name: &str) -> Result<()> {
    use WorkloadState::{Pending, Preparing, Starting};
    let path = path(name, "")?;
    loop {
        let one: WorkloadDescription = client.get(&path).await?;
        if !matches!(one.status.state, Pending | Preparing | Starting) {
            return Ok(());
        }
        tokio::time::sleep(START_TICK).await;
    }
}

fn write_log_line(line: &[u8]) -> io::Result<bool> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let line = LogLine { message: &String::from_utf8_lossy(line) };
    write((serde_json::to_string(&line)? + "\n").as_bytes())
}

pub(crate) async fn events(client: &Client, follow: bool, json: bool) -> Result<ExitCode> {
    let path = format!("{EVENTS_PATH}?follow={follow}");
    let mut lines = Lines::default();
    let each = |bytes: &[u8]| {
        if json { write(bytes) } else { all(lines.take(bytes), write_event) }
    };
    client.follow(&path, each).await?;
    Ok(ExitCode::SUCCESS)
}

fn write_event(line: &[u8]) -> io::Result<bool> {
    let event: Event = serde_json::from_slice(line).map_err(io::Error::other)?;
    write(show::event(&event).as_bytes())
}

/// Writes each until nobody reads any more; whether somebody still does.
fn all(lines: Vec<Vec<u8>>, write_one: impl Fn(&[u8]) -> io::Result<bool>) -> io::Result<bool> {
    for line in lines {
        if !write_one(&line)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn path(name: &str, wish: &str) -> Result<String> {
    if name.is_empty() || !name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
        bail!("`{name}` is neither the name nor the uid of a workload");
    }
    Ok(format!("{WORKLOADS_PATH}/{name}{wish}"))
}

pub(crate) fn read(file: &Path) -> Result<(String, String)> {
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
