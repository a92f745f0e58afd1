//! The endpoint's decisions and the host's, both as they are, on a disk and a database of a model,
//! and whatever may happen between them: the host never runs anything that nobody decided, and in
//! the end it runs the right set.

#![expect(clippy::unwrap_used, reason = "the model is made of good JSON")]

use std::collections::{BTreeMap, BTreeSet};

use basalt_api::checkin::CheckinRequest;
use basalt_api::id::{HostId, Lineage, WorkloadUid};
use basalt_api::ledger::Ledger;
use basalt_api::set::{Assigned, HostSet};
use basalt_endpoint_core::checkin::{self, Issued, Known, Mark, Verdict};
use basalt_endpoint_core::generation::{self, Generation};
use basalt_endpoint_core::resync;
use hostd_core::books::{self, Hold};
use hostd_core::ledger::{Found, Place, choose};
use proptest::prelude::*;
use uuid::Uuid;

/// What may happen.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// An operator wants so many workloads.
    Apply(u8),
    /// The host checks in and takes what comes.
    CheckIn,
    /// The host checks in and the answer is lost.
    LoseAnswer,
    /// `hostd` starts anew.
    RestartHost,
    /// The power fails while the ledger is written, and so much of it is on the disk.
    CutPower(u8),
    /// The host's operator holds the first workload, or lets go of all.
    Hold,
    LetGo,
    /// The database is copied.
    BackUp,
    /// The copy takes the database's place.
    Restore,
    /// The database is lost and a new one begins.
    BeginAnew,
    /// An operator keeps what a frozen host has.
    KeepHost,
    /// An operator gives a frozen host what the endpoint has.
    FromEndpoint,
}

#[derive(Debug, Clone)]
struct Endpoint {
    lineage: Lineage,
    set: HostSet,
    generation: Generation,
    issued: BTreeMap<u64, String>,
    session: u64,
    pardon: Option<Mark>,
}

/// A host: the two copies of its ledger, and what follows from them.
#[derive(Debug, Clone, Default)]
struct Host {
    copies: BTreeMap<&'static str, Vec<u8>>,
    ledger: Ledger,
    runs: BTreeSet<WorkloadUid>,
}

const US: HostId = HostId(Uuid::from_u128(77));

fn set(workloads: u8) -> HostSet {
    let spec = include_str!("../../crates/api/examples/workload-vm.json");
    let assigned = |number: u8| Assigned {
        uid: WorkloadUid(Uuid::from_u128(number.into())),
        spec: serde_json::from_str(spec).unwrap(),
        secret_versions: BTreeMap::new(),
    };
    HostSet { workloads: (0..workloads).map(assigned).collect(), os: None }
}

impl Endpoint {
    fn new(lineage: u128) -> Self {
        let mut endpoint = Self {
            lineage: Lineage(Uuid::from_u128(lineage)),
            set: HostSet::default(),
            generation: Generation { number: 0, hash: String::new() },
            issued: BTreeMap::new(),
            session: 0,
            pardon: None,
        };
        endpoint.want(HostSet::default());
        endpoint
    }

    fn want(&mut self, set: HostSet) {
        if let Some(next) = generation::next(&self.generation, &set) {
            self.issue(next, set);
        }
    }

    fn issue(&mut self, generation: Generation, set: HostSet) {
        self.issued.insert(generation.number, generation.hash.clone());
        (self.generation, self.set) = (generation, set);
    }

    fn judge(&self, host: &Host) -> Verdict {
        let issued = self.issued.get(&host.observed()).cloned();
        let known = Known {
            lineage: self.lineage,
            session: self.session,
            boot_id: String::new(),
            generation: self.generation.number,
            set_hash: self.generation.hash.clone(),
            issued: issued.map_or(Issued::Never, Issued::Hash),
            pardon: self.pardon.clone(),
        };
        checkin::judge(&known, &host.request())
    }

