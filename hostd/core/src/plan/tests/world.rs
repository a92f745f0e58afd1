//! A host of instances that do what steps tell them.

use std::collections::BTreeMap;
use std::time::Duration;

use basalt_api::id::{HostId, WorkloadUid};
use basalt_api::ledger::Leaving;
use basalt_api::report::Trouble;
use basalt_api::set::Assigned;
use basalt_api::workload::{Kind, WorkloadSpec};
use serde_json::json;
use uuid::Uuid;

use super::super::{Observed, Plan, Seen, Situation, Work, plan};
use crate::instance::{Instance, InstanceState, Owner};
use crate::leaving;
use crate::policy::Policy;
use crate::step::{Data, Step};
use crate::track::{Progress, Tracks};
use crate::wanted::{Aim, Contact, Wanted};

pub(super) const US: HostId = HostId(Uuid::from_u128(1));
pub(super) const OTHER_HOST: HostId = HostId(Uuid::from_u128(2));

#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of a model")]
pub(super) struct World {
    words: Vec<String>,
    pub(super) instances: Vec<Instance>,
    pub(super) tracks: Tracks,
    pub(super) now: Duration,
    pub(super) contact: Contact,
    pub(super) memory_mib: u64,
    pub(super) each_takes_mib: u64,
    /// What the ledger keeps of what was wanted; all that is ours and there, at the beginning.
    pub(super) leaving: BTreeMap<WorkloadUid, Leaving>,
    pub(super) forgotten: Vec<Assigned>,
    pub(super) ledger_is_lost: bool,
    pub(super) set_is_known: bool,
    pub(super) containers_are_away: bool,
    /// Whether machines have user-data that is sealed by a key that is gone.
    pub(super) key_is_lost: bool,
    /// Steps that fail before all others succeed; which ones, `seed` decides.
    pub(super) failing_steps: u32,
    /// Whether whatever makes or starts something fails.
    pub(super) nothing_starts: bool,
    /// What is being prepared, and not over.
    preparing: Vec<Work>,
    pub(super) seed: u64,
}

impl World {
    pub(super) fn of(wanted: &str, there: &str) -> Self {
        let mut world = Self {
            words: wanted.split_whitespace().map(str::to_owned).collect(),
            instances: Vec::new(),
            tracks: Tracks::default(),
            now: Duration::from_secs(1000),
            contact: Contact::Ago(Duration::ZERO),
            memory_mib: 100_000,
            each_takes_mib: 64,
            leaving: BTreeMap::new(),
            forgotten: Vec::new(),
            ledger_is_lost: false,
            set_is_known: true,
            containers_are_away: false,
            key_is_lost: false,
            failing_steps: 0,
            nothing_starts: false,
            preparing: Vec::new(),
            seed: 0,
        };
        world.instances = there.split_whitespace().map(|word| world.instance(word)).collect();
        world.remember();
        world
    }

    /// Another set is wanted from now on.
    pub(super) fn wants_now(&mut self, wanted: &str) {
        self.words = wanted.split_whitespace().map(str::to_owned).collect();
        let kept = std::mem::take(&mut self.leaving);
        self.remember();
        self.leaving.extend(kept);
    }

    /// Keeps in the ledger what must be known of instances that no spec of today made.
    pub(super) fn remember(&mut self) {
        let wanted = self.wanted();
        let is_today = |one: &&Instance| wanted.iter().any(|wanted| wanted.hash == one.hash);
        let past = self.instances.iter().filter(|one| one.owner != Owner::Host(OTHER_HOST));
        let past = past.filter(|one| !is_today(one));
        self.leaving = past
            .map(|one| (one.uid, leaving::of(&self.wants(one.name.as_str()).assigned.spec)))
            .collect();
    }

    /// What it takes of memory: `m-A-B` takes A, and B by its newer spec.
    fn memory_of(&self, word: &str) -> u64 {
        let name = bare(word);
        let mut both = name.strip_prefix("m-").into_iter().flat_map(|both| both.split('-'));
        let mut next = || both.next().and_then(|digits| digits.parse().ok());
        let (old, new) = (next(), next());
        let memory = if word.contains('+') { new } else { old };
        memory.unwrap_or(self.each_takes_mib)
    }

