//! The cache of verified images: `images/<sha256>.<format>`. What is there under its name was
//! verified and is never written again; whatever else is there is half and goes at the next start,
//! but for downloads that broke off: for a while the next one goes on from there.

mod bring;
mod check;
pub(crate) mod fetch;
mod half;
mod privileges;
mod qcow;
mod url;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use basalt_api::virt::{Refusal, images};
use basalt_api::workload::{DiskFormat, VmDisk};

use crate::disk;
use crate::store::Store;

pub(crate) use bring::{Patience, prepare};
pub(crate) use check::become_checker;

/// How the names of half images begin.
const HALF: &str = ".half-";
/// How the names of downloads that can be gone on with begin.
const PART: &str = ".part-";
/// How long a download that broke off is kept since something came.
const WORTH: Duration = Duration::from_secs(3600);
/// How long an image that nobody uses yet stays: the machine that it was fetched for is made next.
const FRESH: Duration = Duration::from_secs(3600);

/// Where the image of a disk lies once it was verified.
pub(crate) fn path(state: &Path, disk: &VmDisk) -> PathBuf {
    images(state).join(file_name(&disk.sha256, disk.format))
}

/// What an image is called. The format is part of it: the same bytes are checked anew when
/// somebody says that they are of another.
pub(crate) fn file_name(sha256: &str, format: DiskFormat) -> String {
    format!("{sha256}.{}", format.as_str())
}

/// Bytes that a verified image offers to a guest.
pub(crate) fn offers(image: &Path, format: DiskFormat) -> Result<u64, Refusal> {
    let file = File::open(image).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Refusal::workload("its image is not here yet"),
        _ => cannot_use(&error),
    })?;
    match format {
        DiskFormat::Raw => file.metadata().map(|file| file.len()).map_err(|e| cannot_use(&e)),
        DiskFormat::Qcow2 => {
            let mut head = Vec::new();
            let read = file.take(qcow::HEAD as u64).read_to_end(&mut head);
            read.map_err(|error| cannot_use(&error))?;
            qcow::judge_head(&head).map_err(|why| Refusal::workload(format!("its image {why}")))
        }
    }
}

/// Removes images that no machine uses.
///
/// # Errors
/// The folders cannot be read, or an image cannot be removed.
pub(crate) fn sweep(store: &Store) -> io::Result<()> {
    let used: HashSet<String> =
        store.folders()?.iter().filter_map(|folder| disk::image_name(folder)).collect();
    for image in fs::read_dir(images(store.state()))? {
        let image = image?;
        let name = image.file_name().to_string_lossy().into_owned();
        let age = image.metadata()?.modified()?.elapsed().unwrap_or_default();
        let is_on_its_way = name.starts_with(HALF) || name.starts_with(PART);
        if !used.contains(&name) && !is_on_its_way && age >= FRESH {
            basalt_durable::remove(&image.path())?;
        }
    }
    Ok(())
}

/// Removes what a cut left of downloads, but for what the next one goes on from. Only where none is
/// on its way.
///
/// # Errors
/// The folder cannot be read, or a file cannot be removed.
pub(crate) fn remove_halves(state: &Path) -> io::Result<()> {
    for image in fs::read_dir(images(state))? {
        let image = image?;
        let name = image.file_name().to_string_lossy().into_owned();
        let age = image.metadata()?.modified()?.elapsed().unwrap_or_default();
        if name.starts_with(HALF) || (name.starts_with(PART) && age >= WORTH) {
            basalt_durable::remove(&image.path())?;
        }
    }
    Ok(())
}

/// Why an image cannot be written. A full disk is told as one, in the words that containers have.
fn not_written(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::StorageFull {
        return "no space left on the disk for its image".to_owned();
    }
    format!("cannot write an image: {error}")
}

fn cannot_use(error: &io::Error) -> Refusal {
    Refusal::workload(format!("cannot use its image: {error}"))
}
