//! Which host runs what.
//!
//! What runs stays where it runs while its conditions hold there, even where its host became
//! smaller, and comes before everything else; nothing moves to make room for another. What has
//! another spec stays while its host can run it. What is new, or has to go elsewhere, goes to the
//! emptiest host that may have it. What no host may have says why.
//!
//! A host that does not hear the endpoint, because it is lost or frozen, goes on with what it has:
//! only what it was given up for may run elsewhere. What shall leave a host that is about to reboot
//! stays where nobody else has room for it.

mod room;
mod same;

use std::cmp::Reverse;
use std::collections::BTreeMap;

use basalt_api::capacity::{Capacity, Taken};
use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::workload::{Placement, WorkloadSpec};

use crate::needs::Needs;
use room::Room;

pub use same::is_same_reason;

/// Hosts that a reason names.
const NAMED: usize = 8;

/// A host as placement sees it. Hosts that were removed are not among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Which one.
    pub id: HostId,
    /// Its name.
    pub name: Name,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What its release can do.
    pub features: Vec<String>,
    /// What it has; none where it has not said.
    pub capacity: Option<Capacity>,
    /// What its own local workloads take of that.
    pub local: Taken,
    /// Why it gets nothing new.
    pub closed: Option<Closed>,
}

/// Why a host gets nothing new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It never checked in.
    Unseen,
    /// An operator cordoned it.
    Cordoned,
    /// It is frozen until a resync.
    Frozen,
    /// It is silent.
    Lost,
    /// It is about to reboot into another release, or does so.
    Rebooting,
}

/// A workload that wants a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Which one.
    pub uid: WorkloadUid,
    /// What it is.
    pub spec: &'a WorkloadSpec,
    /// Where it is.
    pub place: Place,
}

/// Where a workload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Nowhere.
    Nowhere,
    /// On a host, as it is.
    Settled(HostId),
    /// On a host, with another spec until now.
    Changed(HostId),
    /// On a host that fell silent for longer than it may.
    Abandoned(HostId),
    /// On a host that shall be empty soon: another one is better, but none is worse.
    Evicted(HostId),
}

/// Where a workload shall be, or why nowhere.
pub type Decision = Result<HostId, String>;

/// Decides for all workloads. The same input gives the same decision.
#[must_use]
pub fn place(hosts: &[Host], wanted: &[Wanted]) -> BTreeMap<WorkloadUid, Decision> {
    let mut rooms: Vec<Room> = hosts.iter().map(Room::of).collect();
    let mut decisions = BTreeMap::new();
    let mut homeless: Vec<(&Wanted, Needs)> =
        in_turn(wanted).into_iter().map(|wanted| (wanted, Needs::of(wanted.spec))).collect();
    // All that runs first, whatever its priority: what changes must not push it out.
    for stays in [Wanted::is_bound_to, Wanted::can_change_on] {
        homeless.retain(|(wanted, needs)| {
            let Some(room) = rooms.iter_mut().find(|room| stays(wanted, room, needs)) else {
                return true;
            };
            room.take(needs);
            decisions.insert(wanted.uid, Ok(room.host.id));
            false
        });
    }
    let mut unplaced = Vec::new();
    for (wanted, needs) in homeless {
        match house(&mut rooms, wanted, &needs) {
            Some(host) => {
                decisions.insert(wanted.uid, Ok(host));
            }
            None => match stay(&mut rooms, wanted, &needs) {
                Some(host) => {
                    decisions.insert(wanted.uid, Ok(host));
                }
                None => unplaced.push((wanted, needs)),
            },
        }
    }
    // Reasons come last, so that they tell of what is left when all are placed.
    for (wanted, needs) in unplaced {
        decisions.insert(wanted.uid, Err(wanted.reason(&rooms, &needs)));
    }
    decisions
}

/// Higher priorities first; then by name, so that the order of the input does not matter.
fn in_turn<'a, 'b>(wanted: &'a [Wanted<'b>]) -> Vec<&'a Wanted<'b>> {
    let mut in_turn: Vec<_> = wanted.iter().collect();
    in_turn.sort_by_key(|wanted| (Reverse(wanted.spec.priority), &wanted.spec.name, wanted.uid));
    in_turn
}

