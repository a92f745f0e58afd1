//! What this host is and has to give, as the endpoint hears of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use basalt_api::capacity::{Capacity, HostFacts, OsFacts, Taken};
use basalt_api::status::HostStatus;
use basalt_api::workload::Cpus;

use crate::config::Config;
use crate::paths::Paths;
use crate::reconcile::memory_for_workloads_mib;
use crate::show::boot_word;

/// Free disk is told in steps: every byte that a workload writes would be news.
const STEP_MIB: u64 = 1024;

pub(super) struct Ground {
    disk: PathBuf,
    labels: BTreeMap<String, String>,
    devices: Vec<String>,
}

impl Ground {
    pub(super) fn of(paths: &Paths, config: &Config) -> Self {
        Self {
            disk: paths.state(),
            labels: config.labels.clone(),
            devices: config.policy.devices.clone(),
        }
    }

    pub(super) fn facts(&self, status: &HostStatus, taken: Taken) -> HostFacts {
        let (disk_mib, disk_free_mib) = disk_mib(&self.disk);
        let there = self.devices.iter().filter(|device| Path::new(device).exists());
        let capacity = Capacity {
            cpus: cpus(),
            memory_mib: memory_for_workloads_mib(),
            disk_mib,
            disk_free_mib: disk_free_mib / STEP_MIB * STEP_MIB,
            devices: there.cloned().collect(),
            taken,
        };
        HostFacts { capacity, os: os(status), labels: self.labels.clone() }
    }
}

fn os(status: &HostStatus) -> OsFacts {
    OsFacts {
        image: status.image.clone(),
        version: status.version.clone(),
        commit: status.commit.clone(),
        slot: status.slot.clone(),
        boot: boot_word(status.boot).to_owned(),
        state: status.state.to_string(),
        problems: status.problems.iter().map(ToString::to_string).collect(),
    }
}

fn cpus() -> Cpus {
    let number = std::thread::available_parallelism().map_or(1, usize::from);
    Cpus::whole(number.try_into().unwrap_or(u32::MAX))
}

/// All and free MiB of the file system that workloads lie on; zero where it cannot be told.
fn disk_mib(path: &Path) -> (u64, u64) {
    match rustix::fs::statvfs(path) {
        Ok(stat) => {
            let mib = |blocks: u64| blocks.saturating_mul(stat.f_frsize) >> 20;
            (mib(stat.f_blocks), mib(stat.f_bavail))
        }
        Err(_) => (0, 0),
    }
}
