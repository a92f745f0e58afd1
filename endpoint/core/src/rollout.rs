//! A rollout: the hosts of a channel come to its version, some before the others, and no further
//! once too many have failed.
//!
//! It is a state machine. [`step`] looks at what is stored of it and at how the hosts are, and says
//! how it is now; it is called again and again, and whatever was lost between two calls is found
//! out by the next. Each host goes
//!
//! ```text
//! waiting → fetching → ready → draining → rebooting → updated
//! ```
//!
//! and nothing that boots on it changes before it is rebooting. From draining on it has one of the
//! places of its group, in which only so many reboot at once.

mod host;
mod wave;

use std::collections::BTreeMap;

use basalt_api::id::{HostId, Name};
use basalt_api::rollout::{OsTarget, OsUpdate, RolloutSpec, RolloutState, Stage};
use uuid::Uuid;

use crate::Seconds;
use basalt_window::{self as window, Window};

/// Failed hosts that a reason names.
const NAMED: usize = 3;

/// A rollout, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    /// Which one it is. A later one of the same channel is another.
    pub id: Uuid,
    /// The version that the hosts come to.
    pub version: String,
    /// How.
    pub spec: RolloutSpec,
    /// How it is with it.
    pub state: RolloutState,
    /// Why it stopped.
    pub reason: Option<String>,
    /// The last wave that has begun, from 0.
    pub wave: u32,
    /// Failures that an operator let go by.
    pub forgiven: u32,
}

/// A host in a rollout, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its wave, from 0.
    pub wave: u32,
    /// How far it is.
    pub stage: Stage,
    /// Since when.
    pub since: Seconds,
    /// Rises when it shall try again.
    pub attempt: u32,
    /// Why it failed or is left out.
    pub reason: Option<String>,
}

/// The hosts of a rollout.
pub type Members = BTreeMap<HostId, Member>;

/// A host that follows the channel, as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: Name,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it checks in, and hears what it shall do.
    pub is_present: bool,
    /// The version that it runs.
    pub version: String,
    /// Whether that has proved itself.
    pub is_blessed: bool,
    /// How far it says that it is.
    pub update: Update,
    /// Whether all that shall leave it has left.
    pub is_drained: bool,
}

/// What a host says of the release that it shall run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// Its release takes no other from the endpoint.
    Impossible,
    /// Nothing.
    Untold,
    /// How far it is.
    Told(OsUpdate),
}

/// What surrounds a rollout.
#[derive(Debug)]
pub struct Ground<'a> {
    /// The hosts that follow the channel.
    pub hosts: &'a BTreeMap<HostId, View>,
    /// When hosts may reboot.
    pub windows: &'a [Window],
    /// Places of the group that nobody has.
    pub free: u32,
    /// What time it is.
    pub now: Seconds,
}

impl Rollout {
    /// One that begins.
    #[must_use]
    pub fn new(id: Uuid, version: String, spec: RolloutSpec) -> Self {
        let (state, reason) = (RolloutState::Running, None);
        Self { id, version, spec, state, reason, wave: 0, forgiven: 0 }
    }

    /// The last wave, that of hosts which are in none that the operator named.
    #[must_use]
    pub fn last_wave(&self) -> u32 {
        u32::try_from(self.spec.waves.len()).unwrap_or(u32::MAX)
    }

    /// What a host's set says of the release.
    #[must_use]
    pub fn target(&self, member: &Member) -> Option<OsTarget> {
        let reboot = match member.stage {
            Stage::Fetching | Stage::Ready | Stage::Draining => false,
            // Whoever is pinned looks again and again whether it still is.
            Stage::Skipped if self.state != RolloutState::Aborted => false,
            Stage::Rebooting => true,
            Stage::Waiting | Stage::Updated | Stage::Failed | Stage::Skipped => return None,
        };
        Some(OsTarget { version: self.version.clone(), attempt: member.attempt, reboot })
    }

    /// An operator holds it. Who has leave to reboot already goes on.
    pub fn pause(&mut self) {
        self.state = RolloutState::Paused;
    }

