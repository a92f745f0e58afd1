//! Hosts, as operators see and decide about them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use basalt_api::fault::FaultKind;
use basalt_api::id::Name;
use basalt_api::operator::{
    Claims, HostDetail, HostState, HostSummary, Hosts, PageQuery, RemoveQuery, Resync,
};

use super::page;
use super::view::HostScene;
use crate::app::{App, Shared};
use crate::clock;
use crate::refusal::Answer;
use crate::routes::{In, QueryOf, StrictBody};
use crate::store::events::{self, Happened};
use crate::store::hosts;
use crate::store::replan::{self, Cause};
use crate::store::{resync as resyncing, statuses, workloads};

pub(crate) async fn list(
    State(app): State<Shared>,
    QueryOf(query): QueryOf<PageQuery>,
) -> Answer<Json<Hosts>> {
    let mut read = app.store.read().await?;
    let found = hosts::page(&mut read, query.after.as_ref(), page::rows(&query)).await?;
    let scene = HostScene::read(&mut read).await?;
    drop(read);
    let now = clock::now();
    let summaries = found.iter().map(|host| scene.host(&app, host, now));
    let (hosts, next) = page::of(&query, summaries, |host| &host.name)?;
    Ok(Json(Hosts { hosts, next }))
}

pub(crate) async fn show(
    State(app): State<Shared>,
    In(name): In<Name>,
) -> Answer<Json<HostDetail>> {
    let mut read = app.store.read().await?;
    let host = hosts::named(&mut read, &name).await?;
    let scene = HostScene::read(&mut read).await?;
    let workloads = statuses::of_host(&mut read, host.id).await?.into_values().collect();
    Ok(Json(HostDetail { host: scene.host(&app, &host, clock::now()), workloads }))
}

async fn summary(app: &App, name: &Name) -> Answer<Json<HostSummary>> {
    let mut read = app.store.read().await?;
    let host = hosts::named(&mut read, name).await?;
    let scene = HostScene::read(&mut read).await?;
    Ok(Json(scene.host(app, &host, clock::now())))
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
        let runs = if runs == 1 { "1 workload".to_owned() } else { format!("{runs} workloads") };
        let detail =
            format!("host `{name}` checks in and has {runs}, which nobody could stop any more");
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
    summary(app, name).await
}

pub(crate) async fn claims(State(app): State<Shared>, In(name): In<Name>) -> Answer<Json<Claims>> {
    let mut read = app.store.read().await?;
    let host = hosts::named(&mut read, &name).await?;
    Ok(Json(resyncing::claims(&mut read, &host, clock::now()).await?))
}

pub(crate) async fn resync(
    State(app): State<Shared>,
    In(name): In<Name>,
    StrictBody(how): StrictBody<Resync>,
) -> Answer<Json<HostSummary>> {
    let now = clock::now();
    let mut write = app.store.write().await?;
    let host = hosts::named(&mut write, &name).await?;
    let replanned = resyncing::resync(&mut write, &host, &how, now).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    app.publish(&replanned);
    summary(&app, &name).await
}
