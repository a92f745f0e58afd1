//! What is there, by one list and a state for each of ours.

use std::collections::HashSet;

use basalt_api::id::WorkloadUid;
use basalt_api::virt::{Refusal, Seen, SeenState};
use virt::domain::{
    Domain, DomainPausedReason, DomainShutoffReason, DomainState, DomainStateReason,
};
use virt::enumutil::Enum;
use virt::error::ErrorNumber;

use super::Machines;
use crate::link::{Open, is};
use crate::mark::Mark;
use crate::raw;
use crate::record::{Pause, Power, Why};

impl Machines {
    /// Everything of ours.
    pub(crate) fn observe(&self) -> Result<Vec<Seen>, Refusal> {
        let open = self.link.open()?;
        let domains = open.connect.list_all_domains(0);
        let domains =
            domains.map_err(|error| unknown(&open.failed("cannot list domains", &error)))?;
        let mut all = Vec::new();
        for domain in domains {
            let Ok(uuid) = domain.uuid() else { continue };
            let uid = WorkloadUid(uuid);
            let mark = open.mark(&domain, uid).map_err(|refusal| unknown(&refusal))?;
            if let Some(mark) = mark
                && let Some(power) = power(&open, &domain)?
            {
                all.push(self.seen(&domain, mark, power)?);
            }
        }
        let known: HashSet<WorkloadUid> = all.iter().map(|seen| seen.uid).collect();
        all.extend(self.left_alone(&known)?);
        Ok(all)
    }

    fn seen(&self, domain: &Domain, mark: Mark, power: Power) -> Result<Seen, Refusal> {
        let uid = mark.uid;
        let before = self.store.record(uid);
        let (state, after) = before.clone().see(power, self.now());
        if after != before {
            // It is told all the same, and noted when there is room again.
            if let Err(error) = self.store.set_record(uid, &after) {
                tracing::warn!(%uid, %error, "cannot note when a machine began or ended");
            }
        }
        let runs = !matches!(power, Power::Off(_));
        let lacks = if runs { None } else { self.lacks(domain, uid) };
        let (state, lacks) = without(state, lacks);
        let addresses = if runs { raw::leased_addresses(domain) } else { Vec::new() };
        Ok(Seen { state, addresses, lacks, ..bare(mark) })
    }

    /// What a machine that does not run cannot be started without.
    fn lacks(&self, domain: &Domain, uid: WorkloadUid) -> Option<String> {
        if !self.store.folder(uid).join("disk.qcow2").is_file() {
            return Some("its disk is gone".to_owned());
        }
        let seed = self.store.seed(uid);
        if seed.is_file() {
            return None;
        }
        // Seeds lie on tmpfs, for they may hold secrets: a reboot takes them.
        let names_it = domain.xml_desc(0).is_ok_and(|xml| xml.contains(&*seed.to_string_lossy()));
        names_it.then(|| "its user-data went with the last boot".to_owned())
    }

    /// Files of machines that libvirt knows nothing of: cut while they were made, or forgotten.
    fn left_alone(&self, known: &HashSet<WorkloadUid>) -> Result<Vec<Seen>, Refusal> {
        let marks = self.store.marks();
        let marks = marks.map_err(|error| {
            Refusal::unavailable(format!("cannot look for files of machines: {error}"))
        })?;
        let reason = "libvirt does not know it, and its files are there";
        let state = SeenState::Broken { reason: reason.to_owned() };
        let alone = marks.into_iter().filter(|mark| !known.contains(&mark.uid));
        Ok(alone.map(|mark| Seen { state: state.clone(), ..bare(mark) }).collect())
    }
}

/// How one is that lacks something. One that has ended stays so: it may have finished, and then
/// needs nothing any more.
fn without(state: SeenState, lacks: Option<String>) -> (SeenState, Option<String>) {
    match (state, lacks) {
        (state @ SeenState::Ended { .. }, lacks) => (state, lacks),
        (_, Some(reason)) => (SeenState::Broken { reason }, None),
        (state, None) => (state, None),
    }
}

fn bare(mark: Mark) -> Seen {
    let Mark { uid, name, owner, hash } = mark;
    Seen { uid, name, owner, hash, state: SeenState::Made, addresses: Vec::new(), lacks: None }
}

/// One that cannot be looked at is no reason to take the others for gone: nothing is known then.
fn unknown(refusal: &Refusal) -> Refusal {
    Refusal::unavailable(refusal.message.clone())
}

