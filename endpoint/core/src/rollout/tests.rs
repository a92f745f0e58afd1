use basalt_api::rollout::{OsUpdateState, Wave};
use proptest::prelude::*;

use super::*;

const NEW: &str = "2";
const OLD: &str = "1";

fn id(number: u128) -> HostId {
    HostId(Uuid::from_u128(number))
}

fn view(number: u128) -> View {
    View {
        name: format!("h{number}").parse().unwrap(),
        labels: BTreeMap::from([("rack".to_owned(), (number % 2).to_string())]),
        is_present: true,
        version: OLD.to_owned(),
        is_blessed: true,
        update: Update::Untold,
        is_drained: true,
    }
}

/// Hosts that do as they are told, and a rollout on them.
struct Fleet {
    rollout: Rollout,
    members: Members,
    hosts: BTreeMap<HostId, View>,
    windows: Vec<Window>,
    slots: u32,
    now: Seconds,
    /// On whom the release fails.
    bad: Vec<HostId>,
    /// Whose operators want no update: they say so when they are told to.
    pinned: Vec<HostId>,
}

impl Fleet {
    fn new(hosts: u128, spec: RolloutSpec) -> Self {
        let windows = spec.windows.iter().map(|text| text.parse().unwrap()).collect();
        Self {
            rollout: Rollout::new(Uuid::from_u128(7), NEW.to_owned(), spec),
            members: Members::new(),
            hosts: (0..hosts).map(|number| (id(number), view(number))).collect(),
            windows,
            slots: 1,
            now: 1_000_000,
            bad: Vec::new(),
            pinned: Vec::new(),
        }
    }

    fn host(&mut self, number: u128) -> &mut View {
        self.hosts.get_mut(&id(number)).unwrap()
    }

    fn ground(&self) -> Ground<'_> {
        let taken = self.members.values().filter(|member| member.holds_place()).count();
        let free = self.slots.saturating_sub(u32::try_from(taken).unwrap());
        Ground { hosts: &self.hosts, windows: &self.windows, free, now: self.now }
    }

    /// The endpoint's part alone, `seconds` later.
    fn step(&mut self, seconds: Seconds) {
        self.now += seconds;
        let (rollout, members) = step(&self.rollout, &self.members, &self.ground());
        (self.rollout, self.members) = (rollout, members);
    }

    /// What present hosts do about their targets.
    fn obey(&mut self) {
        for (id, view) in self.hosts.iter_mut().filter(|(_, view)| view.is_present) {
            let Some(member) = self.members.get(id) else { continue };
            let Some(target) = self.rollout.target(member) else {
                view.update = Update::Untold;
                continue;
            };
            let is_bad = self.bad.contains(id);
            let state = match (target.reboot, is_bad) {
                _ if self.pinned.contains(id) => OsUpdateState::Pinned,
                (true, true) => OsUpdateState::Failed,
                (true, false) => {
                    view.version.clone_from(&target.version);
                    view.update = Update::Untold;
                    continue;
                }
                (false, _) => OsUpdateState::Fetched,
            };
            let OsTarget { version, attempt, .. } = target;
            let reason = is_bad.then(|| "its gate failed".to_owned());
            view.update = Update::Told(OsUpdate { version, attempt, state, percent: None, reason });
        }
    }

    fn run(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.step(60);
            self.obey();
        }
    }

    fn stages(&self) -> Vec<Stage> {
        self.members.values().map(|member| member.stage).collect()
    }

    fn count(&self, stage: Stage) -> usize {
        self.stages().into_iter().filter(|it| *it == stage).count()
    }
}

fn waves(waves: &[&str]) -> Vec<Wave> {
    waves.iter().map(|wave| wave.parse().unwrap()).collect()
}

#[test]
fn a_host_goes_through_every_stage_and_only_then_reboots() {
    let mut fleet = Fleet::new(1, RolloutSpec::default());
    let mut seen = Vec::new();
    for _ in 0..8 {
        fleet.step(1);
        seen.push((fleet.stages()[0], fleet.rollout.target(&fleet.members[&id(0)])));
        fleet.obey();
    }
    let target = |reboot| Some(OsTarget { version: NEW.to_owned(), attempt: 0, reboot });
    let expected = [
        (Stage::Fetching, target(false)),
        (Stage::Draining, target(false)),
        (Stage::Rebooting, target(true)),
        (Stage::Updated, None),
    ];
    seen.dedup();
    assert_eq!(seen, expected);
}

