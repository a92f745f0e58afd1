//! Places workloads and issues new sets, in the transaction of whatever changed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use basalt_api::capacity::feature;
use basalt_api::fault::FaultKind;
use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::operator::HostState;
use basalt_api::rollout::Stage;
use basalt_api::set::MAX_SET_BYTES;
use basalt_api::workload::DisconnectPolicy;
use basalt_endpoint_core::Seconds;
use basalt_endpoint_core::generation::{self, Generation, Workload};
use basalt_endpoint_core::placement::{self, Closed, Decision, Place, Wanted};

use super::events::{self, Happened};
use super::hosts::{Host, Seen};
use super::rollouts::Part;
use super::workloads::Stored;
use super::{Db, hosts, rollouts, secrets, sets, statuses, to_json, workloads};

/// What is other than at the last replan.
#[derive(Debug, Clone, Default)]
pub struct Cause {
    /// Workloads with another spec.
    pub changed: BTreeSet<WorkloadUid>,
    /// Workloads whose host fell silent for longer than they may be.
    pub abandoned: BTreeSet<WorkloadUid>,
}

/// Places everything and issues what is new. Returns the hosts with a new generation.
///
/// # Errors
/// A host's set became too large, or the database is broken.
pub async fn replan(db: &mut Db, cause: &Cause, now: Seconds) -> Result<Vec<HostId>> {
    let hosts = hosts::all(db).await?;
    let mut workloads = workloads::all(db).await?;
    let parts = rollouts::parts(db).await?;
    let ground = Ground { hosts: &hosts, parts: &parts, cause };
    departures(db, &ground, &mut workloads).await?;
    let decisions = decide(&ground, &workloads);
    for stored in &mut workloads {
        let Some(decision) = decisions.get(&stored.uid()) else { continue };
        if is_as_stored(stored, decision) {
            continue;
        }
        if matches!(ground.place(stored), Place::Evicted(_)) && decision.is_ok() {
            leave(db, stored, &hosts, now).await?;
            continue;
        }
        workloads::set_place(db, stored.uid(), decision).await?;
        if is_news(stored, decision) {
            tell(db, stored, decision, &hosts, now).await?;
        }
        stored.host = decision.as_ref().ok().copied();
    }
    issue(db, &hosts, &parts, &workloads).await
}

/// What is placed on, and why.
struct Ground<'a> {
    hosts: &'a [Host],
    parts: &'a BTreeMap<HostId, Part>,
    cause: &'a Cause,
}

impl Ground<'_> {
    fn stage(&self, host: HostId) -> Option<Stage> {
        self.parts.get(&host).map(|part| part.stage)
    }

    fn place(&self, stored: &Stored) -> Place {
        let (uid, cause) = (stored.uid(), self.cause);
        match stored.host {
            None => Place::Nowhere,
            Some(host) if cause.abandoned.contains(&uid) => Place::Abandoned(host),
            Some(host) if self.empties(host) && may_move(stored) => Place::Evicted(host),
            Some(host) if cause.changed.contains(&uid) => Place::Changed(host),
            Some(host) => Place::Settled(host),
        }
    }

    /// Whether a host shall be empty before it reboots, and hears it.
    fn empties(&self, id: HostId) -> bool {
        let is_there = |host: &Host| host.id == id && host.seen.state == HostState::Present;
        let drains = |part: &Part| part.stage == Stage::Draining && part.drains;
        self.parts.get(&id).is_some_and(drains) && self.hosts.iter().any(is_there)
    }
}

/// Whether its operator has said that another host may take it over.
fn may_move(stored: &Stored) -> bool {
    stored.workload.spec.disconnect.policy == DisconnectPolicy::ReplaceAfter
}

/// What was leaving and has left has no host any more. Before, nobody else gets it: it must not run
/// twice.
async fn departures(db: &mut Db, ground: &Ground<'_>, workloads: &mut [Stored]) -> Result<()> {
    if !workloads.iter().any(|stored| stored.is_leaving) {
        return Ok(());
    }
    let generations: BTreeMap<HostId, Generation> =
        sets::generations(db).await?.into_iter().collect();
    for stored in workloads.iter_mut().filter(|stored| stored.is_leaving) {
        let Some(id) = stored.host else { continue };
        let host = ground.hosts.iter().find(|host| host.id == id);
        let has_settled = host.is_some_and(|host| {
            generations.get(&id).is_some_and(|set| set.number == host.seen.applied_generation)
        });
        let has_left = has_settled && !statuses::has(db, id, stored.uid()).await?;
        if has_left || ground.cause.abandoned.contains(&stored.uid()) {
            (stored.host, stored.is_leaving) = (None, false);
        }
    }
    Ok(())
}

/// Tells a workload's host to give it up.
async fn leave(db: &mut Db, stored: &mut Stored, hosts: &[Host], now: Seconds) -> Result<()> {
    workloads::set_leaving(db, stored.uid()).await?;
    stored.is_leaving = true;
    let host = hosts.iter().find(|host| Some(host.id) == stored.host).map(|host| &host.name);
    let message = "it leaves this host, which is about to reboot into another release";
    let workload = Some(stored.name());
    events::put(db, Happened { kind: "workload_leaves", host, workload, message }, now).await
}

