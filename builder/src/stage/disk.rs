//! Deploys a commit into a new sysroot and writes the disk that holds it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_deploy::{HostSysroot, Repo};
use basalt_sysroot::partition::{SectorSize, Sizes};
use basalt_sysroot::slot::Slot;

use crate::cache::{Cache, remove_tree};
use crate::definition::Definition;
use crate::disk::{self, DiskPlan, EspFiles, FirstEntry};
use crate::manifest::Disk;
use crate::progress::Step;

/// Name of the disk image in the output folder.
const FILE: &str = "disk.raw";
/// The remote under which a host keeps the image's ref, and asks for the next one.
const REMOTE: &str = "basalt";

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
    let work = cache.tmp().join("sysroot");
    remove_tree(&work)?;
    fs::create_dir_all(&work)?;
    step.note("deploying");
    let sysroot = HostSysroot::init(&work)?;
    let repo = sysroot.repo()?;
    // The sysroot is copied onto the disk and thrown away; the disk itself is synced.
    repo.without_fsync();
    repo.pull_local(&Repo::open(&cache.repo())?, commit)?;
    repo.set_remote_ref(REMOTE, &definition.ostree_ref, commit)?;
    let refspec = format!("{REMOTE}:{}", definition.ostree_ref);
    let deployed = sysroot.deploy(commit, &refspec, Slot::A)?;
    let title = title(&deployed.dir)?;
    let first =
        FirstEntry { title, arguments: definition.kernel.arguments.clone(), own: Vec::new() };
    let plan = DiskPlan {
        sizes: Sizes {
            disk: definition.disk.size.bytes(),
            esp: definition.disk.esp.bytes(),
            root: definition.disk.root.bytes(),
        },
        sector: SectorSize::B512,
        esp_files: EspFiles::gather(&deployed.dir, &first)?,
        sysroot: work.clone(),
    };
    let path = folder.join(FILE);
    let report = disk::assemble(&plan, &path, &|text| step.note(text))?;
    step.note("digest");
    let digest =
        disk::digest_of_file(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    sysroot.thaw()?;
    remove_tree(&work)?;
    let (size, allocated) = (report.size, report.allocated);
    Ok(Disk { file: FILE.to_owned(), size, allocated, digest: Some(digest) })
}

/// What the boot menu calls the image: its own `PRETTY_NAME`.
fn title(tree: &Path) -> Result<String> {
    let text = fs::read_to_string(tree.join("usr/lib/os-release"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    Ok(line.context("the image's os-release has no PRETTY_NAME")?.trim_matches('"').to_owned())
}
