//! Rollouts, as operators begin, hold and end them.

use std::collections::BTreeMap;

use anyhow::Result;
use axum::Json;
use axum::extract::State;
use basalt_api::fault::{Fault, FaultKind};
use basalt_api::id::{HostId, Name};
use basalt_api::rollout::{
    MAX_WAVES, MAX_WINDOWS, Rollout, RolloutHost, RolloutResume, RolloutSpec, RolloutStart,
    RolloutState, Rollouts, Wave,
};
use basalt_endpoint_core::rollout::{self, Ground, Members};
use basalt_endpoint_core::{Seconds, rollout as core};
use basalt_window::{NoWindow, Window};
use uuid::Uuid;

use crate::app::Shared;
use crate::clock;
use crate::refusal::Answer;
use crate::routes::{In, StrictBody};
use crate::store::events::{self, Happened};
use crate::store::roll_on::{self, Views};
use crate::store::rollouts::{self, Stored};
use crate::store::{Db, channels, groups};

/// The longest that anything of a rollout may last, in seconds: a year.
const LONGEST_S: u32 = 366 * 24 * 3600;

pub(crate) async fn list(State(app): State<Shared>) -> Answer<Json<Rollouts>> {
    let mut read = app.store.read().await?;
    let views = roll_on::views(&mut read).await?;
    let stored = rollouts::all(&mut read).await?;
    let now = clock::now();
    let rollouts: Result<Vec<_>> = stored.iter().map(|stored| shown(&views, stored, now)).collect();
    Ok(Json(Rollouts { rollouts: rollouts? }))
}

pub(crate) async fn show(
    State(app): State<Shared>,
    In(channel): In<Name>,
) -> Answer<Json<Rollout>> {
    let mut read = app.store.read().await?;
    let stored = rollouts::of(&mut read, &channel).await?;
    let views = roll_on::views(&mut read).await?;
    Ok(Json(shown(&views, &stored, clock::now())?))
}

pub(crate) async fn start(
    State(app): State<Shared>,
    StrictBody(start): StrictBody<RolloutStart>,
) -> Answer<Json<Rollout>> {
    check(&start.spec)?;
    let now = clock::now();
    let mut write = app.store.write().await?;
    let channel = channels::named(&mut write, &start.channel).await?;
    groups::named(&mut write, &start.spec.group).await?;
    let views = roll_on::views(&mut write).await?;
    has_takers(&start, views.get(&start.channel))?;
    let before = rollouts::get(&mut write, &start.channel).await?;
    if let Some(before) = before.filter(|before| !is_over(before)) {
        return Err(goes_on(&before).into());
    }
    let stored = Stored {
        channel: start.channel,
        started_at: now,
        rollout: core::Rollout::new(Uuid::new_v4(), channel.version, start.spec),
        members: Members::new(),
    };
    rollouts::begin(&mut write, &stored).await?;
    let words = format!("a rollout of {} begins", stored.rollout.version);
    tell(&mut write, &stored, &words, now).await?;
    write_step(&app, write, &stored.channel, now).await
}

pub(crate) async fn pause(
    State(app): State<Shared>,
    In(channel): In<Name>,
) -> Answer<Json<Rollout>> {
    change(&app, &channel, |stored, _| match stored.rollout.state {
        RolloutState::Running => {
            stored.rollout.pause();
            Ok("the rollout is held")
        }
        RolloutState::Paused => Ok(""),
        RolloutState::Stopped | RolloutState::Aborted => Err(is_none(stored)),
    })
    .await
}

pub(crate) async fn resume(
    State(app): State<Shared>,
    In(channel): In<Name>,
    StrictBody(how): StrictBody<RolloutResume>,
) -> Answer<Json<Rollout>> {
    change(&app, &channel, |stored, now| match stored.rollout.state {
        RolloutState::Aborted => Err(is_none(stored)),
        RolloutState::Running if !how.retry => Ok(""),
        _ => {
            stored.rollout.resume(&mut stored.members, how.retry, now);
            Ok("the rollout goes on")
        }
    })
    .await
}

pub(crate) async fn abort(
    State(app): State<Shared>,
    In(channel): In<Name>,
) -> Answer<Json<Rollout>> {
    change(&app, &channel, |stored, _| {
        stored.rollout.abort();
        Ok("the rollout was ended")
    })
    .await
}

/// Changes a rollout as an operator asks; an empty word where that is nothing new.
async fn change(
    app: &Shared,
    channel: &Name,
    change: impl FnOnce(&mut Stored, Seconds) -> Result<&'static str, Fault>,
) -> Answer<Json<Rollout>> {
    let now = clock::now();
    let mut write = app.store.write().await?;
    let before = rollouts::of(&mut write, channel).await?;
    let mut after = before.clone();
    let words = change(&mut after, now)?;
    rollouts::update(&mut write, &before, &after).await?;
    if !words.is_empty() {
        tell(&mut write, &after, words, now).await?;
    }
    write_step(app, write, channel, now).await
}

