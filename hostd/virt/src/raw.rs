//! The few calls to libvirt that the `virt` crate has not: callbacks, and addresses that it leaks.
//! All `unsafe` of this program is here.

#![expect(unsafe_code, reason = "libvirt is C, and the crate has no safe way to these calls")]

use std::ffi::{CStr, c_int, c_void};
use std::sync::mpsc::Sender;

use basalt_api::id::WorkloadUid;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::Domain;
use virt::sys;

/// More disks than a machine of ours has.
const MAX_DISKS: u32 = 8;

/// What libvirt tells of by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Something happened to a domain, ours or not.
    Domain(WorkloadUid),
    /// The connection broke.
    Closed,
    /// Nobody answered when a connection was wanted.
    Refused,
}

/// Callbacks of one connection.
#[derive(Debug)]
pub(crate) struct Callbacks {
    lifecycle: c_int,
}

/// Has events of `connect` sent to `events`. The event loop must run.
///
/// # Errors
/// The driver has no such events.
pub(crate) fn subscribe(
    connect: &Connect,
    events: &Sender<Event>,
) -> Result<Callbacks, virt::error::Error> {
    let callback: unsafe extern "C" fn(_, _, _, _, _) -> _ = on_lifecycle;
    // SAFETY: libvirt calls it with the arguments that VIR_DOMAIN_EVENT_ID_LIFECYCLE stands for,
    // which are those of `on_lifecycle`; the generic type is how its C interface has it.
    let callback = unsafe {
        std::mem::transmute::<
            unsafe extern "C" fn(
                sys::virConnectPtr,
                sys::virDomainPtr,
                c_int,
                c_int,
                *mut c_void,
            ) -> c_int,
            unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void),
        >(callback)
    };
    let event = sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE.cast_signed();
    // SAFETY: the connection is open, a null domain stands for all, and libvirt frees the sender
    // by `free_sender` once no callback can come any more.
    let lifecycle = unsafe {
        sys::virConnectDomainEventRegisterAny(
            connect.as_ptr(),
            std::ptr::null_mut(),
            event,
            Some(callback),
            boxed(events),
            Some(free_sender),
        )
    };
    if lifecycle < 0 {
        return Err(virt::error::Error::last_error());
    }
    // SAFETY: as above. A driver without connections that break refuses or ignores it.
    unsafe {
        sys::virConnectRegisterCloseCallback(
            connect.as_ptr(),
            Some(on_close),
            boxed(events),
            Some(free_sender),
        )
    };
    Ok(Callbacks { lifecycle })
}

/// Takes the callbacks back. They hold the connection, which would never be freed otherwise.
pub(crate) fn unsubscribe(connect: &Connect, callbacks: &Callbacks) {
    // SAFETY: both calls may be made on a connection that broke; they fail there after they have
    // taken the callbacks back on this side.
    unsafe {
        sys::virConnectDomainEventDeregisterAny(connect.as_ptr(), callbacks.lifecycle);
        sys::virConnectUnregisterCloseCallback(connect.as_ptr(), Some(on_close));
    }
}

/// The addresses that libvirt's own network gave to a domain; none where it does not know.
pub(crate) fn leased_addresses(domain: &Domain) -> Vec<String> {
    let mut interfaces: *mut sys::virDomainInterfacePtr = std::ptr::null_mut();
    let source = sys::VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE;
    // SAFETY: the domain is open, and `interfaces` is there to be written to.
    let count = unsafe {
        sys::virDomainInterfaceAddresses(domain.as_ptr(), &raw mut interfaces, source, 0)
    };
    let mut found = Vec::new();
    for at in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: libvirt wrote `count` pointers to interfaces, each with `naddrs` addresses, each
        // a C string; every interface is freed once, after it was read.
        unsafe {
            let interface = *interfaces.add(at);
            for at in 0..(*interface).naddrs as usize {
                let address = (*(*interface).addrs.add(at)).addr;
                found.push(CStr::from_ptr(address).to_string_lossy().into_owned());
            }
            sys::virDomainInterfaceFree(interface);
        }
    }
    // SAFETY: the array itself is the caller's, by malloc; null may be freed.
    unsafe { virt_free(interfaces.cast()) };
    found
}

/// Whether a disk of a domain that stands still has no room on the host.
pub(crate) fn is_out_of_space(domain: &Domain) -> bool {
    const NONE: sys::virDomainDiskError =
        sys::virDomainDiskError { disk: std::ptr::null_mut(), error: 0 };
    let mut errors = [NONE; MAX_DISKS as usize];
    // SAFETY: the domain is open, and the array has as many places as is said.
    let count =
        unsafe { sys::virDomainGetDiskErrors(domain.as_ptr(), errors.as_mut_ptr(), MAX_DISKS, 0) };
    let found = &errors[..usize::try_from(count).unwrap_or(0)];
    let no_space = sys::VIR_DOMAIN_DISK_ERROR_NO_SPACE.cast_signed();
    let is_full = found.iter().any(|error| error.error == no_space);
    // SAFETY: the names are the caller's, by malloc; each is freed once.
    found.iter().for_each(|error| unsafe { virt_free(error.disk.cast()) });
    is_full
}

unsafe extern "C" {
    #[link_name = "free"]
    unsafe fn virt_free(pointer: *mut c_void);
}

fn boxed(events: &Sender<Event>) -> *mut c_void {
    Box::into_raw(Box::new(events.clone())).cast()
}

unsafe extern "C" fn free_sender(events: *mut c_void) {
    // SAFETY: it comes from `boxed`, and libvirt frees it once.
    drop(unsafe { Box::from_raw(events.cast::<Sender<Event>>()) });
}

unsafe extern "C" fn on_lifecycle(
    _: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _event: c_int,
    _detail: c_int,
    events: *mut c_void,
) -> c_int {
    let mut uuid = [0; 16];
    // SAFETY: the domain lives during the callback, and a UUID has 16 bytes.
    let result = unsafe { sys::virDomainGetUUID(domain, uuid.as_mut_ptr()) };
    if result == 0 {
        let uid = WorkloadUid(Uuid::from_bytes(uuid));
        // SAFETY: it comes from `boxed` and is freed only when no callback can come.
        let _ = unsafe { &*events.cast::<Sender<Event>>() }.send(Event::Domain(uid));
    }
    0
}

unsafe extern "C" fn on_close(_: sys::virConnectPtr, _reason: c_int, events: *mut c_void) {
    // SAFETY: as in `on_lifecycle`.
    let _ = unsafe { &*events.cast::<Sender<Event>>() }.send(Event::Closed);
}
