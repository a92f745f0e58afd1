//! What the host has to give to workloads, and what they set aside of it.

use basalt_api::capacity::Taken;
use basalt_api::report::{WorkloadState, WorkloadStatus};
use basalt_api::workload::Cpus;
use hostd_core::wanted::Wanted;

/// What the host keeps for itself: the system with podman's and libvirt's services, measured idle
/// at under 300 MiB, and room for page tables and buffers.
const OWN_MIB: u64 = 512;

/// Memory for workloads, in MiB.
#[must_use]
pub fn for_workloads_mib() -> u64 {
    all_mib().saturating_sub(OWN_MIB)
}

fn all_mib() -> u64 {
    let info = rustix::system::sysinfo();
    // Both are `unsigned long`, and the product does not pass what a machine can have.
    ((u128::from(info.totalram) * u128::from(info.mem_unit)) >> 20).try_into().unwrap_or(u64::MAX)
}

/// What those that run, or are about to, set aside.
pub(super) fn taken(wanted: &[Wanted], statuses: &[WorkloadStatus]) -> Taken {
    let holds = |wanted: &&Wanted| {
        let status = statuses.iter().find(|status| status.uid == wanted.uid());
        status.is_some_and(|status| {
            matches!(
                status.state,
                WorkloadState::Preparing
                    | WorkloadState::Starting
                    | WorkloadState::Running
                    | WorkloadState::Backoff
                    | WorkloadState::Stopping
            )
        })
    };
    let mut taken = Taken::default();
    for wanted in wanted.iter().filter(holds) {
        let resources = &wanted.assigned.spec.resources;
        let milli = resources.cpus.map_or(0, Cpus::milli);
        taken.cpus = Cpus::from_milli(taken.cpus.milli().saturating_add(milli));
        taken.memory_mib += resources.memory_mib.unwrap_or(0);
    }
    taken
}