    /// What runs of ours has of memory, and what it will have beside that once this plan is carried
    /// out, in whichever order.
    pub(super) fn memory_at_most(&self, plan: &Plan) -> u64 {
        let mut most: BTreeMap<WorkloadUid, u64> = BTreeMap::new();
        for one in self.instances.iter().filter(|one| one.owner != Owner::Host(OTHER_HOST)) {
            if one.state.has_processes() {
                most.insert(one.uid, self.memory_of_instance(one));
            }
        }
        for work in plan.work.iter().filter(|work| work.steps.contains(&Step::Start)) {
            let word = self.words.iter().find(|word| uid_of(bare(word)) == work.uid).unwrap();
            let memory = most.entry(work.uid).or_default();
            *memory = (*memory).max(self.memory_of(word));
        }
        most.values().sum()
    }

    fn memory_of_instance(&self, one: &Instance) -> u64 {
        let name = one.name.as_str();
        let newer = format!("{name}+");
        let is_newer = self.wants(&newer).hash == one.hash;
        self.memory_of(if is_newer { &newer } else { name })
    }

    /// What waits although there is room for it; empty when all is well.
    pub(super) fn waits_in_vain(&self) -> Vec<String> {
        let free = self.memory_mib.saturating_sub(self.memory_at_most(&Plan::default()));
        let runs = |uid| {
            let mut all = self.instances.iter();
            all.any(|one| one.uid == uid && matches!(one.state, InstanceState::Running { .. }))
        };
        let waiting = self.words.iter().filter(|word| !runs(uid_of(bare(word))));
        waiting.filter(|word| self.memory_of(word) <= free).cloned().collect()
    }

    pub(super) fn wanted(&self) -> Vec<Wanted> {
        self.words.iter().map(|word| self.wants(word)).collect()
    }

    fn wants(&self, word: &str) -> Wanted {
        let name = bare(word);
        let is_vm = name.starts_with("vm");
        let mut spec = json!({
            "name": name,
            "kind": if is_vm { "vm" } else { "container" },
            "resources": { "memory_mib": self.memory_of(word) },
            "priority": name.strip_prefix("high-").map_or(0, |digits| digits.parse().unwrap()),
            "restart": match name { "never" => "never", "onfailure" => "on_failure", _ => "always" },
        });
        if let Some(seconds) = name.strip_prefix("quiet-") {
            let after: u32 = seconds.parse().unwrap();
            spec["disconnect"] = json!({ "policy": "stop_after", "after_s": after });
        }
        if is_vm {
            let disk = json!({ "url": "http://x/y", "sha256": "0".repeat(64), "format": "raw" });
            spec["vm"] = json!({ "disk": disk });
            if self.key_is_lost {
                spec["vm"]["user_data"] = json!("AAAA");
                spec["vm"]["user_data_secret"] = json!("sealed");
            }
        } else {
            let image = if word.contains('+') { "image:2" } else { "image:1" };
            spec["container"] = json!({ "image": image, "privileged": word.contains('?') });
            if name.starts_with("port") {
                spec["container"]["ports"] = json!([{ "host": 80, "container": 80 }]);
            }
        }
        let spec: WorkloadSpec = serde_json::from_value(spec).unwrap();
        let assigned = Assigned { uid: uid_of(name), spec, secret_versions: Default::default() };
        Wanted::new(assigned, Owner::Host(US), word.contains('!'))
    }

    fn instance(&self, word: &str) -> Instance {
        let made_from = self.wants(bare(word));
        let state = match word.chars().last() {
            Some('*') => InstanceState::Running { since: 0 },
            Some('.') => InstanceState::Ended { code: Some(1), at: 5, note: None },
            Some('-') => InstanceState::Made,
            Some('=') => paused(true),
            Some('^') => InstanceState::Stray { reason: "it was forgotten".to_owned() },
            _ => InstanceState::Broken { reason: "half of it is gone".to_owned() },
        };
        let owner = if word.contains('~') { OTHER_HOST } else { US };
        Instance {
            uid: made_from.uid(),
            name: made_from.name().clone(),
            kind: made_from.kind(),
            owner: Owner::Host(owner),
            hash: made_from.hash,
            state,
            addresses: Vec::new(),
            lacks: None,
        }
    }

