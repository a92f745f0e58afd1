//! Where a live system's `/var` is, and its `fstab`.

use anyhow::{Result, bail};
use basalt_live::Mode;

use crate::udev;

/// The name of a partition that a live host keeps its `/var` on.
pub const VAR_LABEL: &str = "basalt-var";

/// Where `/var` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Var {
    /// In memory, of so many bytes at most.
    Memory(u64),
    /// On the one partition of that name.
    Partition,
}

/// Where it is on a system that was booted for `mode`, on a machine with these partitions of that
/// name. An installer touches no disk but the one that it was told. Pure.
///
/// # Errors
/// There are several, and nobody can know which.
pub fn choose(mode: Mode, partitions: &[String], memory: u64) -> Result<Var> {
    match (mode, partitions) {
        (Mode::Install, _) | (Mode::Host, []) => Ok(Var::Memory(memory)),
        (Mode::Host, [_]) => Ok(Var::Partition),
        (Mode::Host, several) => bail!(
            "several partitions are named `{VAR_LABEL}`: {}\nhint: give all but one another name",
            several.join(", ")
        ),
    }
}

/// The file's text. What is on no partition yet gets a file system; what holds anything is never
/// formatted.
#[must_use]
pub fn text(var: &Var) -> String {
    let (what, how) = match var {
        Var::Memory(bytes) => ("tmpfs", format!("tmpfs mode=0755,size={bytes} 0 0")),
        Var::Partition => {
            let what = "/dev/disk/by-partlabel/basalt-var";
            (what, "ext4 defaults,x-systemd.makefs,x-systemd.growfs 0 2".to_owned())
        }
    };
    format!(
        "# Of this live system: nothing of a disk but what is named here.\n\
         {what} /var {how}\n\
         /sysroot/boot /boot none bind,noauto 0 0\n"
    )
}

/// The partitions of that name.
///
/// # Errors
/// What udev knows cannot be read.
pub fn partitions() -> Result<Vec<String>> {
    let found = udev::devices("ID_PART_ENTRY_NAME", VAR_LABEL)?;
    Ok(found.iter().map(|path| path.display().to_string()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn var_is_in_memory_but_for_a_host_with_one_partition_for_it() {
        let one = ["/dev/sda1".to_owned()];
        let two = ["/dev/sda1".to_owned(), "/dev/sdb1".to_owned()];
        assert_eq!(choose(Mode::Host, &[], 7).unwrap(), Var::Memory(7));
        assert_eq!(choose(Mode::Host, &one, 7).unwrap(), Var::Partition);
        assert_eq!(choose(Mode::Install, &one, 7).unwrap(), Var::Memory(7));
        assert_eq!(choose(Mode::Install, &two, 7).unwrap(), Var::Memory(7));
        let told = choose(Mode::Host, &two, 7).unwrap_err().to_string();
        assert!(told.contains("`basalt-var`: /dev/sda1, /dev/sdb1\nhint: "), "{told}");
    }

    #[test]
    fn nothing_is_mounted_from_a_disk_but_the_partition_that_is_named() {
        let memory = text(&Var::Memory(4096));
        assert!(memory.contains("\ntmpfs /var tmpfs mode=0755,size=4096 0 0\n"), "{memory}");
        assert!(!memory.contains("/dev/"), "{memory}");
        let partition = text(&Var::Partition);
        assert!(
            partition.contains("\n/dev/disk/by-partlabel/basalt-var /var ext4 "),
            "{partition}"
        );
        assert_eq!(partition.matches("/dev/").count(), 1);
    }
}