/// Finds a host for what cannot stay where it is.
fn house(rooms: &mut [Room], wanted: &Wanted, needs: &Needs) -> Option<HostId> {
    let is_open = |room: &&mut Room| wanted.refusal(room, needs).is_none();
    let room = rooms.iter_mut().filter(is_open).min_by_key(|room| room.rank(needs))?;
    room.take(needs);
    Some(room.host.id)
}

/// Leaves what shall leave its host there, where nobody else has room for it.
fn stay(rooms: &mut [Room], wanted: &Wanted, needs: &Needs) -> Option<HostId> {
    let may_stay = |room: &&mut Room| {
        wanted.place == Place::Evicted(room.host.id)
            && mismatch(&wanted.spec.placement, room.host).is_none()
    };
    let room = rooms.iter_mut().find(may_stay)?;
    room.take(needs);
    Some(room.host.id)
}

impl Wanted<'_> {
    /// Whether it stays on its host whether it fits there or not: it runs there and its conditions
    /// hold, or the host would not hear that it shall go.
    fn is_bound_to(&self, room: &Room, _: &Needs) -> bool {
        let is_there = [Place::Settled(room.host.id), Place::Changed(room.host.id)];
        let is_settled = self.place == is_there[0];
        let is_deaf = matches!(room.host.closed, Some(Closed::Frozen | Closed::Lost));
        let may_be_there = mismatch(&self.spec.placement, room.host).is_none();
        is_there.contains(&self.place) && (is_deaf || (is_settled && may_be_there))
    }

    /// Whether its host can run it with its other spec, too.
    fn can_change_on(&self, room: &Room, needs: &Needs) -> bool {
        self.place == Place::Changed(room.host.id)
            && mismatch(&self.spec.placement, room.host).is_none()
            && room.lacks(needs).is_none()
            && room.fits(needs).is_ok()
    }

    /// Why it cannot go to a host.
    fn refusal(&self, room: &Room, needs: &Needs) -> Option<String> {
        let host = room.host;
        if let Some(mismatch) = mismatch(&self.spec.placement, host) {
            return Some(mismatch);
        }
        if let Some(closed) = host.closed {
            return Some(closed.sentence().to_owned());
        }
        if self.place == Place::Abandoned(host.id) {
            return Some(Closed::Lost.sentence().to_owned());
        }
        if host.capacity.is_none() {
            return Some("it has not said what it has".to_owned());
        }
        room.lacks(needs).or_else(|| room.fits(needs).err())
    }

    /// Why no host can run it.
    fn reason(&self, rooms: &[Room], needs: &Needs) -> String {
        if rooms.is_empty() {
            return "there is no host".to_owned();
        }
        let refusal = |room: &Room| {
            let why = self.refusal(room, needs)?;
            Some(format!("`{}`: {why}", room.host.name))
        };
        let refusals: Vec<String> = rooms.iter().filter_map(refusal).collect();
        let more = match refusals.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!("; {more} more"),
        };
        let named = refusals.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>();
        format!("no host can run it: {}{more}", named.join("; "))
    }
}

impl Closed {
    fn sentence(self) -> &'static str {
        match self {
            Self::Unseen => "it has not checked in yet",
            Self::Cordoned => "it is cordoned",
            Self::Frozen => "it is frozen until `basaltctl hosts resync`",
            Self::Lost => "it is lost",
            Self::Rebooting => "it is about to reboot into another release",
        }
    }
}

fn mismatch(placement: &Placement, host: &Host) -> Option<String> {
    if placement.host.as_ref().is_some_and(|name| *name != host.name) {
        return Some("it is not the host that was named".to_owned());
    }
    let missing = placement.labels.iter().find(|(key, value)| host.labels.get(*key) != Some(value));
    missing.map(|(key, value)| format!("it has no label `{key}={value}`"))
}

#[cfg(test)]
mod tests;
