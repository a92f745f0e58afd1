//! What is left on a host while workloads are given out.

use basalt_api::set::{MAX_SET_BYTES, MAX_WORKLOADS};

use super::Host;
use crate::needs::{HostPort, Needs};

/// A host and what is taken of it so far.
#[derive(Debug)]
pub(super) struct Room<'a> {
    pub(super) host: &'a Host,
    milli_cpus: u64,
    memory_mib: u64,
    ports: Vec<HostPort>,
    workloads: usize,
    /// Of the host's set.
    bytes: usize,
}

impl<'a> Room<'a> {
    pub(super) fn of(host: &'a Host) -> Self {
        Self {
            host,
            milli_cpus: host.local.cpus.milli().into(),
            memory_mib: host.local.memory_mib,
            ports: Vec::new(),
            workloads: 0,
            bytes: 0,
        }
    }

    pub(super) fn take(&mut self, needs: &Needs) {
        self.milli_cpus += needs.milli_cpus;
        self.memory_mib += needs.memory_mib;
        self.ports.extend(&needs.ports);
        self.workloads += 1;
        self.bytes += needs.bytes;
    }

    /// What the host does not have at all, however empty it is.
    pub(super) fn lacks(&self, needs: &Needs) -> Option<String> {
        let has = |feature: &str| self.host.features.iter().any(|has| has == feature);
        if let Some(feature) = needs.features.iter().find(|feature| !has(feature)) {
            return Some(format!("its release has no feature `{feature}`"));
        }
        let devices = self.host.capacity.as_ref().map_or(&[][..], |capacity| &capacity.devices);
        let missing = needs.devices.iter().find(|device| !devices.contains(device));
        missing.map(|device| format!("it has no device `{device}`"))
    }

    /// Whether there is room; else what is short. A host that has not said what it has keeps what
    /// is there.
    pub(super) fn fits(&self, needs: &Needs) -> Result<(), String> {
        let clashes = |port: &&HostPort| self.ports.iter().any(|taken| taken.clashes(port));
        if let Some(port) = needs.ports.iter().find(clashes) {
            return Err(format!("port {port} is taken"));
        }
        if self.workloads >= MAX_WORKLOADS {
            return Err(format!("it has {MAX_WORKLOADS} workloads, and no host takes more"));
        }
        if self.bytes + needs.bytes > MAX_SET_BYTES {
            return Err(format!(
                "all its workloads' specs together would pass {MAX_SET_BYTES} bytes"
            ));
        }
        let Some((cpus, memory)) = self.capacity() else { return Ok(()) };
        let free = memory.saturating_sub(self.memory_mib);
        if needs.memory_mib > free {
            return Err(format!("{free} MiB of memory are free, {} wanted", needs.memory_mib));
        }
        let free = cpus.saturating_sub(self.milli_cpus);
        if needs.milli_cpus > free {
            let (free, wanted) = (thousandths(free), thousandths(needs.milli_cpus));
            return Err(format!("{free} processors are free, {wanted} wanted"));
        }
        Ok(())
    }

    /// How full it would be, in thousandths of what is scarcest; then how many it runs.
    pub(super) fn rank(&self, needs: &Needs) -> (u64, usize, &'a str) {
        let (cpus, memory) = self.capacity().unwrap_or_default();
        let part = |taken: u64, of: u64| taken.saturating_mul(1000) / of.max(1);
        let full = part(self.milli_cpus + needs.milli_cpus, cpus)
            .max(part(self.memory_mib + needs.memory_mib, memory));
        (full, self.workloads, self.host.name.as_str())
    }

    fn capacity(&self) -> Option<(u64, u64)> {
        let capacity = self.host.capacity.as_ref()?;
        Some((capacity.cpus.milli().into(), capacity.memory_mib))
    }
}

fn thousandths(milli: u64) -> String {
    let text = format!("{}.{:03}", milli / 1000, milli % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
