//! Who is there, and who waits: in memory, for one run of the endpoint.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use basalt_api::checkin::Action;
use basalt_api::id::HostId;
use basalt_api::operator::HostState;
use basalt_endpoint_core::checkin::Frozen;
use basalt_endpoint_core::pace::{self, Pace};
use basalt_endpoint_core::presence::{self, Heard};
use basalt_endpoint_core::{Moment, Seconds, UpSeconds};
use tokio::sync::watch;

use crate::store::hosts::Host;

/// Actions that wait for one host.
const MAX_ACTIONS: usize = 64;
/// A copy of a host is told of so often, however often it comes.
const DUPLICATE_TOLD_S: Seconds = 600;

/// Every host, as this run of the endpoint knows it.
#[derive(Debug)]
pub struct Presence {
    started: UpSeconds,
    pace: Pace,
    hosts: Mutex<HashMap<HostId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    heard: Heard,
    /// Whether it was there before this run: all of those come at once after a start.
    comes_back: bool,
    /// What the database says.
    state: HostState,
    seen_at: Option<Seconds>,
    /// By the clock that nobody sets.
    answered_at: Option<UpSeconds>,
    /// How long the next poll is held, as it was told.
    wait_s: Option<u64>,
    duplicate_at: Option<Seconds>,
    actions: Vec<Action>,
    wake: watch::Sender<()>,
    turn: watch::Sender<u64>,
}

/// What a poll waits for.
#[derive(Debug)]
pub struct Poll {
    /// Something about the host changed.
    pub wake: watch::Receiver<()>,
    /// A newer poll of the host came.
    pub turn: watch::Receiver<u64>,
    /// Seconds that it is held; none for the first one of this run, which is answered at once.
    pub wait_s: Option<u64>,
}

