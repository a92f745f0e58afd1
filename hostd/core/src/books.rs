//! What may be written into the ledger, and what follows from what is in it.

use basalt_api::id::{HostId, Lineage, Name, WorkloadUid};
use basalt_api::ledger::{Generation, Ledger};
use basalt_api::set::{Assigned, HostSet, MAX_WORKLOADS};
use basalt_api::workload::WorkloadSpec;

use crate::instance::Owner;
use crate::wanted::Wanted;

/// What an application of a spec came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It is new.
    Created,
    /// It was another one before.
    Changed,
    /// It is as it was.
    Unchanged,
}

/// Why the ledger does not take something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The set is older than the one that is known.
    #[error("generation {offered} is older than {known}, which is known")]
    Older {
        /// What was offered.
        offered: u64,
        /// What is known.
        known: u64,
    },
    /// A generation with the same number and another content.
    #[error("generation {0} is known with another content")]
    OtherContent(u64),
    /// Two workloads have the same uid, or there are too many.
    #[error("the set makes no sense: {0}")]
    Senseless(String),
    /// There is no such workload.
    #[error("there is no workload `{0}`")]
    NotThere(String),
    /// Several have this name.
    #[error("several workloads are called `{0}`\nhint: give the uid instead of the name")]
    Ambiguous(String),
    /// It is the endpoint's.
    #[error(
        "`{0}` comes from the endpoint and would come back\nhint: `basaltctl delete {0}` deletes it \
         there, `hostctl stop {0}` holds it here"
    )]
    IsAssigned(String),
}

/// Everything that shall run here. `us` is this host's id at its endpoint.
#[must_use]
pub fn wanted(ledger: &Ledger, us: Option<HostId>) -> Vec<Wanted> {
    let make = |assigned: &Assigned, owner| {
        Wanted::new(assigned.clone(), owner, ledger.held.contains(&assigned.uid))
    };
    let local = ledger.local.iter().map(|assigned| make(assigned, Owner::Local));
    let set = ledger.assigned.iter().flat_map(|generation| &generation.set.workloads);
    let assigned = us
        .into_iter()
        .flat_map(|us| set.clone().map(move |assigned| make(assigned, Owner::Host(us))));
    local.chain(assigned).collect()
}

/// Takes the endpoint's set. `Ok(false)` where it is the one that is known already.
///
/// # Errors
/// It is older, another one of the same number, or makes no sense.
pub fn take_set(
    ledger: &mut Ledger,
    lineage: Lineage,
    generation: u64,
    hash: &str,
    set: HostSet,
) -> Result<bool, Refused> {
    sensible(&set)?;
    if let Some(known) = &ledger.assigned {
        if generation < known.generation {
            return Err(Refused::Older { offered: generation, known: known.generation });
        }
        if generation == known.generation {
            let is_same = known.hash == hash && known.lineage == lineage;
            return if is_same { Ok(false) } else { Err(Refused::OtherContent(generation)) };
        }
    }
    // A hold outlives the generation, not the workload.
    let stays = |uid: &WorkloadUid| {
        set.workloads.iter().chain(&ledger.local).any(|workload| workload.uid == *uid)
    };
    let held = ledger.held.iter().copied().filter(stays).collect();
    ledger.held = held;
    ledger.assigned = Some(Generation { lineage, generation, hash: hash.to_owned(), set });
    Ok(true)
}

fn sensible(set: &HostSet) -> Result<(), Refused> {
    if set.workloads.len() > MAX_WORKLOADS {
        return Err(Refused::Senseless(format!("over {MAX_WORKLOADS} workloads")));
    }
    let mut uids: Vec<WorkloadUid> = set.workloads.iter().map(|workload| workload.uid).collect();
    uids.sort();
    match uids.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Refused::Senseless(format!("{} is there twice", pair[0]))),
        None => Ok(()),
    }
}

/// Adds the host's own workload, or changes the one of that name. `new` is taken where it is new.
///
/// # Errors
/// There are too many.
pub fn apply_local(
    ledger: &mut Ledger,
    spec: WorkloadSpec,
    new: WorkloadUid,
) -> Result<(WorkloadUid, Applied), Refused> {
    if let Some(known) = ledger.local.iter_mut().find(|known| known.spec.name == spec.name) {
        let applied = if known.spec == spec { Applied::Unchanged } else { Applied::Changed };
        known.spec = spec;
        return Ok((known.uid, applied));
    }
    if ledger.local.len() >= MAX_WORKLOADS {
        return Err(Refused::Senseless(format!("over {MAX_WORKLOADS} workloads")));
    }
    ledger.local.push(Assigned { uid: new, spec, secret_versions: Default::default() });
    ledger.local.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
    Ok((new, Applied::Created))
}

/// Deletes the host's own workload.
///
/// # Errors
/// There is none of this name or uid, or it is the endpoint's.
pub fn delete_local(ledger: &mut Ledger, name: &str) -> Result<WorkloadUid, Refused> {
    let mut local = ledger.local.iter();
    let Some(uid) = local.find(|local| is_called(local, name)).map(|local| local.uid) else {
        // Says which of the two it is.
        find(ledger, name)?;
        return Err(Refused::IsAssigned(name.to_owned()));
    };
    ledger.local.retain(|local| local.uid != uid);
    ledger.held.remove(&uid);
    Ok(uid)
}

/// Keeps a workload stopped, or lets go of it.
///
/// # Errors
/// There is none of this name or uid, or several.
pub fn hold(ledger: &mut Ledger, name: &str, hold: Hold) -> Result<WorkloadUid, Refused> {
    let uid = find(ledger, name)?;
    match hold {
        Hold::Keep => ledger.held.insert(uid),
        Hold::LetGo => ledger.held.remove(&uid),
    };
    Ok(uid)
}

