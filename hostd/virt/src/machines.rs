//! What is done to machines, one call after the other.

mod make;
mod seen;
mod stop;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use basalt_api::id::WorkloadUid;
use basalt_api::virt::{Disk, Refusal, RefusalKind, Settings};
use virt::domain::Domain;
use virt::error::ErrorNumber;
use virt::sys;

use crate::clock;
use crate::domain::Hypervisor;
use crate::image;
use crate::link::{Link, Open, is};
use crate::mark::Mark;
use crate::record::{Now, Power, Record};
use crate::store::Store;

pub(crate) use stop::Stop;

/// How long a start that somebody else began may go on, and how often that is looked at.
const START_DEADLINE: Duration = Duration::from_secs(30);
const START_TICK: Duration = Duration::from_millis(50);
/// Everything that must go with a domain, beside the firmware's variables.
const UNDEFINE: sys::virDomainUndefineFlagsValues = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA;

/// The machines of this host.
pub(crate) struct Machines {
    pub(crate) settings: Settings,
    pub(crate) link: Arc<Link>,
    pub(crate) store: Store,
    /// The host's boot.
    pub(crate) boot: String,
}

impl Machines {
    fn now(&self) -> Now<'_> {
        Now { at: clock::now(), boot: &self.boot }
    }

    /// Starts one that does not run, and lets one go on that stands still.
    pub(crate) fn start(&self, uid: WorkloadUid) -> Result<(), Refusal> {
        let open = self.link.open()?;
        let (domain, mark) = open.find(uid)?.ok_or_else(not_there)?;
        let is_active = domain.is_active();
        if is_active.map_err(|error| open.failed("cannot tell whether it runs", &error))? {
            return self.resume(&open, &domain, &mark);
        }
        // Noted before: a cut between the two is then an end, and the machine is started again.
        let before = self.store.record(uid);
        self.note(uid, &Record::started(self.now()))?;
        let Err(error) = domain.create() else { return Ok(()) };
        self.note(uid, &before)?;
        Err(open.failed(&format!("cannot start `{}`", mark.name), &error))
    }

    fn resume(&self, open: &Open, domain: &Domain, mark: &Mark) -> Result<(), Refusal> {
        let Some(Power::Paused(_)) = once_started(open, domain)? else { return Ok(()) };
        // Noted before: a pause that follows is another one.
        self.note(mark.uid, &self.store.record(mark.uid).resumed())?;
        let doing = format!("cannot let `{}` go on", mark.name);
        domain.resume().map_err(|error| open.failed(&doing, &error))
    }

    /// Removes one that does not run, and its disk where that goes too.
    pub(crate) fn remove(&self, uid: WorkloadUid, disk: Disk) -> Result<(), Refusal> {
        self.undefine(&*self.link.open()?, uid, disk)?;
        let removed = match disk {
            Disk::Keep => self.store.remove_seed(uid),
            Disk::Delete => self.store.remove(uid).and_then(|()| image::sweep(&self.store)),
        };
        removed.map_err(|error| Refusal::workload(format!("cannot remove its files: {error}")))
    }

    fn undefine(&self, open: &Open, uid: WorkloadUid, disk: Disk) -> Result<(), Refusal> {
        let Some((domain, mark)) = open.find(uid)? else { return Ok(()) };
        let failed = |error| open.failed(&format!("cannot remove `{}`", mark.name), &error);
        if domain.is_active().map_err(failed)? {
            let message = format!("`{}` runs, and only what does not is removed", mark.name);
            return Err(Refusal::workload(message));
        }
        let flags = match (open.hypervisor, disk) {
            // It has neither snapshots of others nor a firmware.
            (Hypervisor::Test, _) => sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE,
            (_, Disk::Keep) => UNDEFINE | sys::VIR_DOMAIN_UNDEFINE_KEEP_NVRAM,
            (_, Disk::Delete) => UNDEFINE | sys::VIR_DOMAIN_UNDEFINE_NVRAM,
        };
        let undefined = domain.undefine_flags(flags);
        self.link.forget(uid);
        match undefined {
            Err(error) if !is(&error, ErrorNumber::NoDomain) => Err(failed(error)),
            _ => Ok(()),
        }
    }

    fn note(&self, uid: WorkloadUid, record: &Record) -> Result<(), Refusal> {
        self.store.set_record(uid, record).map_err(|error| cannot_write(&error))
    }
}

/// Waits for the end of a start that is going on, as of a `hostd-virt` that was killed in it.
fn once_started(open: &Open, domain: &Domain) -> Result<Option<Power>, Refusal> {
    let begun = Instant::now();
    loop {
        let power = seen::power(open, domain)?;
        if power != Some(Power::Starting) {
            return Ok(power);
        }
        if begun.elapsed() > START_DEADLINE {
            return Err(Refusal::workload("libvirt does not get on with starting it".to_owned()));
        }
        std::thread::sleep(START_TICK);
    }
}

fn not_there() -> Refusal {
    Refusal { kind: RefusalKind::NotThere, message: "there is no such machine".to_owned() }
}

fn cannot_write(error: &io::Error) -> Refusal {
    Refusal::workload(format!("cannot write its files: {error}"))
}
