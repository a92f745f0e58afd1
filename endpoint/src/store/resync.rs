//! Carries out what an operator decided for a frozen host.

use std::collections::BTreeMap;

use anyhow::Result;
use basalt_api::fault::FaultKind;
use basalt_api::id::HostId;
use basalt_api::operator::{Claim, Claims, HostState, Keep, Resync};
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
/// The host is not frozen, its set is not known, is another than was meant or clashes, or the
/// database is broken.
pub async fn resync(db: &mut Db, host: &Host, how: &Resync, now: Seconds) -> Result<Vec<HostId>> {
    check_frozen(host)?;
    if how.keep == Keep::Host {
        take_over(db, host, how.set_hash.as_deref(), now).await?;
    }
    hosts::set_pardon(db, host.id, &host.seen.reported).await?;
    // One that is silent stays lost until it checks in.
    if host.seen.state == HostState::Ahead {
        hosts::set_state(db, host.id, HostState::Present).await?;
    }
    let message = match how.keep {
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

fn check_frozen(host: &Host) -> Result<()> {
    if host.seen.frozen.is_none() {
        let detail = format!("host `{}` is not frozen", host.name);
        return Err(FaultKind::Conflict.with(detail).into());
    }
    Ok(())
}

/// What the set of a frozen host claims.
///
/// # Errors
/// The host is not frozen, its set is not known or clashes, or the database is broken.
pub async fn claims(db: &mut Db, host: &Host, now: Seconds) -> Result<Claims> {
    check_frozen(host)?;
    let (set, stored) = (reported(host)?, stored(db, host).await?);
    let takeover = judged(host, &set, &stored, now)?;
    let names = hosts::names(db).await?;
    let claim = |claim: resync::Claim| Claim {
        uid: claim.uid,
        name: claim.name,
        kind: claim.kind,
        change: claim.change,
        moves_from: claim.moves_from.and_then(|from| names.get(&from).cloned()),
        secrets: claim.secrets,
    };
    let is_parked = |stored: &&Stored| takeover.parked.contains(&stored.workload.uid);
    let parked = stored.iter().filter(is_parked);
    Ok(Claims {
        set_hash: set.hash(),
        workloads: resync::claims(host.id, &set, &stored).into_iter().map(claim).collect(),
        parked: parked.map(|stored| stored.workload.spec.name.clone()).collect(),
    })
}

async fn take_over(db: &mut Db, host: &Host, meant: Option<&str>, now: Seconds) -> Result<()> {
    let (set, stored) = (reported(host)?, stored(db, host).await?);
    let hint = "`basaltctl hosts resync` shows what its set claims";
    let Some(meant) = meant else {
        let detail = "`set_hash` must say which set is kept";
        return Err(FaultKind::Invalid.with(detail).hint(hint).into());
    };
    if meant != set.hash() {
        let detail =
            format!("host `{}` has another set now than the one that was meant", host.name);
        return Err(FaultKind::Conflict.with(detail).hint(hint).into());
    }
    let takeover = judged(host, &set, &stored, now)?;
    carry_out(db, host, takeover, now).await
}

/// The set that a frozen host has sent.
fn reported(host: &Host) -> Result<HostSet> {
    let Some(set) = &host.reported_set else {
        let detail = format!("host `{}` has not sent the set that it has yet", host.name);
        let hint = "wait for its next check-in, or use `--from-endpoint`";
        return Err(FaultKind::Conflict.with(detail).hint(hint).into());
    };
    from_json(set)
}

fn judged(host: &Host, set: &HostSet, stored: &[Stored], now: Seconds) -> Result<Takeover> {
    let takeover = resync::take_over(host.id, set, stored, now).map_err(|refused| {
        let refused: Vec<String> = refused.iter().map(ToString::to_string).collect();
        FaultKind::Conflict
            .with(format!("what host `{}` says that it runs: {}", host.name, refused.join("; ")))
            .hint("delete here what stands in its way, or use `--from-endpoint`")
    })?;
    Ok(takeover)
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
