//! An operator decides whose set counts on a host that follows another history.
//!
//! What the host says that it runs is only what it says: nothing of it is taken over that the
//! endpoint would not have issued, or that another host has.

use std::collections::BTreeSet;

use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::operator::Change;
use basalt_api::set::{Assigned, HostSet};
use basalt_api::validate;
use basalt_api::workload::Kind;

use crate::Seconds;
use crate::checkin::Mark;
use crate::generation::Workload;

/// A secret's version is not above the clock for long, see [`crate::generation::next_version`]; a
/// clock may have been ahead by so much.
const MAX_AHEAD_S: Seconds = 366 * 24 * 3600;

/// A workload as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The workload.
    pub workload: Workload,
    /// Its host.
    pub host: Option<HostId>,
    /// Another host that has it, as far as is known: it follows the database, or says so.
    pub runs_on: Option<Name>,
}

/// What a takeover of a host's set changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Takeover {
    /// They are so from now on, on this host.
    pub put: Vec<Workload>,
    /// They were to be on this host, which does not have them: deleted or moved after the backup.
    /// Nobody runs them until they are applied again.
    pub parked: Vec<WorkloadUid>,
}

/// A workload that a host's set claims, against what the database knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Which one.
    pub uid: WorkloadUid,
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// Whether the database knows it, and knows it so.
    pub change: Change,
    /// The host that the database has it on, where that is another one.
    pub moves_from: Option<HostId>,
    /// The secrets whose values the host gets for it.
    pub secrets: Vec<Name>,
}

/// Why a host's set is not taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another workload has the name of one that the host runs.
    #[error("the host runs `{0}`, and here another workload has that name")]
    NameClash(Name),
    /// One of it is there more than once.
    #[error("`{0}` is there twice, by its name or its id")]
    Twice(Name),
    /// Another host has it.
    #[error("`{name}` is the workload of host `{host}`, which has it")]
    Elsewhere {
        /// Which one.
        name: Name,
        /// Whose.
        host: Name,
    },
    /// Names do not change.
    #[error("what it calls `{now}` is called `{before}` here")]
    Renamed {
        /// As the database has it.
        before: Name,
        /// As the host has it.
        now: Name,
    },
    /// Kinds do not change.
    #[error("`{name}` is a {now} there and a {before} here")]
    OtherKind {
        /// Which one.
        name: Name,
        /// As the database has it.
        before: Kind,
        /// As the host has it.
        now: Kind,
    },
    /// The endpoint would not have issued it.
    #[error("`{name}` is none that the endpoint can have issued: {mistakes}")]
    Mistaken {
        /// Which one.
        name: Name,
        /// What is wrong with it.
        mistakes: String,
    },
}

/// The generation after a resync: above both histories.
#[must_use]
pub fn generation(known: u64, reported: &Mark) -> u64 {
    known.max(reported.generation) + 1
}

/// What it takes for the host to keep what it runs. A workload that the database has on another
/// host comes to this one, because it runs here and, as far as is known, not there.
///
/// # Errors
/// Everything for which the set is not taken over.
pub fn take_over(
    host: HostId,
    set: &HostSet,
    stored: &[Stored],
    now: Seconds,
) -> Result<Takeover, Vec<Refused>> {
    let refused = refusals(set, stored, now);
    if !refused.is_empty() {
        return Err(refused);
    }
    let claimed = |assigned: &Assigned| Workload {
        uid: assigned.uid,
        spec: assigned.spec.clone(),
        pins: assigned.secret_versions.clone(),
    };
    let kept: BTreeSet<WorkloadUid> = set.workloads.iter().map(|assigned| assigned.uid).collect();
    let is_missing =
        |stored: &&Stored| stored.host == Some(host) && !kept.contains(&stored.workload.uid);
    Ok(Takeover {
        put: set.workloads.iter().map(claimed).collect(),
        parked: stored.iter().filter(is_missing).map(|stored| stored.workload.uid).collect(),
    })
}

/// What somebody decides about who keeps a host's set: each workload of it.
#[must_use]
pub fn claims(host: HostId, set: &HostSet, stored: &[Stored]) -> Vec<Claim> {
    let claim = |assigned: &Assigned| {
        let known = stored.iter().find(|stored| stored.workload.uid == assigned.uid);
        let change = match known {
            None => Change::Created,
            Some(known) if known.workload.spec == assigned.spec => Change::Unchanged,
            Some(_) => Change::Changed,
        };
        Claim {
            uid: assigned.uid,
            name: assigned.spec.name.clone(),
            kind: assigned.spec.kind,
            change,
            moves_from: known.and_then(|known| known.host).filter(|from| *from != host),
            secrets: assigned.spec.secrets().into_iter().cloned().collect(),
        }
    };
    set.workloads.iter().map(claim).collect()
}

