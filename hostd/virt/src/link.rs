//! The connection to libvirt: opened when it is needed, again when it broke.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use basalt_api::id::WorkloadUid;
use basalt_api::virt::{Accel, Refusal};
use virt::connect::Connect;
use virt::domain::Domain;
use virt::enumutil::Enum;
use virt::error::{Error, ErrorNumber};
use virt::sys;

use crate::domain::Hypervisor;
use crate::mark::{Mark, NAMESPACE};
use crate::raw::{self, Callbacks, Event};

/// A server that does not answer for so many seconds is gone.
const KEEPALIVE: (i32, u32) = (5, 3);
/// Characters of libvirt's that a person reads.
const MAX_SAID: usize = 500;

/// The connection, or the lack of it.
pub(crate) struct Link {
    uri: String,
    accel: Accel,
    open: Mutex<Option<Arc<Open>>>,
    events: Sender<Event>,
}

/// An open connection.
pub(crate) struct Open {
    pub(crate) connect: Connect,
    pub(crate) hypervisor: Hypervisor,
    callbacks: Callbacks,
    /// Whose the domains are, as far as it was asked; none for those of others.
    marks: Mutex<HashMap<WorkloadUid, Option<Mark>>>,
}

impl Link {
    pub(crate) fn new(uri: String, accel: Accel, events: Sender<Event>) -> Self {
        Self { uri, accel, open: Mutex::new(None), events }
    }

    /// The connection, opened anew where it broke.
    pub(crate) fn open(&self) -> Result<Arc<Open>, Refusal> {
        let mut open = lock(&self.open);
        if let Some(open) = open.as_ref().filter(|open| open.is_alive()) {
            return Ok(Arc::clone(open));
        }
        *open = None;
        let new = self.connect().inspect_err(|_| {
            let _ = self.events.send(Event::Refused);
        })?;
        Ok(Arc::clone(open.insert(Arc::new(new))))
    }

    fn connect(&self) -> Result<Open, Refusal> {
        let refused = |error: &Error| {
            Refusal::unavailable(format!(
                "libvirt at `{}` does not answer: {}",
                self.uri,
                said(error)
            ))
        };
        let connect = Connect::open(Some(&self.uri)).map_err(|error| refused(&error))?;
        // Drivers inside this process have nobody to keep alive, and say that they cannot.
        let _ = connect.set_keep_alive(KEEPALIVE.0, KEEPALIVE.1);
        let driver = connect.driver_type().map_err(|error| refused(&error))?;
        let hypervisor = Hypervisor::of(&driver, self.accel);
        // Before anything is looked at, so that nothing happens unseen after it.
        let callbacks = raw::subscribe(&connect, &self.events).map_err(|error| refused(&error))?;
        tracing::info!(uri = self.uri, driver, ?hypervisor, "connected");
        Ok(Open { connect, hypervisor, callbacks, marks: Mutex::default() })
    }

    /// Something happened to this domain: what it is must be asked again.
    pub(crate) fn forget(&self, uid: WorkloadUid) {
        if let Some(open) = lock(&self.open).as_ref() {
            lock(&open.marks).remove(&uid);
        }
    }
}

impl Open {
    fn is_alive(&self) -> bool {
        self.connect.is_alive().unwrap_or(false)
    }

    /// A domain that is ours, by its workload. One of another's with that id is none.
    pub(crate) fn find(&self, uid: WorkloadUid) -> Result<Option<(Domain, Mark)>, Refusal> {
        let domain = match self.connect.lookup_domain_by_uuid(uid.0) {
            Ok(domain) => domain,
            Err(error) if is(&error, ErrorNumber::NoDomain) => return Ok(None),
            Err(error) => return Err(self.failed("cannot look for a domain", &error)),
        };
        Ok(self.mark(&domain, uid)?.map(|mark| (domain, mark)))
    }

    /// What a domain was made for; none where it is not ours or has gone.
    pub(crate) fn mark(&self, domain: &Domain, uid: WorkloadUid) -> Result<Option<Mark>, Refusal> {
        if let Some(mark) = lock(&self.marks).get(&uid) {
            return Ok(mark.clone());
        }
        let element = sys::VIR_DOMAIN_METADATA_ELEMENT.cast_signed();
        let mark = match domain.metadata(element, Some(NAMESPACE), 0) {
            // Somebody may have copied our XML under another id.
            Ok(xml) => Mark::parse(&xml).filter(|mark| mark.uid == uid),
            Err(error) if is(&error, ErrorNumber::NoDomainMetadata) => None,
            Err(error) if is(&error, ErrorNumber::NoDomain) => return Ok(None),
            Err(error) => return Err(self.failed("cannot read a domain's metadata", &error)),
        };
        lock(&self.marks).insert(uid, mark.clone());
        Ok(mark)
    }

    /// Why a call failed: libvirt is gone, or it does not like this machine.
    pub(crate) fn failed(&self, doing: &str, error: &Error) -> Refusal {
        let message = format!("{doing}: {}", said(error));
        if self.is_alive() { Refusal::workload(message) } else { Refusal::unavailable(message) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        raw::unsubscribe(&self.connect, &self.callbacks);
    }
}

/// Whether an error is of this kind.
pub(crate) fn is(error: &Error, number: ErrorNumber) -> bool {
    matches!(error.code(), Enum::Known(known) if known == number)
}

/// What libvirt said, in one line.
fn said(error: &Error) -> String {
    let line = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(MAX_SAID).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
