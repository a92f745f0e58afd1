//! Which disks are never written, whoever asks. Pure.

use crate::look::{DiskFacts, Use};

/// Where the running system lies.
const SYSTEM: [&str; 7] = ["/", "/usr", "/boot", "/efi", "/boot/efi", "/var", "/sysroot"];

/// Why a disk is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is a part of a disk.
    #[error("`{name}` is a partition\nhint: write to the disk, `{disk}`")]
    Partition {
        /// Its name.
        name: String,
        /// The disk's.
        disk: String,
    },
    /// The running system lies on it.
    #[error("`{name}` holds the running system (`{at}`), and is never overwritten")]
    System {
        /// Its name.
        name: String,
        /// What of the system.
        at: String,
    },
    /// Somebody uses it.
    #[error("`{name}` is in use: {how}\nhint: {hint}")]
    InUse {
        /// The disk or the partition of it.
        name: String,
        /// By whom.
        how: String,
        /// What to do.
        hint: String,
    },
    /// It is write-protected.
    #[error("`{0}` is write-protected")]
    ReadOnly(String),
}

/// Why this disk must not be written; `None` when nothing is known against it.
#[must_use]
pub fn refuse(disk: &DiskFacts) -> Option<Refusal> {
    let name = || disk.name.clone();
    if let Some(whole) = &disk.partition_of {
        return Some(Refusal::Partition { name: name(), disk: format!("/dev/{whole}") });
    }
    let system = disk.uses.iter().find_map(|used| match used {
        Use::Mounted { at, .. } if SYSTEM.contains(&at.as_str()) => Some(at.clone()),
        _ => None,
    });
    if let Some(at) = system {
        return Some(Refusal::System { name: name(), at });
    }
    if let Some(used) = disk.uses.first() {
        return Some(in_use(used));
    }
    disk.read_only.then(|| Refusal::ReadOnly(name()))
}

fn in_use(used: &Use) -> Refusal {
    let (name, how, hint) = match used {
        Use::Mounted { name, at } => {
            (name, format!("it is mounted at `{at}`"), format!("`umount {at}`"))
        }
        Use::Swap { name } => {
            (name, "it is swapped to".to_owned(), format!("`swapoff /dev/{name}`"))
        }
        Use::Holds { name, by } => {
            let hint = format!("take `{by}` down first (LVM, RAID or encryption)");
            (name, format!("`{by}` is made of it"), hint)
        }
    };
    Refusal::InUse { name: name.clone(), how, hint }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Number;
    use crate::look::tests::{INTERNAL, Machine, STICK};

    /// What is said of a disk of a machine that was changed so; empty when it may be written.
    fn said(change: impl Fn(&Machine), number: Number) -> String {
        let machine = Machine::new();
        change(&machine);
        refuse(&machine.disk(number)).map(|refusal| refusal.to_string()).unwrap_or_default()
    }

    #[test]
    fn whatever_is_in_use_is_refused_with_what_to_do() {
        let check = |change: &dyn Fn(&Machine), expected: &str| {
            let said = said(change, STICK);
            assert!(said.contains(expected), "{said}");
        };
        assert_eq!(said(|_| (), STICK), "");
        check(&|it| it.mount("8:17", "/mnt", "/dev/sdb1"), "hint: `umount /mnt`");
        check(&|it| it.put("proc/swaps", "Filename\n/dev/sdb partition\n"), "swapped to");
        check(&|it| it.hold("sdb2"), "`dm-0` is made of it");
        check(&|it| it.protect(), "write-protected");
    }

    #[test]
    fn the_disk_of_the_running_system_is_never_written() {
        for at in ["/", "/boot/efi", "/var"] {
            let said = said(|it| it.mount("259:1", at, "/dev/nvme0n1p1"), INTERNAL);
            assert!(said.contains("holds the running system"), "{said}");
        }
    }

    #[test]
    fn a_partition_is_no_disk() {
        let said = said(|_| (), (8, 17));
        assert!(said.contains("write to the disk, `/dev/sdb`"), "{said}");
    }
}