/// Issues the sets that name a secret, whose version is another now. Nothing is placed: that does
/// not depend on versions. `workloads` are all of them. Returns the hosts with a new generation.
///
/// # Errors
/// A host's set became too large, or the database is broken.
pub async fn reissue(db: &mut Db, secret: &Name, workloads: &[Stored]) -> Result<Vec<HostId>> {
    let uses = |stored: &&Stored| stored.workload.spec.secrets().contains(&secret);
    let concerned: BTreeSet<HostId> =
        workloads.iter().filter(uses).filter_map(|stored| stored.host).collect();
    let mut hosts = Vec::new();
    for id in concerned {
        hosts.extend(hosts::get(db, id).await?.filter(|host| !host.is_revoked));
    }
    let parts = rollouts::parts(db).await?;
    issue(db, &hosts, &parts, workloads).await
}

fn decide(ground: &Ground<'_>, workloads: &[Stored]) -> BTreeMap<WorkloadUid, Decision> {
    let to_place_on = |host: &Host| host_to_place_on(host, ground.stage(host.id));
    let hosts: Vec<placement::Host> = ground.hosts.iter().map(to_place_on).collect();
    let wanted: Vec<Wanted> = workloads
        .iter()
        .filter(|stored| !stored.is_parked && !stored.is_leaving)
        .map(|stored| Wanted {
            uid: stored.uid(),
            spec: &stored.workload.spec,
            place: ground.place(stored),
        })
        .collect();
    placement::place(&hosts, &wanted)
}

/// Whether it makes a difference to placement that a host, which was as it is stored, has this to
/// say now.
#[must_use]
pub fn is_reason(stored: &Host, seen: &Seen) -> bool {
    let after = Host { seen: seen.clone(), ..stored.clone() };
    let [before, after] = [stored, &after].map(|host| host_to_place_on(host, None));
    !after.is_same_to_placement(&before)
}

fn host_to_place_on(host: &Host, stage: Option<Stage>) -> placement::Host {
    placement::Host {
        id: host.id,
        name: host.name.clone(),
        labels: host.labels(),
        features: host.seen.features.clone(),
        capacity: host.seen.facts.as_ref().map(|facts| facts.capacity.clone()),
        local: host.seen.local,
        closed: closed(host, stage),
    }
}

fn closed(host: &Host, stage: Option<Stage>) -> Option<Closed> {
    match host.seen.state {
        HostState::Unseen | HostState::Unknown => Some(Closed::Unseen),
        HostState::Lost | HostState::CertExpired => Some(Closed::Lost),
        HostState::Ahead => Some(Closed::Frozen),
        HostState::Present if host.is_cordoned => Some(Closed::Cordoned),
        HostState::Present if matches!(stage, Some(Stage::Draining | Stage::Rebooting)) => {
            Some(Closed::Rebooting)
        }
        HostState::Present => None,
    }
}

fn is_as_stored(stored: &Stored, decision: &Decision) -> bool {
    match decision {
        Ok(host) => stored.host == Some(*host),
        Err(reason) => stored.host.is_none() && stored.reason.as_ref() == Some(reason),
    }
}

/// Whether operators are told. What changed but for a number in its reason can be looked up.
fn is_news(stored: &Stored, decision: &Decision) -> bool {
    match decision {
        Ok(_) => true,
        Err(reason) => {
            let before = stored.reason.as_ref().filter(|_| stored.host.is_none());
            before.is_none_or(|before| !placement::is_same_reason(before, reason))
        }
    }
}

async fn tell(
    db: &mut Db,
    stored: &Stored,
    decision: &Decision,
    hosts: &[Host],
    now: Seconds,
) -> Result<()> {
    let name_of = |id: HostId| hosts.iter().find(|host| host.id == id).map(|host| &host.name);
    let workload = Some(stored.name());
    let (kind, host, message): (_, Option<&Name>, _) = match decision {
        Ok(host) => {
            ("workload_assigned", name_of(*host), "it was assigned to this host".to_owned())
        }
        Err(reason) => ("workload_unplaced", stored.host.and_then(name_of), reason.clone()),
    };
    events::put(db, Happened { kind, host, workload, message: &message }, now).await
}

/// Issues the sets that differ from those before.
async fn issue(
    db: &mut Db,
    hosts: &[Host],
    parts: &BTreeMap<HostId, Part>,
    workloads: &[Stored],
) -> Result<Vec<HostId>> {
    let versions = secrets::versions(db).await?;
    let mut by_host: BTreeMap<HostId, Vec<&Workload>> = BTreeMap::new();
    for stored in workloads.iter().filter(|stored| !stored.is_leaving) {
        if let Some(host) = stored.host {
            by_host.entry(host).or_default().push(&stored.workload);
        }
    }
    let before: BTreeMap<HostId, Generation> = sets::generations(db).await?.into_iter().collect();
    let mut issued = Vec::new();
    for host in hosts {
        let own = by_host.get(&host.id).into_iter().flatten().copied();
        let takes = host.seen.features.iter().any(|has| has == feature::OS);
        let part = parts.get(&host.id).filter(|_| takes);
        let target = part.and_then(|part| part.target.clone());
        let set = generation::set(own, &versions, target);
        let none = Generation { number: 0, hash: String::new() };
        let before = before.get(&host.id).unwrap_or(&none);
        let Some(generation) = generation::next(before, &set) else { continue };
        if to_json(&set)?.len() > MAX_SET_BYTES {
            let detail =
                format!("the set of host `{}` would have over {MAX_SET_BYTES} bytes", host.name);
            return Err(FaultKind::Invalid.with(detail).into());
        }
        sets::put(db, host.id, &generation, &set).await?;
        issued.push(host.id);
    }
    Ok(issued)
}