    /// An operator ends it. What a host has fetched stays unused.
    pub fn abort(&mut self) {
        self.state = RolloutState::Aborted;
    }

    /// An operator lets it go on: failures until now count no more, or are tried again.
    pub fn resume(&mut self, members: &mut Members, retry: bool, now: Seconds) {
        (self.state, self.reason) = (RolloutState::Running, None);
        if retry {
            for member in members.values_mut().filter(|member| member.stage == Stage::Failed) {
                member.attempt += 1;
                member.move_to(Stage::Waiting, None, now);
            }
        }
        self.forgiven = failures(members);
    }
}

impl Update {
    /// How far it says that it is.
    #[must_use]
    pub fn told(&self) -> Option<&OsUpdate> {
        match self {
            Self::Told(update) => Some(update),
            Self::Impossible | Self::Untold => None,
        }
    }
}

impl Member {
    /// Whether it has one of its group's places.
    #[must_use]
    pub fn holds_place(&self) -> bool {
        matches!(self.stage, Stage::Draining | Stage::Rebooting)
    }

    /// Whether nothing more happens to it by itself.
    #[must_use]
    pub fn is_through(&self) -> bool {
        matches!(self.stage, Stage::Updated | Stage::Failed | Stage::Skipped)
    }

    fn move_to(&mut self, stage: Stage, reason: Option<String>, now: Seconds) {
        if self.stage != stage {
            self.since = now;
        }
        (self.stage, self.reason) = (stage, reason);
    }
}

/// How it is now. Where nothing happens, it is as before.
#[must_use]
pub fn step(before: &Rollout, members: &Members, ground: &Ground<'_>) -> (Rollout, Members) {
    let (mut rollout, mut members) = (before.clone(), members.clone());
    members.retain(|id, _| ground.hosts.contains_key(id));
    wave::join(&rollout, &mut members, ground);
    for (id, member) in &mut members {
        host::observe(&rollout, member, &ground.hosts[id], ground.now);
    }
    match rollout.state {
        RolloutState::Running => go_on(&mut rollout, &mut members, ground),
        RolloutState::Paused | RolloutState::Stopped => {
            hold(&mut members, Stage::Ready, ground.now);
        }
        RolloutState::Aborted => give_up(&mut members, ground.now),
    }
    (rollout, members)
}

fn go_on(rollout: &mut Rollout, members: &mut Members, ground: &Ground<'_>) {
    if let Some(reason) = stops(rollout, members, ground) {
        (rollout.state, rollout.reason) = (RolloutState::Stopped, Some(reason));
        return hold(members, Stage::Ready, ground.now);
    }
    while wave::is_over(rollout, members, ground) {
        rollout.wave += 1;
    }
    for (id, member) in members.iter_mut().filter(|(_, member)| member.wave <= rollout.wave) {
        if member.stage == Stage::Waiting && ground.hosts[id].is_present {
            member.move_to(Stage::Fetching, None, ground.now);
        }
    }
    reboots(rollout, members, ground);
}

/// Why it must not go on.
fn stops(rollout: &Rollout, members: &Members, ground: &Ground<'_>) -> Option<String> {
    if failures(members) > rollout.forgiven.saturating_add(rollout.spec.max_failures) {
        let mut failed: Vec<_> =
            members.iter().filter(|(_, member)| member.stage == Stage::Failed).collect();
        failed.sort_by_key(|(_, member)| std::cmp::Reverse(member.since));
        let name = |(id, _): &(&HostId, &Member)| format!("`{}`", ground.hosts[*id].name);
        let names: Vec<String> = failed.iter().take(NAMED).map(name).collect();
        return Some(format!(
            "{} failed, of which {} may: {}",
            hosts(failed.len()),
            rollout.spec.max_failures.saturating_add(rollout.forgiven),
            names.join(", ")
        ));
    }
    let nobody = wave::nobody_came_through(rollout, members);
    nobody.then(|| format!("no host of wave {} came through", rollout.wave + 1))
}

