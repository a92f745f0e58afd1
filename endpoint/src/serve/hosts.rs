//! Hosts, as operators see and decide about them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use basalt_api::fault::FaultKind;
use basalt_api::id::Name;
use basalt_api::operator::{HostDetail, HostState, HostSummary, Hosts, RemoveQuery, Resync};

use super::view::Scene;
use crate::app::Shared;
use crate::clock;
use crate::refusal::Answer;
use crate::routes::{In, JsonBody, QueryOf};
use crate::store::events::{self, Happened};
use crate::store::hosts::{self, Host};
use crate::store::replan::{self, Cause};
use crate::store::{Store, resync as resyncing, workloads};

pub(crate) async fn list(State(app): State<Shared>) -> Answer<Json<Hosts>> {
    let scene = Scene::read(&mut *app.store.read().await?).await?;
    let now = clock::now();
    let hosts = scene.hosts.iter().map(|host| scene.host(&app, host, now)).collect();
    Ok(Json(Hosts { hosts }))
}

pub(crate) async fn show(
    State(app): State<Shared>,
    In(name): In<Name>,
) -> Answer<Json<HostDetail>> {
    let (scene, host) = find(&app.store, &name).await?;
    let workloads = scene.statuses_of(host.id);
    Ok(Json(HostDetail { host: scene.host(&app, &host, clock::now()), workloads }))
}

async fn find(store: &Store, name: &Name) -> Answer<(Scene, Host)> {
    let mut read = store.read().await?;
    let host = hosts::named(&mut read, name).await?;
    Ok((Scene::read(&mut read).await?, host))
}

pub(crate) async fn remove(
    State(app): State<Shared>,
    In(name): In<Name>,
    QueryOf(how): QueryOf<RemoveQuery>,
) -> Answer<StatusCode> {
    let now = clock::now();
    let mut write = app.store.write().await?;
    let host = hosts::named(&mut write, &name).await?;
    let all = workloads::all(&mut write).await?;
    let runs = all.iter().filter(|stored| stored.host == Some(host.id)).count();
    let is_there = matches!(host.seen.state, HostState::Present | HostState::Ahead);
    if is_there && runs > 0 && !how.force {
        let detail =
            format!("host `{name}` is there, and nobody could stop its workloads ({runs})");
        let hint =
            "`basaltctl hosts cordon` keeps new ones away; `--force` removes it all the same";
        return Err(FaultKind::Conflict.with(detail).hint(hint).into());
    }
    hosts::revoke(&mut write, host.id, now).await?;
    let happened = Happened {
        kind: "host_removed",
        host: Some(&name),
        workload: None,
        message: "it was removed",
    };
    events::put(&mut write, happened, now).await?;
    let replanned = replan::replan(&mut write, &Cause::default(), now).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    app.presence.remove(host.id);
    app.publish(&replanned);
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn cordon(
    State(app): State<Shared>,
    In(name): In<Name>,
) -> Answer<Json<HostSummary>> {
    set_cordoned(&app, &name, true).await
}

pub(crate) async fn uncordon(
    State(app): State<Shared>,
    In(name): In<Name>,
) -> Answer<Json<HostSummary>> {
    set_cordoned(&app, &name, false).await
}

async fn set_cordoned(app: &Shared, name: &Name, is_cordoned: bool) -> Answer<Json<HostSummary>> {
    let now = clock::now();
    let mut write = app.store.write().await?;
    let host = hosts::named(&mut write, name).await?;
    let mut replanned = Vec::new();
    if host.is_cordoned != is_cordoned {
        hosts::set_cordoned(&mut write, host.id, is_cordoned).await?;
        let (kind, message) = if is_cordoned {
            ("host_cordoned", "it gets nothing new")
        } else {
            ("host_uncordoned", "it gets new workloads again")
        };
        let happened = Happened { kind, host: Some(name), workload: None, message };
        events::put(&mut write, happened, now).await?;
        replanned = replan::replan(&mut write, &Cause::default(), now).await?;
    }
    write.commit().await.map_err(anyhow::Error::from)?;
    app.publish(&replanned);
    let (scene, host) = find(&app.store, name).await?;
    Ok(Json(scene.host(app, &host, now)))
}

pub(crate) async fn resync(
    State(app): State<Shared>,
    In(name): In<Name>,
    JsonBody(how): JsonBody<Resync>,
) -> Answer<Json<HostSummary>> {
    let now = clock::now();
    let mut write = app.store.write().await?;
    let host = hosts::named(&mut write, &name).await?;
    let replanned = resyncing::resync(&mut write, &host, how.keep, now).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    app.publish(&replanned);
    let (scene, host) = find(&app.store, &name).await?;
    Ok(Json(scene.host(&app, &host, now)))
}
