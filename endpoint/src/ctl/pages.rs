//! Whole lists, which come in pages.

use anyhow::{Result, bail};
use basalt_api::id::Name;
use basalt_api::operator::{HOSTS_PATH, Hosts, WORKLOADS_PATH, Workloads};
use serde::de::DeserializeOwned;

use super::PATIENCE;
use crate::client::Client;

/// All hosts.
///
/// # Errors
/// The endpoint does not answer, or with a fault.
pub(super) async fn hosts(client: &Client) -> Result<Hosts> {
    let split = |page: Hosts| (page.hosts, page.next);
    Ok(Hosts { hosts: whole(client, HOSTS_PATH, split).await?, next: None })
}

/// All workloads.
///
/// # Errors
/// The endpoint does not answer, or with a fault.
pub(super) async fn workloads(client: &Client) -> Result<Workloads> {
    let split = |page: Workloads| (page.workloads, page.next);
    Ok(Workloads { workloads: whole(client, WORKLOADS_PATH, split).await?, next: None })
}

async fn whole<P: DeserializeOwned, T>(
    client: &Client,
    path: &str,
    split: fn(P) -> (Vec<T>, Option<Name>),
) -> Result<Vec<T>> {
    let (mut all, mut next) = split(client.get(path, PATIENCE).await?);
    while let Some(after) = next {
        let page = client.get(&format!("{path}?after={after}"), PATIENCE).await?;
        let (more, then) = split(page);
        if then.as_ref().is_some_and(|then| *then <= after) {
            bail!("the endpoint's list does not end: after `{after}` it names an earlier page");
        }
        all.extend(more);
        next = then;
    }
    Ok(all)
}
