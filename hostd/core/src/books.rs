//! What may be written into the ledger, and what follows from what is in it.

use basalt_api::id::{HostId, Lineage, Name, WorkloadUid};
use basalt_api::ledger::{Generation, Ledger};
use basalt_api::set::{Assigned, HostSet, MAX_WORKLOADS};
use basalt_api::workload::{Kind, WorkloadSpec};

use crate::instance::Owner;
use crate::leaving;
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
    /// The endpoint means one of the host's own workloads.
    #[error(
        "the set names the uid {uid}, which is that of this host's own workload `{name}`\nhint: \
         `hostctl delete {name}` if the endpoint shall have it"
    )]
    IsLocal {
        /// The uid.
        uid: WorkloadUid,
        /// The host's own workload.
        name: String,
    },
    /// There is no such workload.
    #[error("there is no workload `{0}`")]
    NotThere(String),
    /// Several have this name.
    #[error("several workloads are called `{0}`\nhint: give the uid instead of the name")]
    Ambiguous(String),
    /// It is wanted here, and nobody has to decide about it.
    #[error("`{0}` is no orphan: it is wanted here\nhint: `hostctl describe {0}` says by whom")]
    NoOrphan(String),
    /// Nobody knows what it is made from.
    #[error(
        "the spec of `{0}` is not known any more\nhint: give it with `--spec FILE`, or purge it"
    )]
    SpecUnknown(String),
    /// Another workload has this name.
    #[error("there is another workload `{0}` of this host's own\nhint: delete that one first")]
    NameTaken(String),
    /// The spec is for something else.
    #[error("the spec is that of `{given}`, and the orphan is `{orphan}`")]
    OtherSpec {
        /// What it names.
        given: String,
        /// What was meant.
        orphan: String,
    },
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

/// Whether the endpoint's set has to come once more: some of it cannot be opened here any more.
#[must_use]
pub fn wants_set_again(ledger: &Ledger) -> bool {
    ledger.assigned.as_ref().is_some_and(|known| known.set.is_sealed())
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
    names_no_local(&set, &ledger.local)?;
    if let Some(known) = &ledger.assigned {
        if generation < known.generation {
            return Err(Refused::Older { offered: generation, known: known.generation });
        }
        if generation == known.generation {
            let is_same = known.hash == hash && known.lineage == lineage;
            return match is_same {
                false => Err(Refused::OtherContent(generation)),
                true => Ok(open(ledger, set)),
            };
        }
    }
    note_departures(ledger, &set);
    // A hold outlives the generation, not the workload.
    let stays = |uid: &WorkloadUid| {
        set.workloads.iter().chain(&ledger.local).any(|workload| workload.uid == *uid)
    };
    let held = ledger.held.iter().copied().filter(stays).collect();
    ledger.held = held;
    ledger.assigned = Some(Generation { lineage, generation, hash: hash.to_owned(), set });
    Ok(true)
}

/// Takes the set that is known once more where some of it was sealed by a key that is gone, and
/// comes as it is now. Whether it does.
fn open(ledger: &mut Ledger, set: HostSet) -> bool {
    let sealed = ledger.assigned.as_mut().filter(|known| known.set.is_sealed());
    let Some(known) = sealed.filter(|_| !set.is_sealed()) else { return false };
    known.set = set;
    true
}

/// Keeps what must be known of workloads that the set has no more, or has another spec for.
fn note_departures(ledger: &mut Ledger, set: &HostSet) {
    let before = ledger.assigned.as_ref().map(|known| known.set.workloads.clone());
    for before in before.into_iter().flatten() {
        match set.workloads.iter().find(|after| after.uid == before.uid) {
            Some(after) => leaving::note_change(ledger, &before, &after.spec),
            None => leaving::note(ledger, &before),
        }
    }
}

/// Two who want something else of one instance would replace it in turns.
fn names_no_local(set: &HostSet, local: &[Assigned]) -> Result<(), Refused> {
    let is_in_set = |own: &&Assigned| set.workloads.iter().any(|one| one.uid == own.uid);
    match local.iter().find(is_in_set) {
        Some(own) => Err(Refused::IsLocal { uid: own.uid, name: own.spec.name.to_string() }),
        None => Ok(()),
    }
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
        if known.spec == spec {
            return Ok((known.uid, Applied::Unchanged));
        }
        let before = known.clone();
        known.spec = spec.clone();
        leaving::note_change(ledger, &before, &spec);
        return Ok((before.uid, Applied::Changed));
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
    let Some(before) = local.find(|local| is_called(local, name)).cloned() else {
        // Says which of the two it is.
        find(ledger, name)?;
        return Err(Refused::IsAssigned(name.to_owned()));
    };
    let uid = before.uid;
    leaving::note(ledger, &before);
    ledger.local.retain(|local| local.uid != uid);
    ledger.held.remove(&uid);
    Ok(uid)
}

