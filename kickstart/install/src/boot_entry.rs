//! The entry of the installed disk in the firmware's list of boots, first in it: firmware that starts
//! a medium or the network first would else install the machine again each time that it starts.
//!
//! What goes from that list and what comes is decided from what `efibootmgr` says of it. That the
//! disk boots does not hang on it: firmware finds `EFI/BOOT/BOOTX64.EFI` by itself.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use basalt_sysroot::loader::EFIVARS_FOLDER;
use uuid::Uuid;

use crate::execute;
use crate::facts::DiskFact;
use crate::facts::look::look;
use crate::log::Log;
use crate::plan::{BootOrder, Plan, Role};

/// What the entry is called.
pub(crate) const LABEL: &str = "Basalt";
/// The loader, as firmware writes its path.
const LOADER: &str = r"\EFI\BOOT\BOOTX64.EFI";

/// The firmware of a machine.
pub(crate) trait Firmware {
    /// Whether it has a list of boots that can be changed.
    fn has_list(&self) -> bool;

    /// The list, as `efibootmgr --verbose` says it.
    fn list(&self) -> Result<String>;

    /// The ids of all partitions of the machine.
    fn partitions(&self) -> Result<BTreeSet<Uuid>>;

    /// Takes an entry from the list, by its four hex digits.
    fn remove(&mut self, number: &str) -> Result<()>;

    /// Puts an entry for the loader on a partition, by its disk and its number, before all others.
    /// Returns the list.
    fn put_first(&mut self, disk: &Path, number: u32) -> Result<String>;
}

/// This machine's.
pub(crate) struct Efi;

impl Firmware for Efi {
    /// Where there is no UEFI, or in a container, the folder is missing or empty.
    fn has_list(&self) -> bool {
        std::fs::read_dir(EFIVARS_FOLDER).is_ok_and(|mut entries| entries.next().is_some())
    }

    fn list(&self) -> Result<String> {
        Ok(execute::tool("efibootmgr").arg("--verbose").run()?.stdout_text())
    }

    fn partitions(&self) -> Result<BTreeSet<Uuid>> {
        let disks = look()?.disks;
        Ok(disks.iter().flat_map(DiskFact::parts).map(|part| part.id).collect())
    }

    fn remove(&mut self, number: &str) -> Result<()> {
        let cmd = execute::tool("efibootmgr").args(["--quiet", "--bootnum", number]);
        Ok(cmd.arg("--delete-bootnum").run().map(drop)?)
    }

    fn put_first(&mut self, disk: &Path, number: u32) -> Result<String> {
        let cmd = execute::tool("efibootmgr").args(["--verbose", "--create", "--disk"]).arg(disk);
        let cmd = cmd.args(["--part", &number.to_string(), "--label", LABEL, "--loader", LOADER]);
        Ok(cmd.run()?.stdout_text())
    }
}

/// Makes the entry, where the plan says so. A failure is told and ends nothing.
pub(crate) fn make(plan: &Plan, firmware: &mut dyn Firmware, log: &mut Log) {
    if plan.boot_order == BootOrder::Kept {
        return;
    }
    if !firmware.has_list() {
        return log.say("no boot entry is made: this machine was not started by UEFI");
    }
    match replace(plan, firmware, log) {
        Ok(()) => log.say(&format!("the boot entry `{LABEL}` is the first in the firmware's list")),
        Err(error) => log.say(&format!(
            "warning: the boot entry `{LABEL}` is not the first in the firmware's list: {error:#}\n\
             hint: have the firmware start the disk first, or take the medium away"
        )),
    }
}

/// What goes comes first: the firmware has little room.
fn replace(plan: &Plan, firmware: &mut dyn Firmware, log: &mut Log) -> Result<()> {
    let disk = plan.disks.first().context("the plan has no disk")?;
    let esp = disk.part(&Role::Esp).context("the plan has no EFI partition")?;
    for number in stale(&firmware.list()?, esp.id, &firmware.partitions()?) {
        if let Err(error) = firmware.remove(&number) {
            log.say(&format!("warning: the old boot entry {number} stays: {error:#}"));
        }
    }
    let list = firmware.put_first(&Path::new("/dev").join(&disk.name), esp.number)?;
    if !is_first(&list, esp.id) {
        bail!("it takes another one for the first");
    }
    Ok(())
}

/// An entry of the list.
struct Entry<'a> {
    number: &'a str,
    label: &'a str,
    /// The partition that it starts from, where it names one.
    partition: Option<Uuid>,
}

/// `Boot0004* Basalt<TAB>HD(1,GPT,c9dc…,0x800,0x200000)/\EFI\BOOT\BOOTX64.EFI`; other lines are none.
fn entry(line: &str) -> Option<Entry<'_>> {
    let rest = line.strip_prefix("Boot")?;
    let number = rest.get(..4).filter(|it| it.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    let rest = rest.get(4..)?.strip_prefix(['*', ' '])?.strip_prefix(' ')?;
    let (label, path) = rest.split_once('\t').unwrap_or((rest, ""));
    let mut words = path.split_once("HD(").map_or("", |(_, after)| after).split(',').skip(1);
    let partition = words.next().filter(|kind| *kind == "GPT").and_then(|_| words.next());
    Some(Entry { number, label, partition: partition.and_then(|id| id.parse().ok()) })
}

/// The numbers of our entries that start from this partition, which is new, or from one that is not
/// among those that are there. Pure.
fn stale(list: &str, esp: Uuid, there: &BTreeSet<Uuid>) -> Vec<String> {
    let ours = list.lines().filter_map(entry).filter(|it| it.label == LABEL);
    let is_stale = |id: &Uuid| *id == esp || !there.contains(id);
    ours.filter(|it| it.partition.as_ref().is_some_and(is_stale))
        .map(|it| it.number.to_owned())
        .collect()
}

/// Whether the first of the list is ours, and starts from this partition. Pure.
fn is_first(list: &str, esp: Uuid) -> bool {
    let order = list.lines().find_map(|line| line.strip_prefix("BootOrder: "));
    let first = order.and_then(|order| order.split(',').next()).unwrap_or_default();
    let mut entries = list.lines().filter_map(entry);
    entries.any(|it| it.number == first && it.label == LABEL && it.partition == Some(esp))
}

#[cfg(test)]
mod tests;
