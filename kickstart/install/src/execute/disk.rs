//! The disk itself: held for nobody else, erased, partitioned.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use basalt_cmd::{Cmd, CmdError};
use basalt_disk::{Ends, Entry, Table};
use basalt_sysroot::partition::{ALIGNMENT, Extent, SectorSize};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::device;
use crate::plan::{DiskPlan, Make};

/// For the kernel to take a partition, and to show it.
const DEADLINE: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(50);
/// For who looks at a partition, as udev, `blkid` and `lsblk` do, to close it again.
const LOOK: Duration = Duration::from_secs(10);

impl DiskPlan {
    /// What it addresses.
    ///
    /// # Errors
    /// Nothing that a disk of ours may.
    pub(super) fn sector_size(&self) -> Result<SectorSize> {
        match self.sector {
            512 => Ok(SectorSize::B512),
            4096 => Ok(SectorSize::B4096),
            other => bail!("`{}` has sectors of {other} bytes", self.name),
        }
    }
}

/// Opens a disk and locks it, as udev and systemd wish it (systemd.io, BLOCK_DEVICE_LOCKING): they
/// leave it alone meanwhile.
pub(super) fn hold(plan: &DiskPlan) -> Result<File> {
    let path = device(&plan.name);
    let doing = || format!("cannot take the disk `{}`", path.display());
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(&path).with_context(doing)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => (),
        Err(Errno::WOULDBLOCK) => bail!("{}: somebody else is writing to it", doing()),
        Err(error) => return Err(error).with_context(doing),
    }
    // The kernel lets nobody open it so while anything of it is mounted or held, wherever that is.
    let exclusive = OFlags::EXCL.bits() as i32;
    match OpenOptions::new().read(true).custom_flags(exclusive).open(&path) {
        Ok(_) => Ok(file),
        Err(error) if error.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
            bail!("{}: it is in use\nhint: unmount what is on it, and close what holds it", doing())
        }
        Err(error) => Err(error).with_context(doing),
    }
}

/// Zeros in place of both partition tables, and of what lies where partitions will be.
pub(super) fn erase(file: &File, plan: &DiskPlan) -> Result<()> {
    let doing = || format!("cannot erase `{}`", plan.name);
    // The beginning first: it is what firmware looks at.
    zero(file, 0, ALIGNMENT).with_context(doing)?;
    file.sync_all().with_context(doing)?;
    zero(file, plan.size - ALIGNMENT, ALIGNMENT).with_context(doing)?;
    clear(file, plan)
}

/// Zeros at the ends of what goes and of what is new: no file system, no array and no loader is
/// found there any more.
pub(super) fn clear(file: &File, plan: &DiskPlan) -> Result<()> {
    let doing = || format!("cannot clear `{}`", plan.name);
    let gone = plan.removed.iter().filter(|_| plan.keeps_table).map(|part| part.extent);
    let made = plan.parts.iter().filter(|part| part.make != Make::Keep).map(|part| part.extent);
    for Extent { start, length } in gone.chain(made) {
        let end = length.min(ALIGNMENT);
        zero(file, start, end).with_context(doing)?;
        zero(file, start + length - end, end).with_context(doing)?;
    }
    file.sync_all().with_context(doing)
}

fn zero(file: &File, at: u64, length: u64) -> std::io::Result<()> {
    file.write_all_at(&vec![0; length as usize], at)
}

/// Writes the partition table, one copy after the other, and tells the kernel.
pub(super) fn partition(file: &File, plan: &DiskPlan) -> Result<()> {
    let doing = || format!("cannot write the partition table of `{}`", plan.name);
    let entries = plan.parts.iter().map(|part| {
        let (extent, kind, id, flags) = (part.extent, part.kind, part.id, part.flags);
        (part.number, Entry { extent, kind, id, name: part.name.clone(), flags })
    });
    let table = Table {
        id: plan.id,
        size: plan.size,
        sector: plan.sector_size()?,
        entries: entries.collect(),
    };
    let mut ends = match plan.keeps_table {
        true => Ends::read(file, plan.size).with_context(doing)?,
        false => Ends::blank(plan.size),
    };
    table.write(&mut ends).with_context(doing)?;
    ends.write(file).with_context(doing)?;
    announce(plan)
        .with_context(|| format!("the kernel does not take the partitions of `{}`", plan.name))
}

/// Tells the kernel each partition, as the table on the disk has it. It is not asked to read that by
/// itself: it fails with no word of which partition is to blame, and not every kernel reads a GPT.
fn announce(plan: &DiskPlan) -> Result<()> {
    let disk = device(&plan.name);
    for number in known(&plan.name)? {
        forget(&disk, number)?;
    }
    for part in &plan.parts {
        partx("--add", part.number, &disk)?;
    }
    for part in &plan.parts {
        wait_for(&device(&plan.device(part)))?;
    }
    Ok(())
}

fn partx(verb: &str, number: u32, disk: &Path) -> Result<(), CmdError> {
    tool("partx").args([verb, "--nr", &number.to_string()]).arg(disk).run().map(drop)
}

/// Has the kernel forget a partition, which it does only once nobody has it open.
fn forget(disk: &Path, number: u32) -> Result<()> {
    let began = Instant::now();
    loop {
        match partx("--delete", number, disk) {
            Ok(()) => return Ok(()),
            Err(CmdError::Failed { .. }) if began.elapsed() < LOOK => sleep(AGAIN),
            Err(error @ CmdError::Failed { .. }) => {
                let what = "a partition that is to go is still open";
                let look = format!("`fuser -v {}*` says who has it open", disk.display());
                return Err(error).with_context(|| format!("{what}\nhint: {look}; close it"));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Numbers of the partitions that the kernel has of a disk.
fn known(disk: &str) -> Result<Vec<u32>> {
    let folder = Path::new("/sys/block").join(disk);
    let mut found = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("cannot read `{}`", folder.display()))? {
        let number = std::fs::read_to_string(entry?.path().join("partition"));
        found.extend(number.ok().and_then(|text| text.trim().parse::<u32>().ok()));
    }
    Ok(found)
}

/// Waits until the kernel, and who names devices, have it.
pub(super) fn wait_for(device: &Path) -> Result<()> {
    let began = Instant::now();
    while !device.exists() {
        if began.elapsed() > DEADLINE {
            bail!("`{}` does not appear", device.display());
        }
        sleep(AGAIN);
    }
    Ok(())
}

/// A tool that only root's `PATH` finds.
pub(crate) fn tool(name: &str) -> Cmd {
    let path = std::env::var("PATH").unwrap_or_default();
    let cmd = Cmd::new(name).env("PATH", format!("{path}:/usr/sbin:/sbin")).env("LC_ALL", "C");
    cmd.deadline(DEADLINE)
}