/// Makes an orphan one of the host's own workloads, from the spec that is given or the one that
/// is still known. Its instance and data stay.
///
/// # Errors
/// It is wanted already, its spec is not known or is another's, its name is taken, or there are too
/// many.
pub fn adopt(
    ledger: &mut Ledger,
    orphan: &Orphan,
    spec: Option<WorkloadSpec>,
) -> Result<(), Refused> {
    let Orphan { uid, name, kind } = orphan;
    must_be_orphan(ledger, orphan)?;
    let known = ledger.forgotten.iter().find(|one| one.uid == *uid).cloned();
    let secret_versions =
        known.as_ref().map(|known| known.secret_versions.clone()).unwrap_or_default();
    let spec = spec.or_else(|| known.map(|known| known.spec));
    let spec = spec.ok_or_else(|| Refused::SpecUnknown(name.to_string()))?;
    if (&spec.name, spec.kind) != (name, *kind) {
        let given = format!("{} ({})", spec.name, spec.kind);
        return Err(Refused::OtherSpec { given, orphan: format!("{name} ({kind})") });
    }
    if ledger.local.iter().any(|local| local.spec.name == *name) {
        return Err(Refused::NameTaken(name.to_string()));
    }
    if ledger.local.len() >= MAX_WORKLOADS {
        return Err(Refused::Senseless(format!("over {MAX_WORKLOADS} workloads")));
    }
    ledger.local.push(Assigned { uid: *uid, spec, secret_versions });
    ledger.local.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
    leaving::forget(ledger, &[*uid]);
    Ok(())
}

/// Has an orphan stopped and removed with its data.
///
/// # Errors
/// It is wanted.
pub fn purge(ledger: &mut Ledger, orphan: &Orphan) -> Result<(), Refused> {
    must_be_orphan(ledger, orphan)?;
    let known = ledger.forgotten.iter().find(|one| one.uid == orphan.uid);
    let leaving =
        known.map_or_else(|| leaving::of_unknown(orphan.kind), |known| leaving::of(&known.spec));
    ledger.forgotten.retain(|one| one.uid != orphan.uid);
    ledger.leaving.insert(orphan.uid, leaving);
    Ok(())
}

/// An instance that nobody wants and nobody knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The workload that it was made for.
    pub uid: WorkloadUid,
    /// That workload's name.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
}

fn must_be_orphan(ledger: &Ledger, orphan: &Orphan) -> Result<(), Refused> {
    match find(ledger, &orphan.uid.to_string()) {
        Err(Refused::NotThere(_)) => Ok(()),
        _ => Err(Refused::NoOrphan(orphan.name.to_string())),
    }
}