/// Whether a workload is kept stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is, over reboots too.
    Keep,
    /// It is not any more.
    LetGo,
}

/// The workload of this name or uid.
///
/// # Errors
/// There is none, or several.
pub fn find(ledger: &Ledger, name: &str) -> Result<WorkloadUid, Refused> {
    let assigned = ledger.assigned.iter().flat_map(|generation| &generation.set.workloads);
    let mut found = ledger.local.iter().chain(assigned).filter(|one| is_called(one, name));
    match (found.next(), found.next()) {
        (None, _) => Err(Refused::NotThere(name.to_owned())),
        (Some(one), None) => Ok(one.uid),
        (Some(_), Some(_)) => Err(Refused::Ambiguous(name.to_owned())),
    }
}

fn is_called(assigned: &Assigned, name: &str) -> bool {
    let spec: &Name = &assigned.spec.name;
    spec.as_str() == name || name.parse() == Ok(assigned.uid)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn spec(name: &str) -> WorkloadSpec {
        let text = format!(r#"{{"name":"{name}","kind":"container","container":{{"image":"a"}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn uid(number: u128) -> WorkloadUid {
        WorkloadUid(Uuid::from_u128(number))
    }

    fn set(numbers: &[u128]) -> HostSet {
        let workload = |number: &u128| Assigned {
            uid: uid(*number),
            spec: spec(&format!("w{number}")),
            secret_versions: Default::default(),
        };
        HostSet { workloads: numbers.iter().map(workload).collect() }
    }

    fn take(ledger: &mut Ledger, generation: u64, numbers: &[u128]) -> Result<bool, Refused> {
        let set = set(numbers);
        take_set(ledger, Lineage(Uuid::from_u128(1)), generation, &set.hash(), set)
    }

    #[test]
    fn generations_only_rise() {
        let mut ledger = Ledger::default();
        assert_eq!(take(&mut ledger, 3, &[1]), Ok(true));
        assert_eq!(take(&mut ledger, 3, &[1]), Ok(false));
        assert_eq!(take(&mut ledger, 3, &[2]), Err(Refused::OtherContent(3)));
        assert_eq!(take(&mut ledger, 2, &[]), Err(Refused::Older { offered: 2, known: 3 }));
        assert_eq!(take(&mut ledger, 4, &[]), Ok(true));
        assert_eq!(ledger.assigned.unwrap().set, HostSet::default());
    }

    #[test]
    fn a_set_that_makes_no_sense_is_refused_and_changes_nothing() {
        let mut ledger = Ledger::default();
        assert!(matches!(take(&mut ledger, 1, &[1, 1]), Err(Refused::Senseless(_))));
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn a_local_workload_keeps_its_uid_when_it_changes() {
        let mut ledger = Ledger::default();
        let mut other = spec("a");
        other.priority = 5;
        assert_eq!(apply_local(&mut ledger, spec("a"), uid(1)), Ok((uid(1), Applied::Created)));
        assert_eq!(apply_local(&mut ledger, spec("a"), uid(2)), Ok((uid(1), Applied::Unchanged)));
        assert_eq!(apply_local(&mut ledger, other, uid(3)), Ok((uid(1), Applied::Changed)));
        assert_eq!(delete_local(&mut ledger, "a"), Ok(uid(1)));
        assert_eq!(delete_local(&mut ledger, "a"), Err(Refused::NotThere("a".to_owned())));
    }

    #[test]
    fn what_the_endpoint_assigned_is_not_deleted_here() {
        let mut ledger = Ledger::default();
        take(&mut ledger, 1, &[7]).unwrap();
        assert_eq!(delete_local(&mut ledger, "w7"), Err(Refused::IsAssigned("w7".to_owned())));
    }

    #[test]
    fn a_hold_outlives_a_generation_and_ends_with_the_workload() {
        let mut ledger = Ledger::default();
        take(&mut ledger, 1, &[1, 2]).unwrap();
        hold(&mut ledger, "w1", Hold::Keep).unwrap();
        hold(&mut ledger, &uid(2).to_string(), Hold::Keep).unwrap();
        take(&mut ledger, 2, &[1]).unwrap();
        let held: Vec<bool> =
            wanted(&ledger, Some(HostId(Uuid::nil()))).iter().map(|one| one.held).collect();
        assert_eq!((held, ledger.held.len()), (vec![true], 1));
        hold(&mut ledger, "w1", Hold::LetGo).unwrap();
        assert!(ledger.held.is_empty());
    }

    #[test]
    fn a_name_that_two_have_is_ambiguous() {
        let mut ledger = Ledger::default();
        take(&mut ledger, 1, &[1]).unwrap();
        apply_local(&mut ledger, spec("w1"), uid(9)).unwrap();
        let ambiguous = Err(Refused::Ambiguous("w1".to_owned()));
        assert_eq!(hold(&mut ledger, "w1", Hold::Keep), ambiguous);
        assert_eq!(hold(&mut ledger, &uid(1).to_string(), Hold::Keep), Ok(uid(1)));
    }

    #[test]
    fn before_the_enrolment_only_local_workloads_are_wanted() {
        let mut ledger = Ledger::default();
        take(&mut ledger, 1, &[1]).unwrap();
        apply_local(&mut ledger, spec("own"), uid(9)).unwrap();
        assert_eq!(wanted(&ledger, None).len(), 1);
        assert_eq!(wanted(&ledger, Some(HostId(Uuid::nil()))).len(), 2);
    }
}
