//! Carries out what an operator decided for a frozen host.

use std::collections::BTreeMap;

use anyhow::Result;
use basalt_api::fault::FaultKind;
use basalt_api::id::HostId;
use basalt_api::operator::{HostState, Keep};
use basalt_api::set::HostSet;
use basalt_endpoint_core::Seconds;
use basalt_endpoint_core::generation::{Generation, Workload};
use basalt_endpoint_core::resync::{self, Stored, Takeover};

use super::events::{self, Happened};
use super::hosts::Host;
use super::replan::{self, Cause};
use super::{Db, from_json, hosts, secrets, sets, workloads};

/// Why a workload that a host does not have is not placed.
const PARKED: &str = "its host did not have it after a resync; apply it again to place it";

/// Resyncs a host. Returns the hosts with a new generation.
///
/// # Errors
/// The host is not frozen, its set is not known or clashes, or the database is broken.
pub async fn resync(db: &mut Db, host: &Host, keep: Keep, now: Seconds) -> Result<Vec<HostId>> {
    if host.seen.frozen.is_none() {
        let detail = format!("host `{}` is not frozen", host.name);
        return Err(FaultKind::Conflict.with(detail).into());
    }
    if keep == Keep::Host {
        take_over(db, host, now).await?;
    }
    hosts::set_pardon(db, host.id, &host.seen.reported).await?;
    // One that is silent stays lost until it checks in.
    if host.seen.state == HostState::Ahead {
        hosts::set_state(db, host.id, HostState::Present).await?;
    }
    let message = match keep {
        Keep::Host => "resynced: what it runs is kept",
        Keep::Endpoint => "resynced: it gets what the endpoint's database says",
    };
    let happened =
        Happened { kind: "host_resynced", host: Some(&host.name), workload: None, message };
    events::put(db, happened, now).await?;
    let mut issued = replan::replan(db, &Cause::default(), now).await?;
    raise(db, host).await?;
    if !issued.contains(&host.id) {
        issued.push(host.id);
    }
    Ok(issued)
}

/// Gives the host's set a generation above both histories.
async fn raise(db: &mut Db, host: &Host) -> Result<()> {
    let Some(stored) = sets::get(db, host.id).await? else { return Ok(()) };
    let number = resync::generation(stored.generation.number, &host.seen.reported);
    let generation = Generation { number, hash: stored.generation.hash.clone() };
    sets::put(db, host.id, &generation, &stored.set()?).await
}

async fn take_over(db: &mut Db, host: &Host, now: Seconds) -> Result<()> {
    let Some(set) = &host.reported_set else {
        let detail = format!("host `{}` has not sent the set that it has yet", host.name);
        let hint = "wait for its next check-in, or use `--from-endpoint`";
        return Err(FaultKind::Conflict.with(detail).hint(hint).into());
    };
    let set: HostSet = from_json(set)?;
    let stored = stored(db, host).await?;
    let takeover = resync::take_over(host.id, &set, &stored, now).map_err(|refused| {
        let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
        FaultKind::Conflict
            .with(format!("what host `{}` says that it runs: {}", host.name, refused.join("; ")))
            .hint("delete here what stands in its way, or use `--from-endpoint`")
    })?;
    carry_out(db, host, takeover, now).await
}

/// All workloads, with the other host that has each: a host that follows the database has what
/// that says, and a frozen one what it has sent.
async fn stored(db: &mut Db, host: &Host) -> Result<Vec<Stored>> {
    let (mut followers, mut senders) = (BTreeMap::new(), BTreeMap::new());
    for other in hosts::all(db).await?.into_iter().filter(|other| other.id != host.id) {
        if let Some(set) = &other.reported_set {
            let set: HostSet = from_json(set)?;
            let uids = set.workloads.into_iter().map(|assigned| assigned.uid);
            senders.extend(uids.map(|uid| (uid, other.name.clone())));
        }
        if other.seen.state == HostState::Present {
            followers.insert(other.id, other.name);
        }
    }
    let known = |stored: workloads::Stored| {
        let follower = stored.host.and_then(|host| followers.get(&host));
        let runs_on = follower.or_else(|| senders.get(&stored.uid())).cloned();
        Stored { workload: stored.workload, host: stored.host, runs_on }
    };
    Ok(workloads::all(db).await?.into_iter().map(known).collect())
}

async fn carry_out(db: &mut Db, host: &Host, takeover: Takeover, now: Seconds) -> Result<()> {
    let known = secrets::versions(db).await?;
    for workload in takeover.put {
        // What the database knows as new or newer needs no pin.
        let pins = workload.pins.iter().filter(|(name, version)| known.get(*name) < Some(version));
        let pins = pins.map(|(name, version)| (name.clone(), *version)).collect();
        let workload = Workload { pins, ..workload };
        workloads::put(db, &workload, now).await?;
        workloads::set_place(db, workload.uid, &Ok(host.id)).await?;
    }
    for uid in takeover.parked {
        workloads::park(db, uid, PARKED).await?;
    }
    Ok(())
}
