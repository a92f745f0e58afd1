//! Hosts.

use anyhow::Result;
use basalt_api::id::Name;
use basalt_api::operator::{HOSTS_PATH, HostDetail, HostSummary};
use basalt_api::report::WorkloadStatus;
use basalt_table::{facts, labels, shortened, table, time};
use hyper::Method;

use super::PATIENCE;
use super::args::Hosts;
use super::login::Session;
use super::output::{Done, Named, Output};
use super::pages;
use super::resync::{self, Asks};

pub(super) async fn hosts(session: &Session, output: Output, command: Option<Hosts>) -> Result<()> {
    let client = &session.client;
    let path = |host: &Name, rest: &str| format!("{HOSTS_PATH}/{host}{rest}");
    match command {
        None => {
            let hosts = pages::hosts(client).await?;
            output.show(&hosts, |hosts| {
                let rows: Vec<_> = hosts.hosts.iter().map(row).collect();
                table(["name", "state", "workloads", "cpus", "memory", "os", "labels"], &rows)
            })
        }
        Some(Hosts::Show { host }) => {
            let detail: HostDetail = client.get(&path(&host, ""), PATIENCE).await?;
            output.show(&detail, show)
        }
        Some(Hosts::Remove { host, force }) => {
            let path = path(&host, if force { "?force=true" } else { "" });
            client.call(Method::DELETE, &path, None, PATIENCE).await?.good()?;
            let done = Done::new("removed", Named { name: &host });
            output.tell(&done, &format!("removed host `{host}`"))
        }
        Some(Hosts::Cordon { host }) => change(session, output, &path(&host, "/cordon"), &()).await,
        Some(Hosts::Uncordon { host }) => {
            change(session, output, &path(&host, "/uncordon"), &()).await
        }
        Some(Hosts::Resync { host, keep_host: true, yes, .. }) => {
            let asks = if yes { Asks::Nothing } else { Asks::First };
            resync::keep_host(session, output, &host, asks).await
        }
        Some(Hosts::Resync { host, .. }) => resync::from_endpoint(session, output, &host).await,
    }
}

pub(super) async fn change<B: serde::Serialize>(
    session: &Session,
    output: Output,
    path: &str,
    body: &B,
) -> Result<()> {
    let host: HostSummary = session.client.send(Method::POST, path, body, PATIENCE).await?;
    output.show(&host, |host| format!("host `{}` is {}\n", host.name, state(host)))
}

fn state(host: &HostSummary) -> String {
    format!("{}{}", host.state, if host.cordoned { ", cordoned" } else { "" })
}

fn row(host: &HostSummary) -> [String; 7] {
    let facts = host.facts.as_ref();
    let capacity = facts.map(|facts| &facts.capacity);
    let of = |taken: String, all: String| format!("{taken}/{all}");
    [
        host.name.to_string(),
        state(host),
        host.workloads.to_string(),
        capacity
            .map(|all| of(all.taken.cpus.to_string(), all.cpus.to_string()))
            .unwrap_or_default(),
        capacity
            .map(|all| of(all.taken.memory_mib.to_string(), format!("{} MiB", all.memory_mib)))
            .unwrap_or_default(),
        facts.map(|facts| format!("{} {}", facts.os.image, facts.os.version)).unwrap_or_default(),
        labels(&host.labels),
    ]
}

fn show(detail: &HostDetail) -> String {
    let host = &detail.host;
    let os = host.facts.as_ref().map(|facts| &facts.os);
    let generations = format!(
        "{} wanted, {} taken, {} applied",
        host.generation, host.observed_generation, host.applied_generation
    );
    let mut text = facts(&[
        ("name", host.name.to_string()),
        ("id", host.id.to_string()),
        ("state", state(host)),
        ("problems", host.problems.join("; ")),
        ("labels", labels(&host.labels)),
        ("features", host.features.join(", ")),
        (
            "os",
            os.map(|os| match os.version.as_str() {
                "" => os.state.clone(),
                version => format!("{} {version}, {}", os.image, os.state),
            })
            .unwrap_or_default(),
        ),
        ("os problems", os.map(|os| os.problems.join("; ")).unwrap_or_default()),
        ("generation", generations),
        ("heard", host.seen_at.map(time).unwrap_or_default()),
        ("certificate", format!("until {}", time(host.certificate_expires_at))),
    ]);
    if !detail.workloads.is_empty() {
        let rows: Vec<_> = detail.workloads.iter().map(status_row).collect();
        text.push('\n');
        text += &table(["workload", "kind", "source", "state", "restarts", "reason"], &rows);
    }
    text
}

fn status_row(status: &WorkloadStatus) -> [String; 6] {
    [
        status.name.to_string(),
        status.kind.to_string(),
        status.source.to_string(),
        status.state.to_string(),
        status.restarts.to_string(),
        shortened(status.reason.as_deref().unwrap_or_default()),
    ]
}
