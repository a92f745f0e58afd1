//! Moves rollouts on: what the state machine decides is written down, told, and issued to hosts, all
//! in one transaction.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use basalt_api::capacity::feature;
use basalt_api::id::{HostId, Name};
use basalt_api::operator::HostState;
use basalt_api::rollout::{CHANNEL_LABEL, DEFAULT_CHANNEL, RolloutState, Stage};
use basalt_endpoint_core::rollout::{Ground, Member, Update, View, step};
use basalt_endpoint_core::{Seconds, group};
use basalt_window::Window;

use super::events::{self, Happened};
use super::hosts::Host;
use super::replan::{self, Cause};
use super::rollouts::Stored;
use super::{Db, groups, hosts, rollouts, sets};

/// The hosts of each channel, as rollouts see them.
pub type Views = BTreeMap<Name, BTreeMap<HostId, View>>;

/// A rollout before and after a step that changes it.
pub type Change = (Stored, Stored);

/// What the next step of all rollouts changes.
///
/// # Errors
/// The database is broken.
pub async fn changes(db: &mut Db, now: Seconds) -> Result<Vec<Change>> {
    let mut stored = rollouts::all(db).await?;
    stored.retain(|stored| stored.rollout.state != RolloutState::Aborted || is_under_way(stored));
    if stored.is_empty() {
        return Ok(Vec::new());
    }
    let views = views(db).await?;
    let mut places = Places::read(db, &stored).await?;
    let nobody = BTreeMap::new();
    let mut changes = Vec::new();
    for before in stored {
        let hosts = views.get(&before.channel).unwrap_or(&nobody);
        let windows = windows(&before)?;
        let free = places.free(&before);
        let ground = Ground { hosts, windows: &windows, free, now };
        let (rollout, members) = step(&before.rollout, &before.members, &ground);
        let after = Stored { rollout, members, ..before.clone() };
        places.changed(&before, &after);
        if before != after {
            changes.push((before, after));
        }
    }
    Ok(changes)
}

/// Writes a step down. Returns the hosts with a new generation.
///
/// # Errors
/// A host's set became too large, or the database is broken.
pub async fn carry_out(db: &mut Db, changes: &[Change], now: Seconds) -> Result<Vec<HostId>> {
    let names = hosts::names(db).await?;
    for (before, after) in changes {
        rollouts::update(db, before, after).await?;
        tell_rollout(db, before, after, now).await?;
        for (id, member) in &after.members {
            let was = before.members.get(id).map(|member| member.stage);
            if was != Some(member.stage) {
                tell_host(db, names.get(id), after, member, now).await?;
            }
        }
    }
    replan::replan(db, &Cause::default(), now).await
}

/// The hosts that follow each channel.
///
/// # Errors
/// The database is broken.
pub async fn views(db: &mut Db) -> Result<Views> {
    let generations: BTreeMap<HostId, u64> = sets::generations(db)
        .await?
        .into_iter()
        .map(|(host, generation)| (host, generation.number))
        .collect();
    let mut views = Views::new();
    for host in hosts::all(db).await? {
        let generation = generations.get(&host.id).copied();
        let channel = channel(&host)?;
        views.entry(channel).or_default().insert(host.id, view(&host, generation));
    }
    Ok(views)
}

/// The channel that a host follows.
fn channel(host: &Host) -> Result<Name> {
    let labels = host.labels();
    // A label that is no name is no channel either, and must not hold up the others.
    let named = labels.get(CHANNEL_LABEL).and_then(|label| label.parse().ok());
    named.map_or_else(|| Ok(DEFAULT_CHANNEL.parse()?), Ok)
}

fn view(host: &Host, generation: Option<u64>) -> View {
    let seen = &host.seen;
    let os = seen.facts.as_ref().map(|facts| facts.os.clone()).unwrap_or_default();
    View {
        name: host.name.clone(),
        labels: host.labels(),
        is_present: seen.state == HostState::Present,
        version: os.version,
        is_blessed: os.boot == "blessed",
        update: match os.update {
            _ if !seen.features.iter().any(|has| has == feature::OS) => Update::Impossible,
            None => Update::Untold,
            Some(update) => Update::Told(update),
        },
        is_drained: generation == Some(seen.applied_generation),
    }
}