fn refusals(set: &HostSet, stored: &[Stored], now: Seconds) -> Vec<Refused> {
    let (mut uids, mut names) = (BTreeSet::new(), BTreeSet::new());
    let mut refused = Vec::new();
    for assigned in &set.workloads {
        let name = &assigned.spec.name;
        if !uids.insert(assigned.uid) | !names.insert(name) {
            refused.push(Refused::Twice(name.clone()));
        }
        let known = stored.iter().find(|stored| stored.workload.uid == assigned.uid);
        let named = stored.iter().find(|stored| stored.workload.spec.name == *name);
        if named.is_some_and(|named| named.workload.uid != assigned.uid) {
            refused.push(Refused::NameClash(name.clone()));
        }
        refused.extend(known.and_then(|known| contradiction(known, assigned)));
        let is_issued = known.is_some_and(|known| known.workload.spec == assigned.spec);
        refused.extend(mistakes(assigned, is_issued, now));
    }
    refused
}

/// What it says against what is known of the same workload.
fn contradiction(known: &Stored, assigned: &Assigned) -> Option<Refused> {
    let (before, spec) = (&known.workload.spec, &assigned.spec);
    let name = spec.name.clone();
    if let Some(host) = known.runs_on.clone() {
        return Some(Refused::Elsewhere { name, host });
    }
    if before.name != name {
        return Some(Refused::Renamed { before: before.name.clone(), now: name });
    }
    let kinds = (before.kind, spec.kind);
    (kinds.0 != kinds.1).then_some(Refused::OtherKind { name, before: kinds.0, now: kinds.1 })
}

