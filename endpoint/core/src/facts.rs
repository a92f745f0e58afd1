//! How much of what a host says that it is, is kept.

use std::collections::BTreeMap;

use basalt_api::capacity::{Capacity, HostFacts, OsFacts};
use basalt_api::validate;

use crate::bounds::cut;

/// Bytes of a word that are kept, as a version.
const MAX_WORD: usize = 128;
/// Problems that are kept, and bytes of each: a person reads them.
const MAX_PROBLEMS: (usize, usize) = (64, 1 << 10);
/// Devices that are kept, and bytes of the path of each.
const MAX_DEVICES: (usize, usize) = (256, 256);
/// Labels that are kept.
const MAX_LABELS: usize = 64;
/// MiB that are believed: an exbibyte, more than any machine has, and few enough to be added up.
const MAX_MIB: u64 = 1 << 40;

/// No more of it than is kept. What it cuts, it cuts no further when it comes again.
#[must_use]
pub fn bounded(facts: &HostFacts) -> HostFacts {
    HostFacts {
        capacity: capacity(&facts.capacity),
        os: os(&facts.os),
        labels: labels(&facts.labels),
    }
}

fn capacity(said: &Capacity) -> Capacity {
    let (count, bytes) = MAX_DEVICES;
    let devices = said.devices.iter().filter(|device| device.len() <= bytes).take(count);
    let mut capacity = Capacity { devices: devices.cloned().collect(), ..said.clone() };
    for mib in [
        &mut capacity.memory_mib,
        &mut capacity.disk_mib,
        &mut capacity.disk_free_mib,
        &mut capacity.taken.memory_mib,
    ] {
        *mib = (*mib).min(MAX_MIB);
    }
    capacity
}

fn os(said: &OsFacts) -> OsFacts {
    let (count, bytes) = MAX_PROBLEMS;
    let mut os = said.clone();
    for word in [&mut os.image, &mut os.version, &mut os.boot, &mut os.state] {
        cut(word, MAX_WORD);
    }
    for word in [&mut os.commit, &mut os.slot].into_iter().flatten() {
        cut(word, MAX_WORD);
    }
    if let Some(update) = &mut os.update {
        cut(&mut update.version, MAX_WORD);
        update.reason.iter_mut().for_each(|reason| cut(reason, bytes));
    }
    os.problems.truncate(count);
    os.problems.iter_mut().for_each(|problem| cut(problem, bytes));
    os
}

/// Those that are labels.
fn labels(said: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let are = said.iter().filter(|(key, value)| validate::is_label(key, value));
    are.take(MAX_LABELS).map(|(key, value)| (key.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use basalt_api::rollout::{OsUpdate, OsUpdateState};

    use super::*;

    #[test]
    fn facts_are_kept_as_far_as_anybody_reads_them() {
        let long = || "ü".repeat(1 << 20);
        let mut facts = HostFacts::default();
        facts.capacity.devices = vec![long(), "/dev/kvm".to_owned()];
        facts.capacity.devices.extend((0..9999).map(|number| format!("/dev/{number:0>250}")));
        facts.capacity.memory_mib = u64::MAX;
        facts.capacity.taken.memory_mib = u64::MAX;
        facts.os = OsFacts {
            image: long(),
            version: long(),
            commit: Some(long()),
            slot: Some(long()),
            boot: long(),
            state: long(),
            problems: vec![long(); 999],
            update: Some(OsUpdate {
                version: long(),
                attempt: u32::MAX,
                state: OsUpdateState::Failed,
                percent: Some(u8::MAX),
                reason: Some(long()),
            }),
        };
        facts.labels = (0..999).map(|number| (format!("a{number}"), "b".repeat(128))).collect();
        facts.labels.insert(long(), String::new());
        facts.labels.insert("A=B".to_owned(), long());
        let kept = bounded(&facts);
        let bytes = serde_json::to_vec(&kept).unwrap().len();
        assert!(bytes < 160 << 10, "{bytes}");
        assert_eq!(kept.capacity.devices[0], "/dev/kvm");
        assert_eq!(kept.capacity.memory_mib, MAX_MIB);
        assert!(validate::are_labels(&kept.labels) && kept.labels.len() == MAX_LABELS);
        assert_eq!(bounded(&kept), kept, "it is taken for news each time");
    }

    #[test]
    fn what_a_host_says_ordinarily_is_kept_whole() {
        let facts: HostFacts = serde_json::from_value(serde_json::json!({
            "capacity": { "cpus": 4, "memory_mib": 4096, "disk_mib": 9000, "disk_free_mib": 1,
                          "devices": ["/dev/kvm"], "taken": { "cpus": 0.5, "memory_mib": 64 } },
            "os": { "image": "base", "version": "2026.1", "commit": "0".repeat(64), "slot": "a",
                    "boot": "blessed", "state": "degraded", "problems": ["the disk is full"] },
            "labels": { "rack": "4" },
        }))
        .unwrap();
        assert_eq!(bounded(&facts), facts);
    }
}
