//! A machine's own disk: an overlay over the image, which takes what the guest writes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use basalt_api::virt::{Machine, Refusal};
use basalt_api::workload::DiskFormat;
use basalt_cmd::Cmd;
use serde::{Deserialize, Serialize};

use crate::domain::Files;

/// qemu-img writes a few clusters.
const DEADLINE: Duration = Duration::from_secs(60);
const GIB: u64 = 1 << 30;

/// What a disk was made from; stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    sha256: String,
    format: DiskFormat,
    bytes: u64,
}

/// What becomes of a disk that may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is as wanted; what the guest wrote stays.
    Keep,
    /// It becomes larger; what the guest wrote stays.
    Grow,
    /// It is made anew: another image, or a smaller disk, has no place for what the guest wrote.
    New,
}

/// Makes the disk of `machine` from an image that offers `image_bytes`.
pub(crate) fn make(machine: &Machine, files: &Files, image_bytes: u64) -> Result<(), Refusal> {
    let wanted = wanted(machine, image_bytes)?;
    let note = files.disk.with_file_name("disk.json");
    let is_there = files.disk.is_file();
    let made = fs::read(&note).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let step = step(made.as_ref().filter(|_| is_there), &wanted);
    let done = match step {
        Step::Keep => return Ok(()),
        Step::Grow => resize(&files.disk, wanted.bytes),
        // First the note: a cut leaves a disk that nobody knows, never one that is taken for
        // another.
        Step::New => remove(&note)
            .map_err(|error| error.to_string())
            .and_then(|()| create(files, machine.vm.disk.format, wanted.bytes)),
    };
    let done = done.and_then(|()| {
        let text = serde_json::to_vec(&wanted).map_err(|error| error.to_string())?;
        basalt_durable::write(&note, &text, basalt_durable::PUBLIC).map_err(|e| e.to_string())
    });
    done.map_err(|error| Refusal::workload(format!("cannot make its disk: {error}")))
}

/// The image that the disk in this folder was made from, as its file is called.
pub(crate) fn image_name(folder: &Path) -> Option<String> {
    let text = fs::read(folder.join("disk.json")).ok()?;
    let made: Made = serde_json::from_slice(&text).ok()?;
    Some(crate::image::file_name(&made.sha256, made.format))
}

fn wanted(machine: &Machine, image_bytes: u64) -> Result<Made, Refusal> {
    let disk = &machine.vm.disk;
    let bytes = disk.size_gib.map_or(image_bytes, |gib| u64::from(gib) * GIB);
    if bytes < image_bytes {
        let (has, wants) = (image_bytes.div_ceil(GIB), bytes / GIB);
        return Err(Refusal::workload(format!(
            "its disk shall have {wants} GiB, and the image has {has} GiB already"
        )));
    }
    Ok(Made { sha256: disk.sha256.clone(), format: disk.format, bytes })
}

fn step(made: Option<&Made>, wanted: &Made) -> Step {
    let is_same = |made: &&Made| made.sha256 == wanted.sha256 && made.format == wanted.format;
    match made.filter(is_same) {
        Some(made) if made.bytes == wanted.bytes => Step::Keep,
        Some(made) if made.bytes < wanted.bytes => Step::Grow,
        _ => Step::New,
    }
}

fn create(files: &Files, format: DiskFormat, bytes: u64) -> Result<(), String> {
    let new = files.disk.with_extension("new");
    let cmd = Cmd::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", format.as_str(), "-b"])
        .args([files.image.as_path(), new.as_path()])
        .arg(bytes.to_string())
        .deadline(DEADLINE);
    cmd.run().map_err(|error| error.to_string())?;
    // The guest's own: libvirt hands it to the user that QEMU runs as.
    let private = fs::Permissions::from_mode(basalt_durable::PRIVATE);
    let placed = File::open(&new).and_then(|file| {
        file.set_permissions(private)?;
        file.sync_all()
    });
    placed
        .and_then(|()| basalt_durable::rename(&new, &files.disk))
        .map_err(|error| error.to_string())
}

fn resize(disk: &Path, bytes: u64) -> Result<(), String> {
    let cmd = Cmd::new("qemu-img").args(["resize", "-q", "-f", "qcow2"]).arg(disk);
    let done = cmd.arg(bytes.to_string()).deadline(DEADLINE).run();
    done.map(|_| ()).map_err(|error| error.to_string())
}

fn remove(path: &Path) -> io::Result<()> {
    basalt_durable::remove(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(sha256: &str, bytes: u64) -> Made {
        Made { sha256: sha256.to_owned(), format: DiskFormat::Qcow2, bytes }
    }

    #[test]
    fn what_a_guest_wrote_stays_unless_the_disk_has_no_place_for_it() {
        let has = made("a", 2);
        assert_eq!(step(Some(&has), &made("a", 2)), Step::Keep);
        assert_eq!(step(Some(&has), &made("a", 3)), Step::Grow);
        assert_eq!(step(Some(&has), &made("a", 1)), Step::New);
        assert_eq!(step(Some(&has), &made("b", 2)), Step::New);
        let raw = Made { format: DiskFormat::Raw, ..made("a", 2) };
        assert_eq!(step(Some(&has), &raw), Step::New);
        assert_eq!(step(None, &has), Step::New);
    }
}
