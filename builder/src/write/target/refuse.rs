//! Which disks are never written. Pure.

use std::path::Path;

use basalt_disk::DiskFacts;

use super::Asked;

/// Why a disk is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody may write it now.
    #[error(transparent)]
    Never(#[from] basalt_disk::Refusal),
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
    if let Some(refusal) = basalt_disk::refuse(disk) {
        return Some(Refusal::Never(refusal));
    }
    let shown = |path: &Path| path.display().to_string();
    match &asked.fixed {
        Some(fixed) if *fixed != asked.to || !fixed.is_absolute() => {
            Some(Refusal::TwoNames { fixed: shown(fixed), to: shown(&asked.to) })
        }
        None if !disk.is_loose() => Some(Refusal::Fixed {
            name: disk.name.clone(),
            bus: disk.bus.name(),
            to: shown(&asked.to),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use basalt_disk::Bus;

    use super::*;

    /// What is said of a disk that nobody uses; empty when it may be written.
    fn said(name: &str, bus: Bus, to: &str, fixed: Option<&str>) -> String {
        let disk = DiskFacts {
            name: name.to_owned(),
            partition_of: None,
            size: 0,
            model: None,
            serial: None,
            bus,
            removable: false,
            read_only: false,
            parts: Vec::new(),
            uses: Vec::new(),
            folder: "/sys/x".into(),
        };
        let asked = Asked { to: to.into(), fixed: fixed.map(Into::into) };
        let refusal = refuse(&disk, &asked);
        refusal.map(|refusal| refusal.to_string()).unwrap_or_default()
    }

    #[test]
    fn a_stick_that_nobody_uses_may_be_written() {
        assert_eq!(said("sdb", Bus::Usb, "/dev/sdb", None), "");
        assert_eq!(said("sdb", Bus::Usb, "/dev/sdb", Some("/dev/sdb")), "");
    }

    #[test]
    fn a_disk_of_the_machine_must_be_named_twice() {
        let path = "/dev/nvme0n1";
        let said = |to, fixed| said("nvme0n1", Bus::Inside("NVMe"), to, fixed);
        let once = said(path, None);
        assert!(once.contains("neither removable nor on USB"), "{once}");
        assert!(once.contains("`--fixed /dev/nvme0n1`"), "{once}");
        assert_eq!(said(path, Some(path)), "");
        let other = said(path, Some("/dev/sdb"));
        assert!(other.contains("names another path"), "{other}");
        assert!(said("nvme0n1", Some("nvme0n1")).contains("another path"));
    }
}