    fn resync(&mut self, host: &Host, set: HostSet) {
        let mark = checkin::mark(&host.request());
        self.want(set.clone());
        let number = resync::generation(self.generation.number, &mark);
        self.issue(Generation { number, hash: set.hash() }, set);
        self.pardon = Some(mark);
    }
}

impl Host {
    fn observed(&self) -> u64 {
        self.ledger.assigned.as_ref().map_or(0, |known| known.generation)
    }

    fn set(&self) -> HostSet {
        self.ledger.assigned.as_ref().map(|known| known.set.clone()).unwrap_or_default()
    }

    /// What the ledger says, on the disk, before anything follows from it.
    fn write(&mut self, next: Ledger) {
        let next = Ledger { sequence: self.ledger.sequence + 1, ..next };
        self.copies.insert(Place::of(next.sequence).file_name(), next.encode());
        self.ledger = next;
        let wanted = books::wanted(&self.ledger, Some(US));
        let runs = wanted.iter().filter(|wanted| !wanted.held);
        self.runs = runs.map(|wanted| wanted.assigned.uid).collect();
    }

    /// Everything is gone but the disk.
    fn restart(&mut self) {
        let read = |place: Place| self.copies.get(place.file_name()).map(|it| Ledger::decode(it));
        let found = choose(read(Place::A), read(Place::B), !self.copies.is_empty());
        let mut ledger = match found {
            Found::Read(ledger, _) => *ledger,
            Found::Fresh => Ledger::default(),
            Found::Lost(reason) | Found::Later(reason) => panic!("a ledger is lost: {reason}"),
        };
        self.ledger = ledger.clone();
        ledger.session += 1;
        self.write(ledger);
    }

    /// The same while a copy was being written: a part of it is there, and what it says is not.
    fn cut_power(&mut self, part: u8) {
        let next = Ledger { sequence: self.ledger.sequence + 1, ..self.ledger.clone() };
        let mut torn = next.encode();
        torn.truncate(torn.len() * usize::from(part) / 256);
        self.copies.insert(Place::of(next.sequence).file_name(), torn);
        self.restart();
    }

    fn hold(&mut self, hold: Hold) {
        let mut next = self.ledger.clone();
        let uids: Vec<_> = self.set().workloads.iter().map(|it| it.uid.to_string()).collect();
        let number = if matches!(hold, Hold::Keep) { 1 } else { uids.len() };
        for uid in &uids[..number.min(uids.len())] {
            books::hold(&mut next, uid, hold).unwrap();
        }
        self.write(next);
    }

    fn request(&self) -> CheckinRequest {
        let known = self.ledger.assigned.as_ref();
        serde_json::from_value(serde_json::json!({
            "protocol": 1, "boot_id": "", "session": self.ledger.session,
            "lineage": known.map(|known| known.lineage), "applied_generation": 0,
            "observed_generation": self.observed(),
            "set_hash": known.map(|known| known.hash.clone()).unwrap_or_default(),
        }))
        .unwrap()
    }

    /// A check-in, whose answer the host takes where `takes`.
    fn check_in(&mut self, endpoint: &mut Endpoint, takes: bool) -> Verdict {
        let verdict = endpoint.judge(self);
        if verdict != Verdict::Duplicate {
            endpoint.session = self.ledger.session;
        }
        if verdict == Verdict::Behind && takes {
            let mut next = self.ledger.clone();
            let Generation { number, hash } = &endpoint.generation;
            let (lineage, set) = (endpoint.lineage, endpoint.set.clone());
            let taken = books::take_set(&mut next, lineage, *number, hash, set);
            assert_eq!(taken, Ok(true), "what is sent is what the host takes");
            self.write(next);
        }
        verdict
    }
}

struct World {
    endpoint: Endpoint,
    host: Host,
    backup: Endpoint,
    databases: u128,
}

impl World {
    fn new() -> Self {
        let endpoint = Endpoint::new(1);
        let mut host = Host::default();
        host.restart();
        Self { backup: endpoint.clone(), endpoint, host, databases: 1 }
    }

