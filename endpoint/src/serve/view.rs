//! Hosts and workloads as operators see them.

use std::collections::BTreeMap;

use anyhow::Result;
use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::operator::{HostSummary, WorkloadSummary};
use basalt_api::report::WorkloadStatus;
use basalt_endpoint_core::generation;

use crate::app::App;
use crate::store::hosts::{self, Host};
use crate::store::{secrets, sets, statuses, workloads};

/// A copy of a host is shown so long after it came.
const DUPLICATE_SHOWN_S: i64 = 3600;

/// Everything that views are made from, of one moment.
pub(super) struct Scene {
    pub(super) hosts: Vec<Host>,
    pub(super) workloads: Vec<workloads::Stored>,
    generations: BTreeMap<HostId, u64>,
    statuses: BTreeMap<(HostId, WorkloadUid), WorkloadStatus>,
    secrets: BTreeMap<Name, u64>,
}

impl Scene {
    pub(super) async fn read(db: &mut sqlx::SqliteConnection) -> Result<Self> {
        let generations = sets::generations(db).await?.into_iter();
        Ok(Self {
            hosts: hosts::all(db).await?,
            workloads: workloads::all(db).await?,
            generations: generations.map(|(host, generation)| (host, generation.number)).collect(),
            statuses: statuses::all(db).await?,
            secrets: secrets::versions(db).await?,
        })
    }

    pub(super) fn generation(&self, host: HostId) -> u64 {
        self.generations.get(&host).copied().unwrap_or(0)
    }

    pub(super) fn statuses_of(&self, host: HostId) -> Vec<WorkloadStatus> {
        let own = self.statuses.iter().filter(|((of, _), _)| *of == host);
        own.map(|(_, status)| status.clone()).collect()
    }

    pub(super) fn host(&self, app: &App, host: &Host, now: i64) -> HostSummary {
        let (seen_at, duplicate_at) = app.presence.seen(host.id);
        let assigned = self.workloads.iter().filter(|stored| stored.host == Some(host.id)).count();
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
            generation: self.generation(host.id),
            observed_generation: host.seen.reported.generation,
            applied_generation: host.seen.applied_generation,
            workloads: u32::try_from(assigned).unwrap_or(u32::MAX),
            seen_at,
            certificate_expires_at: host.certificate_until,
        }
    }

    pub(super) fn workload(&self, stored: &workloads::Stored) -> WorkloadSummary {
        let name_of =
            |id: HostId| self.hosts.iter().find(|host| host.id == id).map(|host| host.name.clone());
        let status = stored.host.and_then(|host| self.statuses.get(&(host, stored.uid())));
        WorkloadSummary {
            uid: stored.uid(),
            spec: stored.workload.spec.clone(),
            host: stored.host.and_then(name_of),
            reason: stored.reason.clone(),
            hash: generation::assigned(&stored.workload, &self.secrets).replacement_hash(),
            status: status.cloned(),
            applied_at: stored.applied_at,
        }
    }
}
