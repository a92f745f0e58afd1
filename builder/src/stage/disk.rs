//! Writes the disk that holds a commit's sysroot.

use std::path::Path;

use anyhow::{Context, Result};
use basalt_sysroot::partition::{SectorSize, Sizes};

use super::sysroot::Laid;
use crate::cache::Cache;
use crate::definition::Definition;
use crate::disk::{self, DiskPlan, EspFiles, FirstEntry};
use crate::manifest::Disk;
use crate::progress::Step;

/// Name of the disk image in the output folder.
const FILE: &str = "disk.raw";

/// Writes the disk of `commit` into `folder`.
///
/// # Errors
/// The commit is not in the cache, a part of the disk does not fit, or there is no space.
pub fn make(
    definition: &Definition,
    commit: &str,
    cache: &Cache,
    folder: &Path,
    step: &Step,
) -> Result<Disk> {
    let laid = Laid::lay(definition, commit, cache, step)?;
    let arguments = definition.kernel.arguments.clone();
    let first = FirstEntry { title: laid.title()?, arguments, own: Vec::new() };
    let plan = DiskPlan {
        sizes: Sizes {
            disk: definition.disk.size.bytes(),
            esp: definition.disk.esp.bytes(),
            root: definition.disk.root.bytes(),
        },
        sector: SectorSize::B512,
        esp_files: EspFiles::gather(&laid.deployed.dir, &first)?,
        sysroot: laid.path.clone(),
    };
    let path = folder.join(FILE);
    let report = disk::assemble(&plan, &path, &|text| step.note(text))?;
    step.note("digest");
    let digest =
        disk::digest_of_file(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    laid.clear()?;
    let (size, allocated) = (report.size, report.allocated);
    Ok(Disk { file: FILE.to_owned(), size, allocated, digest: Some(digest) })
}