    pub(super) fn plan(&self) -> Plan {
        let wanted = self.wanted();
        let of = |kind| {
            let there = self.instances.iter().filter(|instance| instance.kind == kind);
            Seen::Instances(there.cloned().collect())
        };
        let containers = if self.containers_are_away {
            Seen::Unavailable("podman does not answer".to_owned())
        } else {
            of(Kind::Container)
        };
        plan(&Situation {
            wanted: (!self.ledger_is_lost).then_some(&wanted),
            knows_set: self.set_is_known,
            leaving: &self.leaving,
            forgotten: &self.forgotten,
            observed: &Observed { containers, machines: of(Kind::Vm) },
            tracks: &self.tracks,
            us: Some(US),
            policy: &Policy::default(),
            contact: self.contact,
            memory_mib: self.memory_mib,
            now: self.now,
        })
    }

    /// Plans and carries out until there is nothing to do and nothing to wait for.
    pub(super) fn run_until_quiet(&mut self) {
        self.run_while(|_, _| ());
    }

    /// The same, and shows each plan before it is carried out.
    pub(super) fn run_while(&mut self, mut show: impl FnMut(&Self, &Plan)) {
        for _ in 0..400 {
            let uids: Vec<_> = self.wanted().iter().map(Wanted::uid).collect();
            self.tracks.observe(&self.instances.iter().collect::<Vec<_>>(), &uids, self.now);
            let plan = self.plan();
            show(self, &plan);
            for work in &plan.work {
                self.tracks.turn_to(work.uid, work.purpose.clone());
                self.carry_out(work.uid, &work.steps);
            }
            if plan.work.is_empty() {
                let Some(next) = self.tracks.next_moment(self.now) else { return };
                self.now = next;
            }
        }
        panic!("it never comes to rest: {}", self.plan());
    }

    /// One round in which images take their time: what is prepared goes on in a later round, or is
    /// given up. Shows the plan.
    pub(super) fn round_of_slow_images(&mut self) -> Plan {
        let uids: Vec<_> = self.wanted().iter().map(Wanted::uid).collect();
        self.tracks.observe(&self.instances.iter().collect::<Vec<_>>(), &uids, self.now);
        let plan = self.plan();
        for work in std::mem::take(&mut self.preparing) {
            if plan.given_up.contains(&work.uid) {
                self.tracks.progress(work.uid, Progress::Over, self.now);
            } else if self.chance() {
                self.carry_out(work.uid, &work.steps);
            } else {
                self.preparing.push(work);
            }
        }
        for work in &plan.work {
            self.tracks.turn_to(work.uid, work.purpose.clone());
            if work.steps[0] == Step::Prepare {
                self.tracks.progress(work.uid, Progress::Began(Step::Prepare), self.now);
                self.preparing.push(work.clone());
            } else {
                self.carry_out(work.uid, &work.steps);
            }
        }
        self.now += Duration::from_secs(1);
        plan
    }

    /// What must not run, runs, and is neither busy nor stopped by this plan.
    pub(super) fn goes_on_wrongly(&self, plan: &Plan) -> Vec<WorkloadUid> {
        let wanted = self.wanted();
        let ours = self.instances.iter().filter(|one| one.owner == Owner::Host(US));
        let wrong = ours.filter(|one| {
            let wanted = wanted.iter().find(|wanted| wanted.uid() == one.uid);
            let aim = wanted.map(|wanted| wanted.aim(&Policy::default(), self.contact));
            one.state.has_processes() && aim != Some(Aim::Run)
        });
        let is_stopped = |uid: WorkloadUid| {
            let mut work = plan.work.iter();
            work.any(|work| work.uid == uid && matches!(work.steps[0], Step::Stop(_)))
        };
        let is_busy = |uid| self.tracks.of(uid).busy.is_some();
        wrong.map(|one| one.uid).filter(|uid| !is_stopped(*uid) && !is_busy(*uid)).collect()
    }

    fn carry_out(&mut self, uid: WorkloadUid, steps: &[Step]) {
        for step in steps {
            self.tracks.progress(uid, Progress::Began(*step), self.now);
            let starts = matches!(step, Step::Create | Step::Start | Step::Resume);
            if self.fails() || (starts && self.nothing_starts) {
                let failed = Progress::Failed(*step, "it failed".to_owned(), Trouble::Passing);
                self.tracks.progress(uid, failed, self.now);
                break;
            }
            self.obey(uid, *step);
            self.tracks.progress(uid, Progress::Did(*step), self.now);
        }
        self.tracks.progress(uid, Progress::Over, self.now);
    }