#[test]
fn waves_are_parts_of_all_and_labels_and_the_rest_goes_last() {
    let spec = RolloutSpec { waves: waves(&["rack=1", "60%"]), ..RolloutSpec::default() };
    let mut fleet = Fleet::new(10, spec);
    fleet.step(0);
    let of = |wave| fleet.members.values().filter(|member| member.wave == wave).count();
    assert_eq!([of(0), of(1), of(2)], [5, 1, 4]);
    assert!(
        fleet
            .members
            .iter()
            .all(|(host, member)| (member.wave == 0) == (host.0.as_u128() % 2 == 1))
    );
    // Who comes later goes last, or where its label says.
    fleet.hosts.insert(id(20), view(20));
    fleet.hosts.insert(id(21), view(21));
    fleet.step(0);
    assert_eq!([fleet.members[&id(20)].wave, fleet.members[&id(21)].wave], [2, 0]);
    let tiny = RolloutSpec { waves: waves(&["1%"]), ..RolloutSpec::default() };
    let mut fleet = Fleet::new(3, tiny);
    fleet.step(0);
    assert_eq!(fleet.members.values().filter(|member| member.wave == 0).count(), 1);
}

#[test]
fn a_wave_begins_once_the_one_before_has_run_well_for_long_enough() {
    let spec = RolloutSpec { waves: waves(&["rack=1"]), soak_s: 1800, ..RolloutSpec::default() };
    let mut fleet = Fleet::new(2, spec);
    fleet.run(10);
    assert_eq!(fleet.stages(), [Stage::Waiting, Stage::Updated]);
    let since = fleet.members[&id(1)].since;
    fleet.now = since;
    fleet.step(1799);
    assert_eq!(fleet.stages()[0], Stage::Waiting);
    let rests = rests(&fleet.rollout, &fleet.members, fleet.now);
    assert_eq!(rests.as_deref(), Some("wave 2 begins in 1 s"));
    fleet.step(1);
    assert_eq!(fleet.stages()[0], Stage::Fetching);
    // What fails while it soaks stops it.
    fleet.host(1).version = OLD.to_owned();
    fleet.step(1);
    assert_eq!(fleet.rollout.state, RolloutState::Stopped);
    let reason = fleet.members[&id(1)].reason.clone();
    assert_eq!(reason.as_deref(), Some("it runs 1 now"));
}

#[test]
fn one_failure_too_many_stops_it_and_nobody_else_reboots() {
    let spec = RolloutSpec { max_failures: 1, ..RolloutSpec::default() };
    let mut fleet = Fleet::new(5, spec);
    fleet.bad = (0..5).map(id).collect();
    fleet.run(30);
    assert_eq!((fleet.rollout.state, fleet.count(Stage::Failed)), (RolloutState::Stopped, 2));
    assert_eq!(fleet.count(Stage::Ready), 3);
    let reason = fleet.rollout.reason.clone().unwrap();
    assert!(reason.starts_with("2 hosts failed, of which 1 may: `h"), "{reason}");
    // An operator lets it go on: two have failed, one more may.
    fleet.bad.clear();
    fleet.rollout.resume(&mut fleet.members, false, fleet.now);
    fleet.run(30);
    assert_eq!((fleet.count(Stage::Updated), fleet.count(Stage::Failed)), (3, 2));
    assert_eq!(fleet.rollout.state, RolloutState::Running);
    // Those two try again.
    fleet.rollout.resume(&mut fleet.members, true, fleet.now);
    fleet.run(30);
    assert_eq!(fleet.count(Stage::Updated), 5);
    assert_eq!(fleet.members.values().filter(|member| member.attempt == 1).count(), 2);
}

#[test]
fn a_wave_of_which_nobody_came_through_is_not_followed() {
    let spec = RolloutSpec {
        waves: waves(&["rack=1"]),
        max_failures: 9,
        soak_s: 60,
        ..RolloutSpec::default()
    };
    let mut fleet = Fleet::new(4, spec);
    fleet.bad = vec![id(1), id(3)];
    fleet.run(60);
    assert_eq!((fleet.rollout.state, fleet.count(Stage::Waiting)), (RolloutState::Stopped, 2));
    assert_eq!(fleet.rollout.reason.as_deref(), Some("no host of wave 1 came through"));
    fleet.rollout.resume(&mut fleet.members, false, fleet.now);
    fleet.run(60);
    assert_eq!((fleet.rollout.state, fleet.count(Stage::Updated)), (RolloutState::Running, 2));
}