fn hosts(number: usize) -> String {
    format!("{number} host{}", if number == 1 { "" } else { "s" })
}

fn failures(members: &Members) -> u32 {
    let failed = members.values().filter(|member| member.stage == Stage::Failed).count();
    u32::try_from(failed).unwrap_or(u32::MAX)
}

/// Nobody gets leave to reboot any more.
fn hold(members: &mut Members, instead: Stage, now: Seconds) {
    for member in members.values_mut().filter(|member| member.stage == Stage::Draining) {
        member.move_to(instead, None, now);
    }
}

fn give_up(members: &mut Members, now: Seconds) {
    let is_begun = |member: &&mut Member| {
        matches!(member.stage, Stage::Fetching | Stage::Ready | Stage::Draining)
    };
    for member in members.values_mut().filter(is_begun) {
        member.move_to(Stage::Waiting, None, now);
    }
}

/// Who reboots, and who makes ready to.
fn reboots(rollout: &Rollout, members: &mut Members, ground: &Ground<'_>) {
    let now = ground.now;
    if !window::is_open(ground.windows, now) {
        return hold(members, Stage::Ready, now);
    }
    for (id, member) in members.iter_mut().filter(|(_, member)| member.stage == Stage::Draining) {
        let is_time_up = now - member.since >= Seconds::from(rollout.spec.drain_s);
        if ground.hosts[id].is_drained || is_time_up {
            member.move_to(Stage::Rebooting, None, now);
        }
    }
    let mut free = ground.free;
    for id in in_turn(rollout, members, ground) {
        let Some(left) = free.checked_sub(1) else { return };
        let Some(member) = members.get_mut(&id) else { continue };
        member.move_to(Stage::Draining, None, now);
        free = left;
    }
}

/// Who may reboot next: by wave, then who has waited longest.
fn in_turn(rollout: &Rollout, members: &Members, ground: &Ground<'_>) -> Vec<HostId> {
    let is_next = |(_, member): &(&HostId, &Member)| {
        member.stage == Stage::Ready && member.wave <= rollout.wave
    };
    let mut next: Vec<_> = members.iter().filter(is_next).collect();
    next.sort_by_key(|(id, member)| (member.wave, member.since, &ground.hosts[*id].name));
    next.into_iter().map(|(id, _)| *id).collect()
}

/// What a host waits for that is not through, for a person.
#[must_use]
pub fn waits_for(
    rollout: &Rollout,
    member: &Member,
    ground: &Ground<'_>,
    id: HostId,
) -> Option<String> {
    let view = ground.hosts.get(&id)?;
    if !view.is_present && !member.is_through() && member.stage != Stage::Rebooting {
        return Some("it is not there".to_owned());
    }
    match member.stage {
        Stage::Ready if rollout.state != RolloutState::Running => None,
        Stage::Ready if !window::is_open(ground.windows, ground.now) => {
            let windows: Vec<String> = ground.windows.iter().map(ToString::to_string).collect();
            Some(format!("a maintenance window: {}", windows.join("; ")))
        }
        Stage::Ready => Some(format!("a place to reboot in group `{}`", rollout.spec.group)),
        Stage::Draining => Some("workloads that leave it".to_owned()),
        _ => member.reason.clone(),
    }
}

/// What the whole of it waits for, for a person.
#[must_use]
pub fn rests(rollout: &Rollout, members: &Members, now: Seconds) -> Option<String> {
    if rollout.state != RolloutState::Running || rollout.wave >= rollout.last_wave() {
        return rollout.reason.clone();
    }
    if wave::takes_none(rollout, members) {
        return Some(format!("no host of wave {} takes the release", rollout.wave + 1));
    }
    let begun = members.values().filter(|member| member.wave <= rollout.wave);
    let goes_on = |member: &Member| !member.is_through() && member.stage != Stage::Waiting;
    if begun.into_iter().any(goes_on) {
        return None;
    }
    let left = wave::soaks_until(rollout, members)? - now;
    (left > 0).then(|| format!("wave {} begins in {left} s", rollout.wave + 2))
}

#[cfg(test)]
mod tests;
