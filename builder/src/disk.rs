//! Puts a disk together in one sparse file: partition table, ESP, root; no loop device, no mount.
//!
//! It takes a finished sysroot and finished boot files and decides nothing about what is in them.
//! Every id on the disk is new: two disks of one build never collide in one machine.

pub mod digest;
mod error;
mod root;
pub(crate) mod table;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use basalt_disk::Volume;
pub use basalt_disk::{Content, EspFile, EspFiles, EspFilesError, FirstEntry};
use basalt_sysroot::partition::{Layout, SectorSize, Sizes};
use serde::Serialize;
use uuid::Uuid;

pub use digest::digest_of_file;
pub use error::DiskError;

/// Everything that goes onto a disk.
#[derive(Debug, Clone)]
pub struct DiskPlan {
    /// Sizes in bytes, each a whole number of MiB. What is left behind the root stays free, for
    /// the host's /var.
    pub sizes: Sizes,
    /// What the disk addresses.
    pub sector: SectorSize,
    /// The folder that becomes the root file system, with owners, links and xattrs as they are.
    pub sysroot: PathBuf,
    /// What lies on the ESP.
    pub esp_files: EspFiles,
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskReport {
    /// The size of the disk in bytes.
    pub size: u64,
    /// How many of them the file takes where it lies.
    pub allocated: u64,
    /// What tells this disk from all others.
    pub ids: DiskIds,
}

/// The ids of a disk, made anew for each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskIds {
    /// Of the partition table.
    pub disk: Uuid,
    /// Of the ESP's partition; the loader hands it to the host.
    pub esp_partition: Uuid,
    /// Of the root's partition.
    pub root_partition: Uuid,
    /// Of the root's file system.
    pub root_file_system: Uuid,
    /// Volume id of the ESP's FAT.
    pub esp_volume: u32,
}

impl DiskIds {
    pub(crate) fn random() -> Self {
        let (esp_volume, ..) = Uuid::new_v4().as_fields();
        Self {
            disk: Uuid::new_v4(),
            esp_partition: Uuid::new_v4(),
            root_partition: Uuid::new_v4(),
            root_file_system: Uuid::new_v4(),
            esp_volume,
        }
    }
}

/// Writes the disk to the file `to`, which is replaced, and syncs it. Call it with a temporary
/// name and rename afterwards: until it returns, the file is no disk. `note` is told what is
/// being done.
///
/// # Errors
/// The sizes make no disk, something does not fit, a file cannot be read, or the folder of `to`
/// has no space; `to` is then gone.
pub fn assemble(plan: &DiskPlan, to: &Path, note: &dyn Fn(&str)) -> Result<DiskReport, DiskError> {
    let layout = Layout::new(&plan.sizes, plan.sector)?;
    let report = write(plan, &layout, to, note);
    if report.is_err() {
        // Whoever looks next must not find half a disk; the first error is the one to tell.
        let _ = fs::remove_file(to);
    }
    report
}

fn write(
    plan: &DiskPlan,
    layout: &Layout,
    to: &Path,
    note: &dyn Fn(&str),
) -> Result<DiskReport, DiskError> {
    let failed = |source| DiskError::write(to, source);
    let ids = DiskIds::random();
    let file = create(to).map_err(failed)?;
    file.set_len(layout.disk).map_err(failed)?;
    note("ESP");
    let volume = Volume { extent: layout.esp, sector: layout.sector, id: ids.esp_volume };
    let files: Vec<_> = plan.esp_files.iter().collect();
    basalt_disk::make(&file, &volume, &files).map_err(|error| DiskError::esp(to, error))?;
    note("root file system");
    root::write(to, layout.root, &plan.sysroot, ids.root_file_system)?;
    note("partition table");
    table::write(&file, layout, &ids).map_err(|source| DiskError::table(to, source))?;
    note("sync");
    file.sync_all().map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    // `st_blocks` counts 512 bytes, whatever the file system's blocks are.
    Ok(DiskReport { size: metadata.len(), allocated: metadata.blocks() * 512, ids })
}

fn create(to: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).open(to)
}

#[cfg(test)]
mod tests;