/// A rollout's maintenance windows.
///
/// # Errors
/// One is none; they were looked at before they were stored.
pub fn windows(stored: &Stored) -> Result<Vec<Window>> {
    let texts = stored.rollout.spec.windows.iter();
    texts.map(|text| text.parse::<Window>().context("the database has no such window")).collect()
}

/// Places of groups that nobody has.
struct Places(BTreeMap<Name, (u32, groups::Stored)>);

impl Places {
    async fn read(db: &mut Db, rollouts: &[Stored]) -> Result<Self> {
        let groups = groups::all(db).await?.into_iter();
        let mut places = Self(groups.map(|(name, group)| (name, (0, group))).collect());
        for stored in rollouts {
            places.take(stored, holders(stored));
        }
        Ok(places)
    }

    fn take(&mut self, stored: &Stored, number: u32) {
        if let Some((taken, _)) = self.0.get_mut(&stored.rollout.spec.group) {
            *taken = taken.saturating_add(number);
        }
    }

    /// None in a group that somebody removed.
    fn free(&self, stored: &Stored) -> u32 {
        let group = self.0.get(&stored.rollout.spec.group);
        group.map_or(0, |(taken, group)| group::free(group.slots, *taken, &group.locks))
    }

    /// What a rollout took counts for the next one; what it gave back, from the next step on.
    fn changed(&mut self, before: &Stored, after: &Stored) {
        self.take(after, holders(after).saturating_sub(holders(before)));
    }
}

/// Whether anything of it still happens.
fn is_under_way(stored: &Stored) -> bool {
    let rests =
        |stage| matches!(stage, Stage::Waiting | Stage::Updated | Stage::Failed | Stage::Skipped);
    stored.members.values().any(|member| !rests(member.stage))
}

/// How many of its hosts have a place.
#[must_use]
pub fn holders(stored: &Stored) -> u32 {
    let holders = stored.members.values().filter(|member| member.holds_place()).count();
    u32::try_from(holders).unwrap_or(u32::MAX)
}

async fn tell_rollout(db: &mut Db, before: &Stored, after: &Stored, now: Seconds) -> Result<()> {
    let (rollout, channel) = (&after.rollout, &after.channel);
    let mut messages = Vec::new();
    if rollout.wave > before.rollout.wave {
        let (wave, of) = (rollout.wave + 1, rollout.last_wave() + 1);
        messages.push(format!("channel `{channel}`: wave {wave} of {of} begins"));
    }
    if rollout.state == RolloutState::Stopped && before.rollout.state != RolloutState::Stopped {
        let why = rollout.reason.clone().unwrap_or_default();
        messages.push(format!("channel `{channel}`: the rollout stopped: {why}"));
    }
    for message in messages {
        let happened = Happened { kind: "rollout", host: None, workload: None, message: &message };
        events::put(db, happened, now).await?;
    }
    Ok(())
}

async fn tell_host(
    db: &mut Db,
    host: Option<&Name>,
    after: &Stored,
    member: &Member,
    now: Seconds,
) -> Result<()> {
    let version = &after.rollout.version;
    let why = member.reason.as_deref().unwrap_or("no reason was given");
    let message = match member.stage {
        Stage::Rebooting => format!("it may reboot into release {version}"),
        Stage::Updated => format!("it runs release {version}"),
        Stage::Failed => format!("release {version} failed: {why}"),
        Stage::Skipped => format!("it is left out of the rollout of {version}: {why}"),
        Stage::Waiting | Stage::Fetching | Stage::Ready | Stage::Draining => return Ok(()),
    };
    let happened = Happened { kind: "host_update", host, workload: None, message: &message };
    events::put(db, happened, now).await
}
