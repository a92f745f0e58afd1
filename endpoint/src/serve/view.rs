//! Hosts and workloads as operators see them.

use std::collections::BTreeMap;

use anyhow::Result;
use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::operator::{HostSummary, WorkloadSummary};
use basalt_api::report::WorkloadStatus;
use basalt_endpoint_core::generation;

use crate::app::App;
use crate::store::hosts::{self, Host};
use crate::store::{Db, secrets, sets, statuses, workloads};

/// A copy of a host is shown so long after it came.
const DUPLICATE_SHOWN_S: i64 = 3600;

/// What views of hosts are made from besides the hosts.
pub(super) struct HostScene {
    generations: BTreeMap<HostId, u64>,
    /// How many workloads each has.
    assigned: BTreeMap<HostId, u32>,
}

/// What views of some workloads are made from besides the workloads.
pub(super) struct WorkloadScene {
    hosts: BTreeMap<HostId, Name>,
    statuses: BTreeMap<WorkloadUid, WorkloadStatus>,
    secrets: BTreeMap<Name, u64>,
}

impl HostScene {
    pub(super) async fn read(db: &mut Db) -> Result<Self> {
        let generations = sets::generations(db).await?.into_iter();
        Ok(Self {
            generations: generations.map(|(host, generation)| (host, generation.number)).collect(),
            assigned: workloads::counts(db).await?,
        })
    }

    pub(super) fn host(&self, app: &App, host: &Host, now: i64) -> HostSummary {
        let (seen_at, duplicate_at) = app.presence.seen(host.id);
        let frozen = host.seen.frozen.map(|frozen| {
            format!("it is frozen: {}; `basaltctl hosts resync` decides", frozen.sentence())
        });
        let duplicate = duplicate_at.filter(|at| now < at + DUPLICATE_SHOWN_S);
        let duplicate =
            duplicate.map(|_| "duplicate_identity: another machine has its identity".to_owned());
        HostSummary {
            id: host.id,
            name: host.name.clone(),
            state: host.seen.state,
            problems: frozen.into_iter().chain(duplicate).collect(),
            cordoned: host.is_cordoned,
            labels: host.labels(),
            features: host.seen.features.clone(),
            facts: host.seen.facts.clone(),
            generation: self.generations.get(&host.id).copied().unwrap_or(0),
            observed_generation: host.seen.reported.generation,
            applied_generation: host.seen.applied_generation,
            workloads: self.assigned.get(&host.id).copied().unwrap_or(0),
            seen_at,
            certificate_expires_at: host.certificate_until,
        }
    }
}

impl WorkloadScene {
    pub(super) async fn read(db: &mut Db, workloads: &[workloads::Stored]) -> Result<Self> {
        let mut found = BTreeMap::new();
        for stored in workloads {
            let Some(host) = stored.host else { continue };
            if let Some(status) = statuses::get(db, host, stored.uid()).await? {
                found.insert(stored.uid(), status);
            }
        }
        let (hosts, secrets) = (hosts::names(db).await?, secrets::versions(db).await?);
        Ok(Self { hosts, statuses: found, secrets })
    }

    pub(super) fn workload(&self, stored: &workloads::Stored) -> WorkloadSummary {
        WorkloadSummary {
            uid: stored.uid(),
            spec: stored.workload.spec.clone(),
            host: stored.host.and_then(|host| self.hosts.get(&host).cloned()),
            reason: stored.reason.clone(),
            hash: generation::assigned(&stored.workload, &self.secrets).replacement_hash(),
            status: self.statuses.get(&stored.uid()).cloned(),
            applied_at: stored.applied_at,
        }
    }
}