/// What is wrong with it. A spec that is in the database was right when it was applied.
fn mistakes(assigned: &Assigned, is_issued: bool, now: Seconds) -> Option<Refused> {
    let mut mistakes: Vec<String> = if is_issued {
        Vec::new()
    } else {
        validate::mistakes(&assigned.spec).iter().map(ToString::to_string).collect()
    };
    let latest = u64::try_from(now.saturating_add(MAX_AHEAD_S)).unwrap_or(0);
    let secrets = assigned.spec.secrets();
    for (secret, version) in &assigned.secret_versions {
        if !secrets.contains(&secret) {
            mistakes.push(format!("it has a version of secret `{secret}`, which it does not use"));
        }
        if *version > latest {
            mistakes.push(format!("version {version} of secret `{secret}` is of no time near"));
        }
    }
    let name = assigned.spec.name.clone();
    (!mistakes.is_empty()).then(|| Refused::Mistaken { name, mistakes: mistakes.join("; ") })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::generation;

    const NOW: Seconds = 1_800_000_000;
    const HOST: HostId = HostId(Uuid::from_u128(1));

    fn workload(uid: u128, name: &str, version: u64) -> Workload {
        let text = include_str!("../../../crates/api/examples/workload-container.json");
        let mut spec: basalt_api::workload::WorkloadSpec = serde_json::from_str(text).unwrap();
        spec.name = name.parse().unwrap();
        let pins = BTreeMap::from([("db-password".parse().unwrap(), version)]);
        Workload { uid: WorkloadUid(Uuid::from_u128(uid)), spec, pins }
    }

    fn stored(uid: u128, name: &str, host: Option<HostId>) -> Stored {
        let workload = Workload { pins: BTreeMap::new(), ..workload(uid, name, 1) };
        Stored { workload, host, runs_on: None }
    }

    #[test]
    fn what_the_host_no_longer_has_is_parked_and_what_others_have_is_left() {
        let set = generation::set(&[workload(1, "a", 3)], &BTreeMap::new(), None);
        let other = Some(HostId(Uuid::from_u128(2)));
        let known = [stored(1, "a", other), stored(2, "b", Some(HOST)), stored(3, "c", other)];
        let takeover = take_over(HOST, &set, &known, NOW).unwrap();
        assert_eq!(takeover.put, [workload(1, "a", 3)]);
        assert_eq!(takeover.parked, [WorkloadUid(Uuid::from_u128(2))]);
    }

    /// Why a set with `a`, changed so, is not taken over where the database has this.
    fn check(change: impl FnOnce(&mut HostSet), known: &[Stored], expected: &[&str]) {
        let found: Vec<String> = match take_over(HOST, &changed(change), known, NOW) {
            Ok(_) => Vec::new(),
            Err(refused) => refused.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_a_host_claims_is_taken_over_only_where_the_endpoint_can_have_issued_it() {
        let a = || stored(1, "a", None);
        check(|_| (), &[], &[]);
        check(|_| (), &[a()], &[]);
        let clash = "the host runs `a`, and here another workload has that name";
        check(|_| (), &[stored(9, "a", None)], &[clash]);
        let twice = |set: &mut HostSet| set.workloads.push(set.workloads[0].clone());
        check(twice, &[], &["`a` is there twice, by its name or its id"]);
        let elsewhere = Stored { runs_on: Some("b".parse().unwrap()), ..a() };
        check(|_| (), &[elsewhere], &["`a` is the workload of host `b`, which has it"]);
        let rename = |set: &mut HostSet| set.workloads[0].spec.name = "z".parse().unwrap();
        check(rename, &[a()], &["what it calls `z` is called `a` here"]);
        let mut other_kind = a();
        other_kind.workload.spec.kind = Kind::Vm;
        check(|_| (), &[other_kind], &["`a` is a container there and a vm here"]);
        let no_image = |set: &mut HostSet| {
            set.workloads[0].spec.container.as_mut().unwrap().image = "-x".to_owned();
        };
        let none = "`a` is none that the endpoint can have issued: container.image: this is no \
                    image";
        let found = take_over(HOST, &changed(no_image), &[], NOW).unwrap_err();
        assert!(found[0].to_string().starts_with(none), "{found:?}");
        // What the database has itself is not judged anew.
        let mut known = a();
        known.workload.spec.container.as_mut().unwrap().image = "-x".to_owned();
        check(no_image, &[known], &[]);
    }

    #[test]
    fn versions_of_secrets_are_those_that_it_uses_and_of_no_time_to_come() {
        let of_another = |set: &mut HostSet| {
            set.workloads[0].secret_versions.insert("root".parse().unwrap(), 1);
        };
        let none = "`a` is none that the endpoint can have issued: ";
        let expected = format!("{none}it has a version of secret `root`, which it does not use");
        check(of_another, &[], &[&expected]);
        let late = |set: &mut HostSet| {
            set.workloads[0].secret_versions.insert("db-password".parse().unwrap(), u64::MAX);
        };
        let expected =
            format!("{none}version {} of secret `db-password` is of no time near", u64::MAX);
        check(late, &[stored(1, "a", None)], &[&expected]);
    }

    #[test]
    fn a_claim_says_what_is_new_what_is_other_and_what_moves() {
        let other = HostId(Uuid::from_u128(2));
        let named = [workload(1, "a", 1), workload(2, "b", 1), workload(3, "c", 1)];
        let set = generation::set(&named, &BTreeMap::new(), None);
        let mut changed = stored(2, "b", Some(HOST));
        changed.workload.spec.priority = 7;
        let known = [changed, stored(3, "c", Some(other))];
        let claims = claims(HOST, &set, &known);
        let told: Vec<_> = claims.iter().map(|it| (it.name.as_str(), it.change)).collect();
        let expected = [("a", Change::Created), ("b", Change::Changed), ("c", Change::Unchanged)];
        assert_eq!(told, expected);
        let moves: Vec<_> = claims.iter().map(|claim| claim.moves_from).collect();
        assert_eq!(moves, [None, None, Some(other)]);
        assert_eq!(claims[0].secrets, ["db-password".parse().unwrap()]);
    }

    fn changed(change: impl FnOnce(&mut HostSet)) -> HostSet {
        let mut set = generation::set(&[workload(1, "a", 1)], &BTreeMap::new(), None);
        change(&mut set);
        set
    }

    proptest! {
        /// Keeping a host's set means that nothing on it is replaced, whatever the database knows.
        #[test]
        fn a_kept_set_is_the_same_set(uids in proptest::collection::btree_map(0_u128..50, 1_u64..9, 0..6), known in 0_u64..9) {
            let workloads: Vec<Workload> =
                uids.iter().map(|(uid, version)| workload(*uid, &format!("w{uid}"), *version)).collect();
            let set = generation::set(&workloads, &BTreeMap::new(), None);
            let takeover = take_over(HOST, &set, &[], NOW).unwrap();
            let lowest = uids.values().min().copied().unwrap_or(0);
            let secrets = BTreeMap::from([("db-password".parse().unwrap(), known.min(lowest))]);
            prop_assert_eq!(generation::set(&takeover.put, &secrets, None), set);
        }
    }
}
