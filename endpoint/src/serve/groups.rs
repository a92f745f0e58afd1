//! Groups of hosts of which only some reboot at once, as operators set them.

use anyhow::{Context, Result};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use basalt_api::fault::FaultKind;
use basalt_api::id::Name;
use basalt_api::rollout::{FleetLock, Group, GroupSet, Groups, Holder, RolloutState, UnlockQuery};

use super::fleetlock;
use crate::app::Shared;
use crate::chance;
use crate::refusal::Answer;
use crate::routes::{In, QueryOf, StrictBody};
use crate::store::rollouts::Stored;
use crate::store::{Db, groups, hosts, rollouts};

pub(crate) async fn list(State(app): State<Shared>) -> Answer<Json<Groups>> {
    let mut read = app.store.read().await?;
    let rollouts = rollouts::all(&mut read).await?;
    let mut shown = Vec::new();
    for (name, group) in groups::all(&mut read).await? {
        shown.push(view(&mut read, name, group, &rollouts).await?);
    }
    Ok(Json(Groups { groups: shown }))
}

pub(crate) async fn set(
    State(app): State<Shared>,
    In(name): In<Name>,
    StrictBody(set): StrictBody<GroupSet>,
) -> Answer<Json<Group>> {
    let mut write = app.store.write().await?;
    groups::set_slots(&mut write, &name, set.slots).await?;
    let group = shown(&mut write, &name).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    Ok(Json(group))
}

pub(crate) async fn remove(State(app): State<Shared>, In(name): In<Name>) -> Answer<StatusCode> {
    let mut write = app.store.write().await?;
    groups::named(&mut write, &name).await?;
    let uses = |stored: &&Stored| {
        let is_ended = stored.rollout.state == RolloutState::Aborted;
        stored.rollout.spec.group == name && !(is_ended && super::rollouts::is_over(stored))
    };
    if let Some(stored) = rollouts::all(&mut write).await?.iter().find(uses) {
        let channel = &stored.channel;
        let detail = format!("the rollout of channel `{channel}` goes by group `{name}`");
        let hint = "`basaltctl os rollout abort` ends it";
        return Err(FaultKind::Conflict.with(detail).hint(hint).into());
    }
    groups::remove(&mut write, &name).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lets hosts that are not ours ask, by a new key; those with the old one may no more.
pub(crate) async fn open(State(app): State<Shared>, In(name): In<Name>) -> Answer<Json<FleetLock>> {
    let key = chance::token().context("there is no randomness")?;
    let mut write = app.store.write().await?;
    let hash = fleetlock::hash(&key);
    groups::set_fleetlock(&mut write, &name, Some(&hash)).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    let base_urls = app.urls.iter().map(|url| fleetlock::base_url(url, &key)).collect();
    Ok(Json(FleetLock { base_urls, group: name }))
}

pub(crate) async fn close(State(app): State<Shared>, In(name): In<Name>) -> Answer<StatusCode> {
    let mut write = app.store.write().await?;
    groups::named(&mut write, &name).await?;
    groups::set_fleetlock(&mut write, &name, None).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes back the place of a host that is not ours and does not give it back.
pub(crate) async fn unlock(
    State(app): State<Shared>,
    In(name): In<Name>,
    QueryOf(query): QueryOf<UnlockQuery>,
) -> Answer<StatusCode> {
    let mut write = app.store.write().await?;
    let had_it = groups::unlock(&mut write, &name, &query.id).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    if !had_it {
        let detail = format!("nobody of that name has a place of group `{name}` by FleetLock");
        return Err(FaultKind::NotFound.with(detail).into());
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn shown(db: &mut Db, name: &Name) -> Result<Group> {
    let rollouts = rollouts::all(db).await?;
    let group = groups::named(db, name).await?;
    view(db, name.clone(), group, &rollouts).await
}

async fn view(
    db: &mut Db,
    name: Name,
    group: groups::Stored,
    rollouts: &[Stored],
) -> Result<Group> {
    let names = hosts::names(db).await?;
    let own = rollouts.iter().filter(|stored| stored.rollout.spec.group == name);
    let mut holders: Vec<Holder> = own
        .flat_map(|stored| stored.members.iter().filter(|(_, member)| member.holds_place()))
        .map(|(id, member)| Holder {
            id: names.get(id).map_or_else(|| id.to_string(), ToString::to_string),
            since: member.since,
            fleetlock: false,
        })
        .collect();
    let locks = group.locks.into_iter();
    holders.extend(locks.map(|lock| Holder { id: lock.id, since: lock.since, fleetlock: true }));
    let fleetlock = group.fleetlock.is_some();
    Ok(Group { name, slots: group.slots, holders, fleetlock })
}