#[test]
fn hosts_that_are_away_hold_up_nobody_but_show_nothing_either() {
    let spec = RolloutSpec { waves: waves(&["rack=1"]), soak_s: 60, ..RolloutSpec::default() };
    let mut fleet = Fleet::new(4, spec);
    fleet.host(1).is_present = false;
    fleet.host(3).is_present = false;
    fleet.run(30);
    assert_eq!(fleet.stages(), [Stage::Waiting; 4]);
    fleet.host(3).is_present = true;
    fleet.run(30);
    assert_eq!((fleet.count(Stage::Updated), fleet.members[&id(1)].stage), (3, Stage::Waiting));
    fleet.host(1).is_present = true;
    fleet.run(30);
    assert_eq!(fleet.count(Stage::Updated), 4);
}

#[test]
fn nobody_gets_leave_to_reboot_outside_of_a_window() {
    let windows = vec!["02:00-03:00".to_owned()];
    let mut fleet = Fleet::new(3, RolloutSpec { windows, ..RolloutSpec::default() });
    // 12:00.
    fleet.now = 43_200;
    fleet.run(10);
    assert_eq!(fleet.stages(), [Stage::Ready; 3]);
    let why = waits_for(&fleet.rollout, &fleet.members[&id(0)], &fleet.ground(), id(0));
    assert_eq!(why.as_deref(), Some("a maintenance window: 02:00-03:00"));
    // 02:59 of the next day: one drains, and the window closes before it has.
    fleet.now = 86_400 + 2 * 3600 + 59 * 60;
    fleet.hosts.values_mut().for_each(|view| view.is_drained = false);
    fleet.step(0);
    assert_eq!(fleet.count(Stage::Draining), 1);
    fleet.step(60);
    assert_eq!(fleet.stages(), [Stage::Ready; 3]);
    fleet.hosts.values_mut().for_each(|view| view.is_drained = true);
    fleet.now = 2 * 86_400 + 2 * 3600;
    fleet.run(20);
    assert_eq!(fleet.stages(), [Stage::Updated; 3]);
}

#[test]
fn a_host_has_its_time_to_drain_and_no_more() {
    let spec = RolloutSpec { drain_s: 600, ..RolloutSpec::default() };
    let mut fleet = Fleet::new(1, spec);
    fleet.host(0).is_drained = false;
    fleet.run(2);
    assert_eq!(fleet.stages(), [Stage::Draining]);
    fleet.now = fleet.members[&id(0)].since;
    fleet.step(599);
    assert_eq!(fleet.stages(), [Stage::Draining]);
    fleet.step(1);
    assert_eq!(fleet.stages(), [Stage::Rebooting]);
}

#[test]
fn who_takes_too_long_has_failed_and_counts_no_more_once_it_is_there() {
    let mut fleet = Fleet::new(2, RolloutSpec::default());
    fleet.step(0);
    fleet.step(7201);
    assert_eq!(fleet.stages(), [Stage::Failed; 2]);
    let mut fleet = Fleet::new(1, RolloutSpec::default());
    fleet.run(2);
    fleet.step(0);
    assert_eq!(fleet.stages(), [Stage::Rebooting]);
    fleet.host(0).is_present = false;
    fleet.step(3601);
    let reason = fleet.members[&id(0)].reason.clone();
    assert_eq!(reason.as_deref(), Some("it has not come back within 3600 s"));
    assert_eq!(fleet.rollout.state, RolloutState::Stopped);
    *fleet.host(0) = View { version: NEW.to_owned(), ..view(0) };
    fleet.step(1);
    assert_eq!(fleet.stages(), [Stage::Updated]);
    // On trial it has not proved itself.
    let mut fleet = Fleet::new(1, RolloutSpec::default());
    *fleet.host(0) = View { version: NEW.to_owned(), is_blessed: false, ..view(0) };
    fleet.step(0);
    assert_eq!(fleet.stages(), [Stage::Fetching]);
}

#[test]
fn a_host_that_falls_silent_begins_anew_and_is_not_late() {
    let mut fleet = Fleet::new(1, RolloutSpec::default());
    fleet.step(0);
    fleet.host(0).is_present = false;
    fleet.step(5);
    assert_eq!(fleet.stages(), [Stage::Waiting]);
    fleet.host(0).is_present = true;
    fleet.step(100_000);
    assert_eq!(fleet.stages(), [Stage::Fetching]);
}

