//! Workloads, as operators apply, see and delete them.

use std::collections::BTreeSet;

use anyhow::Result;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use basalt_api::fault::{Fault, FaultKind};
use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::operator::{
    Applied, Apply, ApplyAnswer, Change, PageQuery, WorkloadDetail, Workloads,
};
use basalt_api::validate;
use basalt_api::workload::WorkloadSpec;
use basalt_endpoint_core::generation::Workload;
use uuid::Uuid;

use super::page;
use super::view::WorkloadScene;
use crate::app::Shared;
use crate::clock;
use crate::refusal::Answer;
use crate::routes::{In, QueryOf, StrictBody};
use crate::store::events::{self, Happened};
use crate::store::replan::{self, Cause};
use crate::store::workloads::{self, Stored};
use crate::store::{Db, hosts, sets};

/// Workloads in one request.
const MAX_AT_ONCE: usize = 1000;

pub(crate) async fn list(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<PageQuery>,
) -> Answer<Json<Workloads>> {
    let mut read = app.store.read().await?;
    let found = workloads::page(&mut read, query.after.as_ref(), page::rows(&query), page::BYTES);
    let found = found.await?;
    let scene = WorkloadScene::read(&mut read, &found).await?;
    drop(read);
    let summaries = found.iter().map(|stored| scene.workload(stored));
    let (workloads, next) = page::of(&query, summaries, |workload| &workload.spec.name)?;
    Ok(Json(Workloads { workloads, next }))
}

pub(crate) async fn show(
    State(app): State<Shared>,
    In(name): In<Name>,
) -> Answer<Json<WorkloadDetail>> {
    let mut read = app.store.read().await?;
    let stored = workloads::named(&mut read, &name).await?;
    let host_has_it = match stored.host {
        Some(host) => has_its_set(&mut read, host).await?,
        None => false,
    };
    let scene = WorkloadScene::read(&mut read, std::slice::from_ref(&stored)).await?;
    Ok(Json(WorkloadDetail { workload: scene.workload(&stored), host_has_it }))
}

/// Whether a host has taken the set that it shall have.
async fn has_its_set(db: &mut Db, host: HostId) -> Result<bool> {
    let generation = sets::get(db, host).await?.map_or(0, |stored| stored.generation.number);
    let host = hosts::get(db, host).await?;
    Ok(host.is_some_and(|host| {
        host.seen.frozen.is_none() && host.seen.reported.generation >= generation
    }))
}

pub(crate) async fn apply(
    State(app): State<Shared>,
    StrictBody(asked): StrictBody<Apply>,
) -> Answer<Json<ApplyAnswer>> {
    check(&asked.workloads)?;
    let now = clock::now();
    let mut write = app.store.write().await?;
    let mut applied = Vec::new();
    let mut cause = Cause::default();
    for spec in &asked.workloads {
        let (uid, change) = apply_one(&mut write, spec).await?;
        if change == Change::Changed {
            cause.changed.insert(uid);
        }
        applied.push((uid, change));
    }
    let is_news = applied.iter().any(|(_, change)| *change != Change::Unchanged);
    let mut replanned = Vec::new();
    if is_news {
        replanned = replan::replan(&mut write, &cause, now).await?;
    }
    let names = hosts::names(&mut write).await?;
    let mut answer = ApplyAnswer { workloads: Vec::new() };
    for (spec, (uid, change)) in asked.workloads.iter().zip(applied) {
        let stored = workloads::named(&mut write, &spec.name).await?;
        let is_made_up = asked.dry_run && change == Change::Created;
        answer.workloads.push(Applied {
            name: spec.name.clone(),
            uid: (!is_made_up).then_some(uid),
            change,
            host: stored.host.and_then(|host| names.get(&host).cloned()),
            reason: stored.reason,
        });
    }
    if asked.dry_run {
        // Everything was really tried, and nothing of it stays.
        write.rollback().await.map_err(anyhow::Error::from)?;
        return Ok(Json(answer));
    }
    write.commit().await.map_err(anyhow::Error::from)?;
    app.publish(&replanned);
    Ok(Json(answer))
}

async fn apply_one(db: &mut Db, spec: &WorkloadSpec) -> Result<(WorkloadUid, Change)> {
    let now = clock::now();
    let (workload, change) = match workloads::by_name(db, &spec.name).await? {
        Some(stored) if stored.workload.spec == *spec && !stored.is_parked => {
            return Ok((stored.uid(), Change::Unchanged));
        }
        Some(stored) => (changed(stored, spec)?, Change::Changed),
        None => {
            let uid = WorkloadUid(Uuid::new_v4());
            let pins = std::collections::BTreeMap::new();
            (Workload { uid, spec: spec.clone(), pins }, Change::Created)
        }
    };
    workloads::put(db, &workload, now).await?;
    let (kind, message) = match change {
        Change::Created => ("workload_created", "it was applied for the first time"),
        _ => ("workload_changed", "it was applied with another spec"),
    };
    let happened = Happened { kind, host: None, workload: Some(&spec.name), message };
    events::put(db, happened, now).await?;
    Ok((workload.uid, change))
}

fn changed(stored: Stored, spec: &WorkloadSpec) -> Result<Workload, Fault> {
    let before = stored.workload.spec.kind;
    if before != spec.kind {
        let detail = format!("`{}` is a {before} and cannot become a {}", spec.name, spec.kind);
        return Err(FaultKind::Conflict.with(detail).hint("delete it first"));
    }
    Ok(Workload { spec: spec.clone(), ..stored.workload })
}

fn check(specs: &[WorkloadSpec]) -> Answer<()> {
    if specs.len() > MAX_AT_ONCE {
        let detail = format!("at most {MAX_AT_ONCE} workloads are applied at once");
        return Err(FaultKind::Invalid.with(detail).into());
    }
    let mut names = BTreeSet::new();
    for spec in specs {
        if !names.insert(&spec.name) {
            let detail = format!("`{}` is there twice", spec.name);
            return Err(FaultKind::Invalid.with(detail).into());
        }
        let mistakes: Vec<String> =
            validate::mistakes(spec).iter().map(ToString::to_string).collect();
        if !mistakes.is_empty() {
            let detail = format!("`{}`: {}", spec.name, mistakes.join("; "));
            return Err(FaultKind::Invalid.with(detail).into());
        }
    }
    Ok(())
}

pub(crate) async fn delete(State(app): State<Shared>, In(name): In<Name>) -> Answer<StatusCode> {
    let now = clock::now();
    let mut write = app.store.write().await?;
    let stored = workloads::named(&mut write, &name).await?;
    workloads::delete(&mut write, stored.uid()).await?;
    let happened = Happened {
        kind: "workload_deleted",
        host: None,
        workload: Some(&name),
        message: "it was deleted",
    };
    events::put(&mut write, happened, now).await?;
    let replanned = replan::replan(&mut write, &Cause::default(), now).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    app.publish(&replanned);
    Ok(StatusCode::NO_CONTENT)
}