    fn fails(&mut self) -> bool {
        let fails = self.chance() && self.failing_steps > 0;
        self.failing_steps -= u32::from(fails);
        fails
    }

    fn chance(&mut self) -> bool {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.seed >> 63 == 1
    }

    /// All that is being prepared is over, one way or the other.
    pub(super) fn finish_images(&mut self) {
        while !self.preparing.is_empty() {
            self.round_of_slow_images();
        }
    }

    /// Does what a runtime does, and refuses what one would.
    fn obey(&mut self, uid: WorkloadUid, step: Step) {
        let at = self.instances.iter().position(|instance| instance.uid == uid);
        match (step, at) {
            (Step::Prepare, _) => (),
            (Step::Create, None) => {
                let words = self.words.clone();
                let word = words.iter().find(|word| uid_of(bare(word)) == uid);
                let wanted = self.wants(word.expect("only what is wanted is made"));
                let mut made = self.instance(&format!("{}-", bare(word.unwrap())));
                made.hash = wanted.hash;
                self.instances.push(made);
            }
            (Step::Start, Some(at)) => {
                let instance = &mut self.instances[at];
                let is_broken = matches!(instance.state, InstanceState::Broken { .. });
                assert!(!is_broken, "what is broken cannot start");
                assert!(!instance.state.has_processes(), "what has power cannot start");
                instance.state = InstanceState::Running { since: 9 };
            }
            (Step::Resume, Some(at)) => {
                let instance = &mut self.instances[at];
                assert!(matches!(instance.state, InstanceState::Paused { .. }), "it is not paused");
                instance.state = InstanceState::Running { since: 9 };
            }
            (Step::Stop(_), Some(at)) => {
                let ended = InstanceState::Ended { code: Some(137), at: 9, note: None };
                self.instances[at].state = ended;
            }
            (Step::Remove(data), Some(at)) => {
                assert!(!self.instances[at].state.has_processes(), "what runs cannot be removed");
                let is_wanted = self.words.iter().any(|word| uid_of(bare(word)) == uid);
                assert!(data == Data::Keep || !is_wanted, "data of what is wanted is kept");
                self.instances.remove(at);
            }
            (step, _) => panic!("{step} makes no sense here"),
        }
    }

    /// What is wanted runs as wanted or rests for a reason, and nothing else of ours is there.
    pub(super) fn assert_reached(&self) {
        let wanted = self.wanted();
        for wanted in &wanted {
            let instance = self.instances.iter().find(|instance| instance.uid == wanted.uid());
            let runs =
                instance.is_some_and(|one| matches!(one.state, InstanceState::Running { .. }));
            match wanted.aim(&Policy::default(), self.contact) {
                Aim::Run if wanted.name().as_str() == "never" && !runs => {
                    assert!(instance.is_some(), "it has run: {wanted:?}");
                }
                Aim::Run => {
                    assert!(runs, "{} does not run: {instance:?}", wanted.name());
                    assert_eq!(instance.unwrap().hash, wanted.hash);
                }
                _ => assert!(!runs, "{} runs", wanted.name()),
            }
        }
        let ours = self.instances.iter().filter(|instance| instance.owner == Owner::Host(US));
        for instance in ours {
            assert!(wanted.iter().any(|one| one.uid() == instance.uid), "{} stayed", instance.name);
        }
    }
}

pub(super) fn paused(may_resume: bool) -> InstanceState {
    InstanceState::Paused { at: 5, reason: "the host's disk is full".to_owned(), may_resume }
}

fn bare(word: &str) -> &str {
    word.trim_end_matches(['+', '!', '?', '*', '.', '~', 'x', '=', '^'])
        .trim_end_matches('-')
        .trim_end_matches('~')
}

fn uid_of(name: &str) -> WorkloadUid {
    let sum = name.bytes().fold(7_u128, |sum, byte| sum * 31 + u128::from(byte));
    WorkloadUid(Uuid::from_u128(sum))
}