/// Forgets what was wanted here under another identity, but for what must be known to adopt it.
/// Nothing of it is stopped or removed.
pub fn begin_anew(ledger: &mut Ledger) {
    let assigned = ledger.assigned.take().into_iter().flat_map(|known| known.set.workloads);
    let before: Vec<Assigned> = assigned.chain(std::mem::take(&mut ledger.local)).collect();
    for one in before {
        ledger.forgotten.retain(|known| known.uid != one.uid);
        ledger.forgotten.push(one);
    }
    ledger.held.clear();
    ledger.leaving.clear();
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
        HostSet { workloads: numbers.iter().map(workload).collect(), os: None }
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
    fn a_set_that_was_sealed_by_a_lost_key_is_taken_once_more() {
        let guest = |fields: &str| {
            let text = format!(
                r#"{{"workloads":[{{"uid":"00000000-0000-0000-0000-000000000001","spec":{{
                    "name":"guest","kind":"vm","vm":{{"disk":{{"url":"http://x/y","sha256":"0",
                    "format":"raw"}},{fields}}}}}}}]}}"#
            );
            serde_json::from_str::<HostSet>(&text).unwrap()
        };
        let [sealed, clear] =
            [r#""user_data":"AAAA","user_data_secret":"sealed""#, r#""user_data":"hello""#]
                .map(guest);
        let lineage = Lineage(Uuid::from_u128(1));
        let offer =
            |ledger: &mut Ledger, set: &HostSet| take_set(ledger, lineage, 3, "h", set.clone());
        let mut ledger = Ledger::default();
        assert_eq!(offer(&mut ledger, &sealed), Ok(true));
        assert!(wants_set_again(&ledger));
        // Somebody who has lost the key as well tells nothing new.
        assert_eq!(offer(&mut ledger, &sealed), Ok(false));
        assert_eq!(offer(&mut ledger, &clear), Ok(true));
        assert_eq!(offer(&mut ledger, &HostSet::default()), Ok(false));
        assert!(!wants_set_again(&ledger) && ledger.assigned.unwrap().set == clear);
    }

    #[test]
    fn a_set_that_makes_no_sense_is_refused_and_changes_nothing() {
        let mut ledger = Ledger::default();
        assert!(matches!(take(&mut ledger, 1, &[1, 1]), Err(Refused::Senseless(_))));
        assert_eq!(ledger, Ledger::default());
    }

    #[test]
    fn a_set_that_names_a_local_workload_is_refused() {
        let mut ledger = Ledger::default();
        apply_local(&mut ledger, spec("own"), uid(9)).unwrap();
        let before = ledger.clone();
        let refused = take(&mut ledger, 1, &[1, 9]);
        assert_eq!(refused, Err(Refused::IsLocal { uid: uid(9), name: "own".to_owned() }));
        assert_eq!(ledger, before);
        assert_eq!(take(&mut ledger, 1, &[1]), Ok(true));
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

    fn with_grace(name: &str, grace_s: u32) -> WorkloadSpec {
        let mut spec = spec(name);
        spec.container.as_mut().unwrap().stop_grace_s = Some(grace_s);
        spec
    }

    #[test]
    fn what_goes_leaves_its_grace_in_the_ledger() {
        let mut ledger = Ledger::default();
        apply_local(&mut ledger, with_grace("own", 77), uid(9)).unwrap();
        delete_local(&mut ledger, "own").unwrap();
        take(&mut ledger, 1, &[1, 2]).unwrap();
        take(&mut ledger, 2, &[1]).unwrap();
        let kept: Vec<_> =
            ledger.leaving.iter().map(|(uid, leaving)| (*uid, leaving.stop_grace_s)).collect();
        assert_eq!(kept, [(uid(2), 10), (uid(9), 77)]);
    }

    fn orphan(name: &str, number: u128) -> Orphan {
        Orphan { uid: uid(number), name: name.parse().unwrap(), kind: Kind::Container }
    }

    #[test]
    fn an_orphan_is_adopted_with_the_spec_that_is_known_or_given() {
        let mut ledger = Ledger::default();
        apply_local(&mut ledger, with_grace("own", 77), uid(9)).unwrap();
        take(&mut ledger, 1, &[1]).unwrap();
        begin_anew(&mut ledger);
        assert!(wanted(&ledger, Some(HostId(Uuid::nil()))).is_empty());
        adopt(&mut ledger, &orphan("own", 9), None).unwrap();
        assert_eq!(ledger.local[0].spec, with_grace("own", 77));
        let stranger = orphan("stranger", 5);
        let unknown = Err(Refused::SpecUnknown("stranger".to_owned()));
        assert_eq!(adopt(&mut ledger, &stranger, None), unknown);
        let other = adopt(&mut ledger, &stranger, Some(spec("other")));
        assert!(matches!(other, Err(Refused::OtherSpec { .. })), "{other:?}");
        adopt(&mut ledger, &stranger, Some(spec("stranger"))).unwrap();
        let again = adopt(&mut ledger, &stranger, None);
        assert_eq!(again, Err(Refused::NoOrphan("stranger".to_owned())));
        let taken = adopt(&mut ledger, &orphan("own", 6), Some(spec("own")));
        assert_eq!(taken, Err(Refused::NameTaken("own".to_owned())));
        assert_eq!(ledger.forgotten.len(), 1);
    }

    #[test]
    fn an_orphan_is_purged_and_what_is_wanted_is_not() {
        let mut ledger = Ledger::default();
        apply_local(&mut ledger, with_grace("own", 77), uid(9)).unwrap();
        let refused = purge(&mut ledger, &orphan("own", 9));
        assert_eq!(refused, Err(Refused::NoOrphan("own".to_owned())));
        begin_anew(&mut ledger);
        purge(&mut ledger, &orphan("own", 9)).unwrap();
        purge(&mut ledger, &orphan("stranger", 5)).unwrap();
        let graces = ledger.leaving.values().map(|leaving| leaving.stop_grace_s);
        assert_eq!(graces.collect::<Vec<_>>(), [10, 77]);
        assert!(ledger.forgotten.is_empty());
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
