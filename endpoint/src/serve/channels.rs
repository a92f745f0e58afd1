//! Channels, as operators set them.

use std::collections::BTreeMap;

use anyhow::Result;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use basalt_api::fault::FaultKind;
use basalt_api::id::Name;
use basalt_api::rollout::{Channel, ChannelSet, Channels, is_version};
use basalt_endpoint_core::Seconds;

use crate::app::Shared;
use crate::clock;
use crate::refusal::Answer;
use crate::routes::{In, StrictBody};
use crate::store::events::{self, Happened};
use crate::store::roll_on::{self, Views};
use crate::store::{Db, channels, rollouts};

pub(crate) async fn list(State(app): State<Shared>) -> Answer<Json<Channels>> {
    let mut read = app.store.read().await?;
    let views = roll_on::views(&mut read).await?;
    let stored = channels::all(&mut read).await?;
    let channels = stored.into_iter().map(|(name, stored)| channel(&views, name, stored)).collect();
    Ok(Json(Channels { channels }))
}

fn channel(views: &Views, name: Name, stored: channels::Stored) -> Channel {
    let hosts = views.get(&name).map_or(0, BTreeMap::len);
    let hosts = u32::try_from(hosts).unwrap_or(u32::MAX);
    Channel { name, version: stored.version, set_at: stored.set_at, hosts }
}

pub(crate) async fn set(
    State(app): State<Shared>,
    In(name): In<Name>,
    StrictBody(set): StrictBody<ChannelSet>,
) -> Answer<Json<Channel>> {
    if !is_version(&set.version) {
        let detail = format!("`{}` is not the name of a version", set.version);
        return Err(FaultKind::Invalid.with(detail).into());
    }
    let now = clock::now();
    let mut write = app.store.write().await?;
    channels::set(&mut write, &name, &set.version, now).await?;
    end_complete(&mut write, &name, Some(&set.version)).await?;
    tell(&mut write, &format!("channel `{name}` means {}", set.version), now).await?;
    let views = roll_on::views(&mut write).await?;
    let stored = channels::named(&mut write, &name).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    app.publish(&[]);
    Ok(Json(channel(&views, name, stored)))
}

pub(crate) async fn remove(State(app): State<Shared>, In(name): In<Name>) -> Answer<StatusCode> {
    let now = clock::now();
    let mut write = app.store.write().await?;
    channels::named(&mut write, &name).await?;
    let rollout = rollouts::get(&mut write, &name).await?;
    if rollout.is_some_and(|stored| !super::rollouts::is_over(&stored)) {
        let fault =
            FaultKind::Conflict.with(format!("channel `{name}` has a rollout that goes on"));
        return Err(fault.hint("`basaltctl os rollout abort` ends it").into());
    }
    end_complete(&mut write, &name, None).await?;
    channels::remove(&mut write, &name).await?;
    tell(&mut write, &format!("channel `{name}` was removed"), now).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    app.publish(&[]);
    Ok(StatusCode::NO_CONTENT)
}

/// A rollout that all hosts are through would bring those that come later to a version that the
/// channel does not mean any more.
async fn end_complete(db: &mut Db, channel: &Name, version: Option<&str>) -> Result<()> {
    let Some(before) = rollouts::get(db, channel).await? else { return Ok(()) };
    let is_meant = version == Some(&before.rollout.version);
    if is_meant || !super::rollouts::is_complete(&before) {
        return Ok(());
    }
    let mut after = before.clone();
    after.rollout.abort();
    rollouts::update(db, &before, &after).await
}

async fn tell(db: &mut Db, message: &str, now: Seconds) -> Result<()> {
    events::put(db, Happened { kind: "channel", host: None, workload: None, message }, now).await
}