#[test]
fn a_pinned_host_and_one_that_cannot_are_left_out_until_they_can() {
    let mut fleet = Fleet::new(2, RolloutSpec::default());
    fleet.host(0).update = Update::Impossible;
    fleet.step(1);
    assert_eq!(fleet.stages(), [Stage::Skipped, Stage::Fetching]);
    fleet.pinned = vec![id(1)];
    fleet.obey();
    fleet.host(0).update = Update::Impossible;
    fleet.step(1);
    let left_out = fleet.members.clone();
    assert_eq!(fleet.stages(), [Stage::Skipped; 2]);
    // It is told what it would do, says that it does not, and that is no news any more.
    for _ in 0..5 {
        fleet.host(0).update = Update::Impossible;
        fleet.obey();
        fleet.host(0).update = Update::Impossible;
        fleet.step(60);
        assert_eq!(fleet.members, left_out);
    }
    fleet.pinned.clear();
    fleet.run(20);
    assert_eq!(fleet.stages(), [Stage::Updated; 2]);
}

#[test]
fn a_pin_after_the_leave_gives_the_place_back_at_once() {
    let mut fleet = Fleet::new(2, RolloutSpec::default());
    fleet.run(2);
    fleet.step(1);
    assert_eq!(fleet.count(Stage::Rebooting), 1);
    fleet.pinned = vec![id(0), id(1)];
    fleet.obey();
    fleet.step(1);
    assert_eq!(fleet.count(Stage::Rebooting), 0);
    assert_eq!(fleet.count(Stage::Failed), 0);
}

#[test]
fn a_host_that_dies_when_it_is_ready_holds_up_nobody() {
    let windows = vec!["02:00-03:00".to_owned()];
    let spec =
        RolloutSpec { waves: waves(&["rack=1"]), windows, soak_s: 60, ..RolloutSpec::default() };
    let mut fleet = Fleet::new(4, spec);
    // 12:00.
    fleet.now = 43_200;
    fleet.run(5);
    assert_eq!(fleet.count(Stage::Ready), 2);
    fleet.host(1).is_present = false;
    fleet.now = 86_400 + 2 * 3600;
    fleet.run(40);
    assert_eq!((fleet.count(Stage::Updated), fleet.members[&id(1)].stage), (3, Stage::Waiting));
}

#[test]
fn a_wave_of_which_all_are_left_out_is_not_followed() {
    let spec = RolloutSpec { waves: waves(&["rack=1"]), soak_s: 60, ..RolloutSpec::default() };
    let mut fleet = Fleet::new(4, spec);
    fleet.pinned = vec![id(1), id(3)];
    fleet.run(60);
    assert_eq!((fleet.count(Stage::Skipped), fleet.count(Stage::Waiting)), (2, 2));
    let rests = rests(&fleet.rollout, &fleet.members, fleet.now);
    assert_eq!(rests.as_deref(), Some("no host of wave 1 takes the release"));
}

#[test]
fn what_is_held_begins_nothing_and_what_is_ended_forgets_what_it_began() {
    let mut fleet = Fleet::new(3, RolloutSpec::default());
    fleet.run(2);
    fleet.step(0);
    let rebooting = |fleet: &Fleet| fleet.count(Stage::Rebooting);
    assert_eq!((rebooting(&fleet), fleet.count(Stage::Ready)), (1, 2));
    fleet.rollout.pause();
    fleet.run(20);
    assert_eq!((fleet.count(Stage::Updated), fleet.count(Stage::Ready)), (1, 2));
    fleet.rollout.resume(&mut fleet.members, false, fleet.now);
    fleet.step(0);
    fleet.rollout.abort();
    fleet.run(20);
    assert_eq!((fleet.count(Stage::Updated), fleet.count(Stage::Waiting)), (1, 2));
    assert!(fleet.hosts.values().all(|view| view.update == Update::Untold));
}

#[test]
fn what_left_the_channel_is_forgotten() {
    let mut fleet = Fleet::new(2, RolloutSpec::default());
    fleet.run(3);
    fleet.hosts.remove(&id(0));
    fleet.run(20);
    assert_eq!(fleet.stages(), [Stage::Updated]);
}