    fn is_frozen(&self) -> bool {
        matches!(self.endpoint.judge(&self.host), Verdict::Frozen(_))
    }

    fn step(&mut self, step: Step) {
        let (before, was_frozen) = (self.host.set(), self.is_frozen());
        match step {
            Step::Apply(workloads) => self.endpoint.want(set(workloads)),
            Step::CheckIn => {
                let verdict = self.host.check_in(&mut self.endpoint, true);
                assert_ne!(verdict, Verdict::Duplicate, "there is one host");
            }
            Step::LoseAnswer => {
                self.host.check_in(&mut self.endpoint, false);
            }
            Step::RestartHost => self.host.restart(),
            Step::CutPower(part) => self.host.cut_power(part),
            Step::Hold => self.host.hold(Hold::Keep),
            Step::LetGo => self.host.hold(Hold::LetGo),
            Step::BackUp => self.backup = self.endpoint.clone(),
            Step::Restore => self.endpoint = self.backup.clone(),
            Step::BeginAnew => {
                self.databases += 1;
                self.endpoint = Endpoint::new(self.databases);
            }
            Step::KeepHost if was_frozen => {
                self.endpoint.resync(&self.host, before.clone());
                self.host.check_in(&mut self.endpoint, true);
                assert_eq!(self.host.set(), before, "what the host runs was to be kept");
            }
            Step::FromEndpoint if was_frozen => {
                let set = self.endpoint.set.clone();
                self.endpoint.resync(&self.host, set);
            }
            Step::KeepHost | Step::FromEndpoint => (),
        }
        let is_decided = !was_frozen || matches!(step, Step::FromEndpoint | Step::KeepHost);
        assert!(is_decided || self.host.set() == before, "a frozen host got another set");
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..5).prop_map(Step::Apply),
        4 => Just(Step::CheckIn),
        2 => Just(Step::LoseAnswer),
        1 => Just(Step::RestartHost),
        1 => any::<u8>().prop_map(Step::CutPower),
        1 => Just(Step::Hold),
        1 => Just(Step::LetGo),
        1 => Just(Step::BackUp),
        1 => Just(Step::Restore),
        1 => Just(Step::BeginAnew),
        1 => Just(Step::KeepHost),
        1 => Just(Step::FromEndpoint),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_interleaving_ends_with_the_right_set(steps in proptest::collection::vec(any_step(), 0..40)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.step(Step::FromEndpoint);
        world.step(Step::CheckIn);
        prop_assert_eq!(world.endpoint.judge(&world.host), Verdict::Current);
        world.step(Step::LetGo);
        world.step(Step::RestartHost);
        let right = world.endpoint.set.workloads.iter().map(|assigned| assigned.uid).collect();
        prop_assert_eq!(&world.host.runs, &right);
    }

    /// Nothing that a host runs changes after a restore before an operator decides, however far
    /// the restored database goes on; unless it comes to issue the very set that the host has.
    #[test]
    fn a_restored_backup_alone_changes_nothing_that_runs(
        before in proptest::collection::vec(1_u8..30, 1..4),
        after in proptest::collection::vec(1_u8..30, 1..4),
        later in proptest::collection::vec(1_u8..30, 0..6),
    ) {
        let mut world = World::new();
        for workloads in before {
            world.step(Step::Apply(workloads));
            world.step(Step::CheckIn);
        }
        world.step(Step::BackUp);
        for workloads in after {
            world.step(Step::Apply(workloads));
            world.step(Step::CheckIn);
        }
        let runs = world.host.set();
        world.step(Step::Restore);
        let mut is_known = false;
        for workloads in later {
            let issued = world.endpoint.issued.get(&world.host.observed());
            is_known |= issued == Some(&runs.hash());
            world.step(Step::Apply(workloads));
            let issued = world.endpoint.issued.get(&world.host.observed());
            is_known |= issued == Some(&runs.hash());
            world.step(Step::CheckIn);
            prop_assert!(is_known || world.host.set() == runs);
        }
    }
}
