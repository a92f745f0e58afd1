//! What room a release takes on the root and on the ESP, known before anything is downloaded.
//!
//! A host that lacks it keeps all that it has, and hears how much is missing where.

use anyhow::{Result, bail};
use basalt_api::os::Room;
use basalt_release::Manifest;
use basalt_sysroot::boot_file::BootFile;
use basalt_sysroot::update::Found;

use crate::disk::Disk;

/// Bytes of the root that stay free whatever comes: libostree's own writing, the copy of `/etc`,
/// and the journal of the file system.
const ROOT_RESERVE: u64 = 64 << 20;
/// Bytes of the ESP for a boot entry and the folders of two boot files, in the largest clusters
/// that FAT has.
const ESP_RESERVE: u64 = 5 * (32 << 10);

/// What a release takes of the root and of the ESP; `running` is the commit that runs.
///
/// # Errors
/// One of the file systems has less, or cannot be looked at.
pub(crate) fn room(
    disk: &Disk,
    found: &Found,
    manifest: &Manifest,
    running: &str,
) -> Result<[Room; 2]> {
    // What was begun had room for all of it, and some of it lies there by now.
    let is_begun = disk.sysroot.repo()?.has(&manifest.commit)?;
    let tree = if is_begun { 0 } else { manifest.root_bytes_from(running) };
    let root =
        Room { needs_bytes: tree.saturating_add(ROOT_RESERVE), free_bytes: disk.sysroot.free()? };
    let esp = Room {
        needs_bytes: boot_bytes(manifest, found).saturating_add(ESP_RESERVE),
        free_bytes: disk.esp.free()?,
    };
    enough("the root", root)?;
    enough("the ESP", esp)?;
    Ok([root, esp])
}

/// Bytes of the kernel and the initramfs, without what lies on the ESP already. Pure.
fn boot_bytes(manifest: &Manifest, found: &Found) -> u64 {
    if manifest.boot_files.is_empty() {
        return manifest.boot_bytes;
    }
    let is_there = |place: &str| {
        let place = BootFile::parse(place);
        found.files.iter().any(|file| file.whole && Some(file.place) == place)
    };
    let missing = manifest.boot_files.iter().filter(|file| !is_there(&file.place));
    missing.fold(0, |sum, file| sum.saturating_add(file.bytes))
}

fn enough(place: &str, Room { needs_bytes, free_bytes }: Room) -> Result<()> {
    if free_bytes >= needs_bytes {
        return Ok(());
    }
    let needs = needs_bytes.div_ceil(1 << 20);
    bail!("{place} has {} MiB free, and the release needs {needs} MiB", free_bytes >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::tests::ground::HostGround;
    use crate::update::tests::publisher::Publisher;

    /// What a release needs of the root and the ESP of a host that runs the first one.
    fn needs(ground: &HostGround, manifest: &Manifest) -> [u64; 2] {
        let disk = ground.disk();
        let found = disk.found().unwrap();
        let running = found.link(found.running.slot).unwrap().commit.clone();
        room(&disk, &found, manifest, &running).unwrap().map(|room| room.needs_bytes)
    }

    #[test]
    fn a_boot_file_that_is_there_and_a_tree_that_was_begun_need_no_room() {
        let publisher = Publisher::new();
        let first = publisher.publish("1", "kernel 1");
        let ground = HostGround::running(&publisher, &first);
        let (all, none) = (first.tree_bytes + ROOT_RESERVE, ROOT_RESERVE);
        let other = publisher.publish("2", "kernel two");
        assert_eq!(needs(&ground, &other), [all, "kernel two".len() as u64 + ESP_RESERVE]);
        let same = publisher.publish("3", "kernel 1");
        assert_eq!(needs(&ground, &same), [all, ESP_RESERVE]);
        let unknown = Manifest { boot_files: Vec::new(), ..same };
        assert_eq!(needs(&ground, &unknown), [all, unknown.boot_bytes + ESP_RESERVE]);
        assert_eq!(needs(&ground, &first)[0], none);
    }

    #[test]
    fn what_lacks_room_is_refused_by_its_name_and_numbers() {
        let room = |needs_bytes| Room { needs_bytes, free_bytes: 10 << 20 };
        enough("the root", room(10 << 20)).unwrap();
        let said = enough("the root", room((10 << 20) + 1)).unwrap_err().to_string();
        assert_eq!(said, "the root has 10 MiB free, and the release needs 11 MiB");
    }
}