/// What happens to a fleet between two steps.
#[derive(Debug, Clone)]
enum Event {
    Pass(u16),
    Away(u8),
    Back(u8),
    Obey,
    Drained(u8, bool),
    Pause,
    Resume(bool),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1_u16..4000).prop_map(Event::Pass),
        1 => any::<u8>().prop_map(Event::Away),
        2 => any::<u8>().prop_map(Event::Back),
        6 => Just(Event::Obey),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(host, is)| Event::Drained(host, is)),
        1 => Just(Event::Pause),
        1 => any::<bool>().prop_map(Event::Resume),
    ]
}

impl Fleet {
    fn happens(&mut self, event: &Event) {
        let hosts = self.hosts.len() as u128;
        let one = |number: u8| u128::from(number) % hosts;
        match *event {
            Event::Pass(seconds) => self.now += Seconds::from(seconds),
            Event::Away(number) => self.host(one(number)).is_present = false,
            Event::Back(number) => self.host(one(number)).is_present = true,
            Event::Obey => self.obey(),
            Event::Drained(number, is) => self.host(one(number)).is_drained = is,
            Event::Pause => self.rollout.pause(),
            Event::Resume(retry) => {
                self.rollout.resume(&mut self.members, retry, self.now);
            }
        }
    }

    /// What must be whatever happened, from the step before to this one.
    fn check(&self, before: &Members, wave_before: u32) {
        let holders = self.members.values().filter(|member| member.holds_place()).count();
        assert!(holders <= self.slots as usize, "{holders} of {}", self.slots);
        let is_open = window::is_open(&self.windows, self.now);
        for (host, member) in &self.members {
            let Some(was) = before.get(host).map(|member| member.stage) else { continue };
            if member.stage == Stage::Rebooting && was != Stage::Rebooting {
                assert_eq!((was, is_open), (Stage::Draining, true));
                assert_eq!(self.rollout.state, RolloutState::Running);
            }
            if member.stage != Stage::Waiting && was == Stage::Waiting {
                let is_reality = matches!(member.stage, Stage::Updated | Stage::Skipped);
                assert!(is_reality || member.wave <= self.rollout.wave, "before its turn");
            }
        }
        if self.rollout.wave > wave_before {
            let is_shown =
                |member: &&Member| member.wave == wave_before && member.stage != Stage::Skipped;
            let own: Vec<_> = self.members.values().filter(is_shown).collect();
            let is_good = |member: &&Member| member.stage == Stage::Updated;
            assert!(own.is_empty() || own.iter().any(is_good) || self.rollout.forgiven > 0);
        }
        let failed = u32::try_from(self.count(Stage::Failed)).unwrap();
        let borne = self.rollout.forgiven + self.rollout.spec.max_failures;
        assert!(failed <= borne || self.rollout.state != RolloutState::Running);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whatever_happens_its_limits_hold_and_in_the_end_a_good_release_is_everywhere(
        hosts in 1_u128..7,
        slots in 1_u32..3,
        percent in 1_u8..100,
        with_window in any::<bool>(),
        events in proptest::collection::vec(event(), 0..60),
    ) {
        let windows = if with_window { vec!["02:00-06:00 Asia/Kolkata".to_owned()] } else { vec![] };
        let waves = vec!["rack=1".parse().unwrap(), Wave::Percent(percent)];
        let spec = RolloutSpec { windows, waves, soak_s: 900, ..RolloutSpec::default() };
        let mut fleet = Fleet::new(hosts, spec);
        fleet.slots = slots;
        for event in &events {
            fleet.happens(event);
            let (before, wave) = (fleet.members.clone(), fleet.rollout.wave);
            fleet.step(0);
            fleet.check(&before, wave);
        }
        // From now on nothing stands in its way.
        fleet.hosts.values_mut().for_each(|view| { view.is_present = true; view.is_drained = true; });
        fleet.rollout.resume(&mut fleet.members, true, fleet.now);
        for _ in 0..24 * 60 {
            fleet.obey();
            let (before, wave) = (fleet.members.clone(), fleet.rollout.wave);
            fleet.step(120);
            fleet.check(&before, wave);
        }
        prop_assert!(fleet.stages().iter().all(|stage| *stage == Stage::Updated), "{:?}", fleet.members);
        let quiet = step(&fleet.rollout, &fleet.members, &fleet.ground());
        prop_assert_eq!((&quiet.0, &quiet.1), (&fleet.rollout, &fleet.members), "it writes for nothing");
    }
}
