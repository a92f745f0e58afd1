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
        update: None,
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

#[cfg(test)]
mod tests {
    use basalt_api::problem::{Code, Problem};
    use basalt_api::status::{Boot, State};

    use super::*;

    fn status() -> HostStatus {
        let text = include_str!("../../../crates/api/examples/status.json");
        serde_json::from_str(text).unwrap()
    }

    fn ground(root: &Path, config: &Config) -> Ground {
        std::fs::create_dir_all(root.join("var/lib/hostd")).unwrap();
        Ground::of(&Paths::under(root), config)
    }

    #[test]
    fn capacity_is_what_the_kernel_has_and_what_is_taken_of_it() {
        let root = tempfile::tempdir().unwrap();
        let ground = ground(root.path(), &Config::default());
        let taken = Taken { cpus: Cpus::whole(2), memory_mib: 512 };
        let capacity = ground.facts(&status(), taken).capacity;
        let number = std::thread::available_parallelism().unwrap().get();
        assert_eq!(capacity.cpus, Cpus::whole(number.try_into().unwrap()));
        let stat = rustix::fs::statvfs(root.path()).unwrap();
        assert_eq!(capacity.disk_mib, stat.f_blocks * stat.f_frsize / (1024 * 1024));
        assert!(capacity.disk_free_mib <= capacity.disk_mib);
        let memory = std::fs::read_to_string("/proc/meminfo").unwrap();
        let kib: u64 = memory.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(capacity.memory_mib > 0 && capacity.memory_mib < kib / 1024, "{capacity:?}");
        assert_eq!(capacity.taken, taken);
    }

    #[test]
    fn free_disk_is_told_in_steps_so_that_not_every_byte_is_news() {
        let root = tempfile::tempdir().unwrap();
        let ground = ground(root.path(), &Config::default());
        let free = ground.facts(&status(), Taken::default()).capacity.disk_free_mib;
        let (_, exact) = disk_mib(root.path());
        assert_eq!(free % STEP_MIB, 0);
        assert!(free.abs_diff(exact) < 2 * STEP_MIB, "{free} of {exact}");
        assert_eq!(disk_mib(Path::new("/nowhere/at/all")), (0, 0));
    }

    #[test]
    fn only_devices_that_the_policy_names_and_the_machine_has_are_told() {
        let root = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.policy.devices = vec!["/dev/null".to_owned(), "/dev/not-there".to_owned()];
        config.labels = BTreeMap::from([("zone".to_owned(), "a".to_owned())]);
        let facts = ground(root.path(), &config).facts(&status(), Taken::default());
        assert_eq!(facts.capacity.devices, ["/dev/null"]);
        assert_eq!(facts.labels, config.labels);
    }

    #[test]
    fn the_release_its_slot_and_what_is_wrong_are_told() {
        let root = tempfile::tempdir().unwrap();
        let problem = Problem {
            code: Code::UnitInactive,
            subject: "nftables.service".to_owned(),
            message: "it is failed".to_owned(),
            hint: None,
            fails_gate: true,
        };
        let status = HostStatus {
            version: "7".to_owned(),
            slot: Some("b".to_owned()),
            commit: Some("22bb".to_owned()),
            boot: Boot::Trial,
            state: State::Degraded,
            problems: vec![problem],
            ..status()
        };
        let os = ground(root.path(), &Config::default()).facts(&status, Taken::default()).os;
        assert_eq!((os.image, os.version.as_str()), (status.image, "7"));
        assert_eq!((os.slot.as_deref(), os.commit.as_deref()), (Some("b"), Some("22bb")));
        assert_eq!((os.boot.as_str(), os.state.as_str()), ("trial", "degraded"));
        assert_eq!(os.problems, ["nftables.service: it is failed"]);
    }
}