impl Presence {
    /// Knows these hosts, as the database does.
    #[must_use]
    pub fn new(hosts: &[Host], started: UpSeconds, pace: Pace) -> Self {
        let entries = hosts.iter().map(|host| (host.id, Entry::of(host, true))).collect();
        Self { started, pace, hosts: Mutex::new(entries) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<HostId, Entry>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many hosts there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Seconds that a poll is held; `chance` of 0 to 1 spreads them.
    #[must_use]
    pub fn wait_s(&self, chance: f64) -> u64 {
        self.pace.wait_s(self.count(), chance)
    }

    /// Seconds that a host is taken for present after an answer which said so much to wait.
    #[must_use]
    pub fn lease_s(&self, wait_s: u64) -> u64 {
        self.pace.lease_s(wait_s)
    }

    /// Knows a host from now on.
    pub fn add(&self, host: &Host) {
        let mut entries = self.lock();
        // One that repeats its enrolment may have a poll that must go on.
        let entry = entries.entry(host.id).or_insert_with(|| Entry::of(host, false));
        entry.heard.certificate_until = host.certificate_until;
    }

    /// Knows a host no longer. Its poll ends.
    pub fn remove(&self, host: HostId) {
        self.lock().remove(&host);
    }

    /// Its certificate was renewed.
    pub fn renewed(&self, host: HostId, until: Seconds) {
        if let Some(entry) = self.lock().get_mut(&host) {
            entry.heard.certificate_until = until;
        }
    }

    /// Polls of these hosts look again.
    pub fn wake(&self, hosts: &[HostId]) {
        let entries = self.lock();
        for entry in hosts.iter().filter_map(|host| entries.get(host)) {
            entry.wake.send_replace(());
        }
    }

    /// Seconds that a host shall wait with its first check-in of this run. One that enrolled just now
    /// is let in.
    #[must_use]
    pub fn too_early_s(&self, host: HostId, now: UpSeconds) -> Option<u64> {
        let entries = self.lock();
        let is_first =
            entries.get(&host).is_some_and(|entry| entry.comes_back && entry.wait_s.is_none());
        let up = u64::try_from(now - self.started).unwrap_or(0);
        pace::too_early_s(host, entries.len(), up).filter(|_| is_first)
    }

    /// What a poll of the host waits for. To be taken before the database is read, so that nothing
    /// that changes after it is missed.
    #[must_use]
    pub fn subscribe(&self, host: HostId) -> Option<Poll> {
        let entries = self.lock();
        let entry = entries.get(&host)?;
        let (wake, turn) = (entry.wake.subscribe(), entry.turn.subscribe());
        Some(Poll { wake, turn, wait_s: entry.wait_s })
    }

    /// The poll is the host's newest: older ones end.
    pub fn take_turn(&self, host: HostId, poll: &mut Poll) {
        if let Some(entry) = self.lock().get(&host) {
            entry.turn.send_modify(|turn| *turn += 1);
            poll.turn.mark_unchanged();
        }
    }

    /// A host was heard, and may be silent as long as its poll is held and then some.
    pub fn heard(&self, host: HostId, frozen: Option<Frozen>, hold_s: u64, now: Moment) {
        if let Some(entry) = self.lock().get_mut(&host) {
            entry.state = if frozen.is_some() { HostState::Ahead } else { HostState::Present };
            entry.heard.frozen = frozen;
            entry.seen_at = Some(now.date);
            entry.extend(self.lease_s(hold_s), now.up);
        }
    }

    /// A host was answered, and told how long its next poll is held.
    pub fn answered(&self, host: HostId, wait_s: u64, now: UpSeconds) {
        if let Some(entry) = self.lock().get_mut(&host) {
            (entry.wait_s, entry.answered_at) = (Some(wait_s), Some(now));
            entry.extend(self.lease_s(wait_s), now);
        }
    }

    /// When a host was answered last; before this run, it counts as its beginning.
    #[must_use]
    pub fn answered_at(&self, host: HostId) -> UpSeconds {
        self.lock().get(&host).and_then(|entry| entry.answered_at).unwrap_or(self.started)
    }

    /// When a host was heard last in this run, and when a copy of it was.
    #[must_use]
    pub fn seen(&self, host: HostId) -> (Option<Seconds>, Option<Seconds>) {
        self.lock().get(&host).map_or((None, None), |entry| (entry.seen_at, entry.duplicate_at))
    }

    /// A copy of a host came. Whether operators shall be told.
    pub fn duplicate(&self, host: HostId, now: Seconds) -> bool {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(&host) else { return false };
        let is_told = entry.duplicate_at.is_some_and(|at| now < at + DUPLICATE_TOLD_S);
        if !is_told {
            entry.duplicate_at = Some(now);
        }
        !is_told
    }

    /// The host is asked for something with its next answer, which comes at once. Whether it could
    /// be put in the queue.
    pub fn ask(&self, host: HostId, action: Action) -> bool {
        let mut entries = self.lock();
        let entry = entries.get_mut(&host).filter(|entry| entry.actions.len() < MAX_ACTIONS);
        let Some(entry) = entry else { return false };
        entry.actions.push(action);
        entry.wake.send_replace(());
        true
    }

    /// Whether the host is asked for something.
    #[must_use]
    pub fn has_actions(&self, host: HostId) -> bool {
        self.lock().get(&host).is_some_and(|entry| !entry.actions.is_empty())
    }

    /// What the host is asked for.
    #[must_use]
    pub fn take_actions(&self, host: HostId) -> Vec<Action> {
        self.lock()
            .get_mut(&host)
            .map(|entry| std::mem::take(&mut entry.actions))
            .unwrap_or_default()
    }

    /// Hosts that are other than the database says.
    #[must_use]
    pub fn transitions(&self, now: Moment) -> Vec<(HostId, HostState)> {
        let (entries, calm_until) = (self.lock(), self.pace.calm_until(self.started));
        let states = entries.iter().map(|(host, entry)| {
            (*host, entry.state, presence::state(&entry.heard, calm_until, now))
        });
        states.filter(|(_, was, is)| was != is).map(|(host, _, is)| (host, is)).collect()
    }

    /// Hosts that are lost, or silent with an expired certificate. A frozen one is not among them:
    /// it would go on with what it has when it returns, whatever ran elsewhere by then.
    #[must_use]
    pub fn silent(&self) -> BTreeSet<HostId> {
        let is_silent = |entry: &Entry| {
            matches!(entry.state, HostState::Lost | HostState::CertExpired)
                && entry.heard.frozen.is_none()
        };
        let entries = self.lock();
        entries.iter().filter(|(_, entry)| is_silent(entry)).map(|(host, _)| *host).collect()
    }

    /// The database says so now.
    pub fn stored(&self, host: HostId, state: HostState) {
        if let Some(entry) = self.lock().get_mut(&host) {
            entry.state = state;
        }
    }

    /// How many hosts are in each state.
    #[must_use]
    pub fn counts(&self) -> HashMap<HostState, usize> {
        let mut counts = HashMap::new();
        for entry in self.lock().values() {
            *counts.entry(entry.state).or_default() += 1;
        }
        counts
    }
}

impl Entry {
    fn of(host: &Host, comes_back: bool) -> Self {
        let heard = Heard {
            before: host.seen.state,
            frozen: host.seen.frozen,
            lease_until: None,
            certificate_until: host.certificate_until,
        };
        Self {
            heard,
            comes_back,
            state: host.seen.state,
            seen_at: None,
            answered_at: None,
            wait_s: None,
            duplicate_at: None,
            actions: Vec::new(),
            wake: watch::channel(()).0,
            turn: watch::channel(0).0,
        }
    }

    fn extend(&mut self, lease_s: u64, now: UpSeconds) {
        self.heard.lease_until = Some(now.saturating_add_unsigned(lease_s));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use basalt_api::capacity::Taken;
    use basalt_endpoint_core::checkin::Mark;
    use uuid::Uuid;

    use super::*;
    use crate::store::hosts::Seen;

    fn host(number: u128) -> Host {
        let reported = Mark { lineage: None, generation: 0, set_hash: String::new() };
        let seen = Seen {
            state: HostState::Present,
            frozen: None,
            session: 1,
            boot_id: String::new(),
            features: Vec::new(),
            facts: None,
            local: Taken::default(),
            reported,
            applied_generation: 0,
        };
        Host {
            id: HostId(Uuid::from_u128(number)),
            name: "a".parse().unwrap(),
            token_labels: BTreeMap::new(),
            is_revoked: false,
            is_cordoned: false,
            certificate_until: 0,
            seen,
            reported_set: None,
            pardon: None,
        }
    }

    #[test]
    fn those_of_before_come_one_after_the_other_after_a_start_and_a_new_one_at_once() {
        let before: Vec<Host> = (0..1000).map(host).collect();
        let presence = Presence::new(&before, 100, Pace::CALM);
        let waits = |number: u128, now| presence.too_early_s(host(number).id, now);
        let waiting = (0..1000).filter(|number| waits(*number, 100).is_some()).count();
        assert!(waiting > 800, "{waiting}");
        assert!((0..1000).all(|number| waits(number, 120).is_none()));
        presence.add(&host(1000));
        presence.add(&host(1001));
        assert_eq!([waits(1000, 100), waits(1001, 100)], [None, None]);
    }
}
