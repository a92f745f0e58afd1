//! Which disks are never written. Pure.

use std::path::Path;

use super::Asked;
use super::look::{DiskFacts, Use};

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
    /// It is a disk of the machine itself, and was named once.
    #[error(
        "`{name}` ({bus}) is neither removable nor on USB, and may be a disk of this machine\nhint: \
         if all on it may go, name it once more: `--fixed {to}`"
    )]
    Fixed {
        /// Its name.
        name: String,
        /// What it is attached by.
        bus: &'static str,
        /// As it was typed.
        to: String,
    },
    /// It was named twice, as two disks.
    #[error("`--fixed {fixed}` names another path than `--to {to}`")]
    TwoNames {
        /// The one.
        fixed: String,
        /// The other.
        to: String,
    },
}

/// Why this disk must not be written; `None` when it may.
#[must_use]
pub fn refuse(disk: &DiskFacts, asked: &Asked) -> Option<Refusal> {
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
    if disk.read_only {
        return Some(Refusal::ReadOnly(name()));
    }
    let shown = |path: &Path| path.display().to_string();
    match &asked.fixed {
        Some(fixed) if *fixed != asked.to || !fixed.is_absolute() => {
            Some(Refusal::TwoNames { fixed: shown(fixed), to: shown(&asked.to) })
        }
        None if !disk.is_loose() => {
            Some(Refusal::Fixed { name: name(), bus: disk.bus.name(), to: shown(&asked.to) })
        }
        _ => None,
    }
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
    use super::super::look::tests::{INTERNAL, Machine, STICK};
    use super::*;

    /// What is said of a disk of a machine that was changed so; empty when it may be written.
    fn said(
        change: impl Fn(&Machine),
        number: (u32, u32),
        to: &str,
        fixed: Option<&str>,
    ) -> String {
        let machine = Machine::new();
        change(&machine);
        let asked = Asked { to: to.into(), fixed: fixed.map(Into::into) };
        let refusal = refuse(&machine.disk(number), &asked);
        refusal.map(|refusal| refusal.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_stick_that_nobody_uses_may_be_written() {
        assert_eq!(said(|_| (), STICK, "/dev/sdb", None), "");
        assert_eq!(said(|_| (), STICK, "/dev/sdb", Some("/dev/sdb")), "");
    }

    #[test]
    fn whatever_is_in_use_is_refused_with_what_to_do() {
        let check = |change: &dyn Fn(&Machine), expected: &str| {
            let said = said(change, STICK, "/dev/sdb", None);
            assert!(said.contains(expected), "{said}");
        };
        check(&|it| it.mount("8:17", "/mnt", "/dev/sdb1"), "hint: `umount /mnt`");
        check(&|it| it.put("proc/swaps", "Filename\n/dev/sdb partition\n"), "swapped to");
        check(&|it| it.hold("sdb2"), "`dm-0` is made of it");
        check(&|it| it.protect(), "write-protected");
    }

    #[test]
    fn the_disk_of_the_running_system_is_never_written() {
        for at in ["/", "/boot/efi", "/var"] {
            let mount = |it: &Machine| it.mount("259:1", at, "/dev/nvme0n1p1");
            let path = "/dev/nvme0n1";
            let said = said(mount, INTERNAL, path, Some(path));
            assert!(said.contains("holds the running system"), "{said}");
        }
    }

    #[test]
    fn a_disk_of_the_machine_must_be_named_twice() {
        let path = "/dev/nvme0n1";
        let once = said(|_| (), INTERNAL, path, None);
        assert!(once.contains("neither removable nor on USB"), "{once}");
        assert!(once.contains("`--fixed /dev/nvme0n1`"), "{once}");
        assert_eq!(said(|_| (), INTERNAL, path, Some(path)), "");
        let other = said(|_| (), INTERNAL, path, Some("/dev/sdb"));
        assert!(other.contains("names another path"), "{other}");
        assert!(said(|_| (), INTERNAL, "nvme0n1", Some("nvme0n1")).contains("another path"));
    }

    #[test]
    fn a_partition_is_no_disk() {
        let said = said(|_| (), (8, 17), "/dev/sdb1", None);
        assert!(said.contains("write to the disk, `/dev/sdb`"), "{said}");
    }
}