/// What follows from a change follows at once.
async fn write_step(
    app: &Shared,
    mut write: Db,
    channel: &Name,
    now: Seconds,
) -> Answer<Json<Rollout>> {
    let changes = roll_on::changes(&mut write, now).await?;
    let replanned = roll_on::carry_out(&mut write, &changes, now).await?;
    let stored = rollouts::of(&mut write, channel).await?;
    let views = roll_on::views(&mut write).await?;
    write.commit().await.map_err(anyhow::Error::from)?;
    app.publish(&replanned);
    Ok(Json(shown(&views, &stored, now)?))
}

fn check(spec: &RolloutSpec) -> Result<(), Fault> {
    let invalid = |detail: String| Err(FaultKind::Invalid.with(detail));
    if spec.waves.len() > MAX_WAVES || spec.windows.len() > MAX_WINDOWS {
        return invalid(format!(
            "a rollout has at most {MAX_WAVES} waves and {MAX_WINDOWS} maintenance windows"
        ));
    }
    let spans = [spec.soak_s, spec.drain_s, spec.fetch_s, spec.reboot_s];
    if spans.iter().any(|span| *span > LONGEST_S) {
        return invalid("nothing of a rollout may last longer than a year".to_owned());
    }
    for window in &spec.windows {
        window.parse::<Window>().map_err(|error| no_window(&error))?;
    }
    Ok(())
}

/// A label that no host has is a typing mistake: its wave would be over at once.
fn has_takers(
    start: &RolloutStart,
    hosts: Option<&BTreeMap<HostId, rollout::View>>,
) -> Result<(), Fault> {
    for wave in &start.spec.waves {
        let Wave::Label { key, value } = wave else { continue };
        let has = |view: &rollout::View| view.labels.get(key) == Some(value);
        if !hosts.into_iter().flat_map(BTreeMap::values).any(has) {
            let detail = format!("no host of channel `{}` has the label `{wave}`", start.channel);
            return Err(FaultKind::Invalid.with(detail).hint("`basaltctl hosts` shows labels"));
        }
    }
    Ok(())
}

fn no_window(error: &NoWindow) -> Fault {
    let text = error.to_string();
    let (detail, hint) = text.split_once("\nhint: ").unwrap_or((&text, ""));
    FaultKind::Invalid.with(detail).hint(hint)
}

fn goes_on(before: &Stored) -> Fault {
    let (channel, rollout) = (&before.channel, &before.rollout);
    if rollout.state == RolloutState::Aborted {
        let (hosts, seconds) = (roll_on::holders(before), rollout.spec.reboot_s);
        let detail = format!("hosts of the rollout that was ended still reboot ({hosts})");
        let hint = format!("they are through in {seconds} s at the latest");
        return FaultKind::Conflict.with(detail).hint(hint);
    }
    let detail = format!(
        "channel `{channel}` has a rollout of {} that is {}",
        rollout.version, rollout.state
    );
    FaultKind::Conflict.with(detail).hint("`basaltctl os rollout abort` ends it")
}

fn is_none(stored: &Stored) -> Fault {
    let (channel, state) = (&stored.channel, stored.rollout.state);
    let hint = match state {
        RolloutState::Stopped => "`basaltctl os rollout resume` or `abort` decides",
        _ => "`basaltctl os rollout start` begins another",
    };
    FaultKind::Conflict.with(format!("the rollout of channel `{channel}` is {state}")).hint(hint)
}

/// Whether another one may begin.
pub(super) fn is_over(stored: &Stored) -> bool {
    match stored.rollout.state {
        RolloutState::Running => is_complete(stored),
        // Who reboots still has its place, which must not be given away twice.
        RolloutState::Aborted => roll_on::holders(stored) == 0,
        RolloutState::Paused | RolloutState::Stopped => false,
    }
}

pub(super) fn is_complete(stored: &Stored) -> bool {
    stored.members.values().all(rollout::Member::is_through)
}

fn shown(views: &Views, stored: &Stored, now: Seconds) -> Result<Rollout> {
    let nobody = BTreeMap::new();
    let hosts = views.get(&stored.channel).unwrap_or(&nobody);
    let windows = roll_on::windows(stored)?;
    let ground = Ground { hosts, windows: &windows, free: 0, now };
    let it = &stored.rollout;
    let mut shown: Vec<RolloutHost> = Vec::new();
    for (id, member) in &stored.members {
        let Some(view) = hosts.get(id) else { continue };
        let update = view.update.told().filter(|update| update.version == it.version);
        shown.push(RolloutHost {
            host: view.name.clone(),
            wave: member.wave + 1,
            stage: member.stage,
            since: member.since,
            reason: rollout::waits_for(it, member, &ground, *id),
            percent: update.and_then(|update| update.percent),
        });
    }
    shown.sort_by(|a, b| (a.wave, &a.host).cmp(&(b.wave, &b.host)));
    Ok(Rollout {
        channel: stored.channel.clone(),
        version: it.version.clone(),
        spec: it.spec.clone(),
        state: it.state,
        complete: is_complete(stored),
        reason: rollout::rests(it, &stored.members, now),
        wave: it.wave + 1,
        of_waves: it.last_wave() + 1,
        started_at: stored.started_at,
        hosts: shown,
    })
}

async fn tell(db: &mut Db, stored: &Stored, words: &str, now: Seconds) -> Result<()> {
    let message = format!("channel `{}`: {words}", stored.channel);
    let happened = Happened { kind: "rollout", host: None, workload: None, message: &message };
    events::put(db, happened, now).await
}