/// Whether a domain has power, and goes on; none where it went away meanwhile.
pub(super) fn power(open: &Open, domain: &Domain) -> Result<Option<Power>, Refusal> {
    let failed = |error| Err(unknown(&open.failed("cannot look at a domain", &error)));
    let (state, reason) = match domain.state() {
        Ok(both) => both,
        Err(error) if is(&error, ErrorNumber::NoDomain) => return Ok(None),
        Err(error) => return failed(error),
    };
    match (state, reason) {
        (Enum::Known(DomainState::Shutoff), Enum::Known(DomainStateReason::Shutoff(why))) => {
            Ok(Some(Power::Off(why_off(why.known()))))
        }
        (Enum::Known(DomainState::Crashed), _) => Ok(Some(Power::Off(Why::Crashed))),
        (Enum::Known(DomainState::Paused), Enum::Known(DomainStateReason::Paused(why))) => {
            let paused = |why| paused(why, || raw::is_out_of_space(domain));
            Ok(Some(why.known().map_or(Power::On, paused)))
        }
        (Enum::Known(_), _) => Ok(Some(Power::On)),
        // The crate does not look at the call's result, and what stays then is no state.
        (Enum::Unknown(_), _) => match domain.is_active() {
            Ok(true) => Ok(Some(Power::On)),
            Ok(false) => Ok(Some(Power::Off(Why::Unknown))),
            Err(error) if is(&error, ErrorNumber::NoDomain) => Ok(None),
            Err(error) => failed(error),
        },
    }
}

/// What it means that a guest stands still. libvirt itself lets one go on, as after a snapshot.
fn paused(why: DomainPausedReason, is_out_of_space: impl FnOnce() -> bool) -> Power {
    Power::Paused(match why {
        DomainPausedReason::StartingUp => return Power::Starting,
        DomainPausedReason::IOError if is_out_of_space() => Pause::DiskFull,
        DomainPausedReason::IOError => Pause::DiskError,
        DomainPausedReason::Watchdog => Pause::Watchdog,
        DomainPausedReason::Crashed => Pause::Panicked,
        DomainPausedReason::Migration
        | DomainPausedReason::Save
        | DomainPausedReason::Dump
        | DomainPausedReason::ShuttingDown
        | DomainPausedReason::Snapshot
        | DomainPausedReason::PostCopy => return Power::On,
        DomainPausedReason::Unknown
        | DomainPausedReason::User
        | DomainPausedReason::FromSnapshot
        | DomainPausedReason::PostCopyFailed
        | DomainPausedReason::APIError => Pause::Somebody,
    })
}

fn why_off(why: Option<DomainShutoffReason>) -> Why {
    match why {
        Some(DomainShutoffReason::Shutdown) => Why::Shutdown,
        Some(DomainShutoffReason::Destroyed) => Why::SwitchedOff,
        Some(DomainShutoffReason::Crashed) => Why::Crashed,
        Some(DomainShutoffReason::Failed) => Why::Failed,
        Some(DomainShutoffReason::Saved) => Why::Saved,
        _ => Why::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_ended_stays_so_although_a_part_of_it_is_gone() {
        let ended = SeenState::Ended { code: Some(0), at: 7, note: None };
        let gone = Some("its disk is gone".to_owned());
        assert_eq!(without(ended.clone(), gone.clone()), (ended, gone.clone()));
        let reason = "its disk is gone".to_owned();
        assert_eq!(without(SeenState::Made, gone), (SeenState::Broken { reason }, None));
    }

    #[test]
    fn what_libvirt_pauses_for_a_moment_goes_on_and_what_stands_still_says_why() {
        let paused = |why, is_full| paused(why, || is_full);
        assert_eq!(paused(DomainPausedReason::Snapshot, false), Power::On);
        assert_eq!(paused(DomainPausedReason::StartingUp, false), Power::Starting);
        let expected = [Pause::DiskFull, Pause::DiskError].map(Power::Paused);
        assert_eq!([true, false].map(|full| paused(DomainPausedReason::IOError, full)), expected);
        assert_eq!(paused(DomainPausedReason::User, false), Power::Paused(Pause::Somebody));
        assert!(Pause::DiskFull.may_resume() && Pause::Somebody.may_resume());
        assert!(!Pause::Watchdog.may_resume() && !Pause::Panicked.may_resume());
    }
}
