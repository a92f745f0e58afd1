//! What must lie in a finished initramfs. dracut ends well although it left out what it did not
//! find, and a host then shows at its boot, or in its first trouble, what is not there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::super::sandbox::{Access, inside_with};
use super::{DEADLINE, kernel_folder};

/// Files without which a root is not found or a failed boot does not say so, and where they come
/// from.
const NEEDED: [(&str, &str); 13] = [
    ("usr/lib/ostree/ostree-prepare-root", OSTREE),
    (
        "usr/lib/ostree/prepare-root.conf",
        "an initramfs overlay has it, and the dracut module `ostree` takes it from there",
    ),
    ("usr/lib/systemd/system/ostree-prepare-root.service", OSTREE),
    ("etc/systemd/system/initrd-root-fs.target.wants/ostree-prepare-root.service", OSTREE),
    ("usr/lib/systemd/system/emergency.service", "the dracut module `systemd-emergency` brings it"),
    ("usr/lib/systemd/system/emergency.service.d/10-basalt.conf", HOST_BOOT),
    ("usr/lib/basalt/boot-failed", HOST_BOOT),
    ("usr/lib/basalt/may-reboot", HOST_BOOT),
    ("usr/lib/basalt/what-failed", HOST_BOOT),
    ("usr/lib/basalt/check-root", HOST_BOOT),
    ("usr/lib/basalt/mend-superblock", HOST_BOOT),
    ("usr/lib/systemd/system/systemd-fsck-root.service.d/10-basalt.conf", HOST_BOOT),
    ("usr/sbin/debugfs", HOST_BOOT),
];
const OSTREE: &str = "the dracut module `ostree` brings it";
const HOST_BOOT: &str = "the dracut module `host-boot` brings it";
/// Where a package puts a vendor's microcode, and the file of it that the kernel loads early.
const MICROCODE: [(&str, &str); 2] = [
    ("usr/lib/firmware/amd-ucode", "kernel/x86/microcode/AuthenticAMD.bin"),
    ("usr/lib/firmware/intel-ucode", "kernel/x86/microcode/GenuineIntel.bin"),
];
/// Prints the names in the uncompressed archive in front, if there is one, a line that is no name,
/// and the names in the compressed one.
const LIST: &str = "cpio --list --quiet <$1 2>/dev/null; echo //; \
    { /usr/lib/dracut/skipcpio $1 | zstd -dc | cpio --list --quiet; } || exit 1";
/// Prints its accounts' passwords, none of which is one, with the days on which they were set.
const SHADOW: &str = "{ /usr/lib/dracut/skipcpio $1 | zstd -dc | \
    cpio --extract --to-stdout --quiet etc/shadow; } || exit 1";
/// Seconds.
const DAY: u64 = 86_400;
/// Between the two.
const BORDER: &str = "//";

/// What the tree and the definition ask of it.
struct Expected<'a> {
    /// Kernel modules by name.
    drivers: &'a [&'a String],
    /// Files beside those of every initramfs, and where they come from.
    needed: &'a [(&'a str, &'a str)],
    /// `modules.builtin` of the kernel: those that are in it.
    builtin: &'a str,
    /// Files of microcode.
    microcode: Vec<&'static str>,
}

/// Checks an initramfs that dracut has made of `tree` into `folder`, under this name.
///
/// # Errors
/// Something is missing, all of which is named, or it cannot be read.
pub(super) fn check(
    tree: &Path,
    kernel: &str,
    (drivers, needed): (&[&String], &[(&str, &str)]),
    (folder, name): (&Path, &str),
) -> Result<()> {
    let listed = look(tree, LIST, (folder, name))?;
    let builtin = kernel_folder(tree, kernel).join("modules.builtin");
    let builtin = fs::read_to_string(&builtin)
        .with_context(|| format!("cannot read `{}`", builtin.display()))?;
    let has = |(folder, _): &&(&str, &str)| tree.join(folder).is_dir();
    let microcode = MICROCODE.iter().filter(has).map(|(_, file)| *file).collect();
    let missing = missing(&listed, &Expected { drivers, needed, builtin: &builtin, microcode });
    if missing.is_empty() {
        return Ok(());
    }
    bail!("the initramfs is not whole:\n  {}", missing.join("\n  "))
}

/// Checks that none of its accounts is younger than the packages, in seconds since 1970: such an
/// initramfs bears the day of its build, and tomorrow's would be another one.
///
/// # Errors
/// One is, or the initramfs cannot be read.
pub(super) fn check_days(tree: &Path, resolved: u64, image: (&Path, &str)) -> Result<()> {
    let shadow = look(tree, SHADOW, image)?;
    match younger(&shadow, resolved / DAY) {
        Some(account) => {
            bail!("the initramfs bears the day of its build: `/etc/shadow`, {account}")
        }
        None => Ok(()),
    }
}

/// The first account that was made after this day, counted from 1970. Pure.
fn younger(shadow: &str, day: u64) -> Option<&str> {
    let made = |line: &str| line.split(':').nth(2)?.parse().ok();
    shadow.lines().find(|line| made(line).is_some_and(|made: u64| made > day))
}

/// What a script of the tree's shell prints about the initramfs of this name in this folder.
fn look(tree: &Path, script: &str, (folder, name): (&Path, &str)) -> Result<String> {
    let looked = inside_with(tree, Access::ReadOnly, &[(folder, "/mnt")], "sh")
        .args(["-c", script, "sh", &format!("/mnt/{name}")])
        .deadline(DEADLINE)
        .run()
        .context("cannot look into the initramfs")?;
    Ok(looked.stdout_text())
}

/// A line for everything that is not there. Pure.
fn missing(listed: &str, expected: &Expected<'_>) -> Vec<String> {
    let (early, files) = listed.split_once(BORDER).unwrap_or_default();
    let early: BTreeSet<&str> = early.lines().collect();
    let files: BTreeSet<&str> = files.lines().collect();
    let modules: BTreeSet<String> =
        files.iter().copied().chain(expected.builtin.lines()).filter_map(module).collect();
    let needed = NEEDED.iter().chain(expected.needed);
    let needed = needed.filter(|(path, _)| !files.contains(path));
    let needed = needed.map(|(path, origin)| format!("`/{path}` is missing: {origin}"));
    let drivers = expected.drivers.iter().filter(|name| !modules.contains(&name.replace('-', "_")));
    let drivers = drivers
        .map(|name| format!("the driver `{name}` is missing: the kernel has no such module"));
    let microcode = expected.microcode.iter().filter(|file| !early.contains(*file));
    let microcode =
        microcode.map(|file| format!("`{file}` is missing in front: the tree has microcode"));
    needed.chain(drivers).chain(microcode).collect()
}

/// The kernel module that lies under this path, as the kernel writes its name.
fn module(path: &str) -> Option<String> {
    let name = path.rsplit('/').next()?.split_once(".ko")?.0;
    Some(name.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in a whole one, with two drivers and one vendor's microcode.
    fn whole() -> Vec<&'static str> {
        let drivers = ["usr/lib/modules/6/kernel/a/virtio_blk.ko", "usr/lib/modules/6/b/crc-x.ko"];
        let files = NEEDED.iter().map(|(path, _)| *path).chain(drivers);
        ["early_cpio", MICROCODE[0].1, BORDER].into_iter().chain(files).collect()
    }

    /// All of a whole one but what has this name.
    fn check(without: &str, expected: &[&str]) {
        let whole = whole();
        let listed: Vec<_> = whole.iter().copied().filter(|name| *name != without).collect();
        let drivers = ["virtio-blk", "crc_x", "ext4"].map(str::to_owned);
        let builtin = "kernel/fs/ext4/ext4.ko\n";
        let microcode = vec![MICROCODE[0].1];
        let asked = Expected { drivers: &drivers.each_ref(), needed: &[], builtin, microcode };
        assert_eq!(missing(&listed.join("\n"), &asked), expected, "without {without}");
    }

    #[test]
    fn a_whole_initramfs_misses_nothing() {
        check("", &[]);
    }

    #[test]
    fn whatever_a_boot_needs_is_named_when_it_is_missing() {
        for (path, origin) in NEEDED {
            check(path, &[&format!("`/{path}` is missing: {origin}")]);
        }
    }

    #[test]
    fn a_driver_that_is_neither_there_nor_in_the_kernel_is_named() {
        let expected = "the driver `virtio-blk` is missing: the kernel has no such module";
        check("usr/lib/modules/6/kernel/a/virtio_blk.ko", &[expected]);
    }

    #[test]
    fn what_one_needs_beside_others_is_named_when_it_is_missing() {
        let needed: &[(&str, &str)] = &[("etc/more", "a module brings it")];
        let asked = Expected { drivers: &[], needed, builtin: "", microcode: Vec::new() };
        let listed = whole().join("\n");
        assert_eq!(missing(&listed, &asked), ["`/etc/more` is missing: a module brings it"]);
        assert_eq!(missing(&format!("{listed}\netc/more"), &asked), [""; 0]);
    }

    #[test]
    fn microcode_that_the_tree_has_must_lie_in_front() {
        let file = MICROCODE[0].1;
        let expected = format!("`{file}` is missing in front: the tree has microcode");
        check(file, &[&expected]);
        // Behind, the kernel does not look for it.
        let asked = Expected { drivers: &[], needed: &[], builtin: "", microcode: vec![file] };
        let files: Vec<_> = NEEDED.iter().map(|(path, _)| *path).chain([file]).collect();
        let listed = format!("{BORDER}\n{}", files.join("\n"));
        assert_eq!(missing(&listed, &asked), [expected]);
    }

    #[test]
    fn an_account_of_the_day_of_the_build_is_named() {
        let shadow = "root:!:20000::::::\nhostd:!*:1::::::\nnobody:!*:20001::::::\n";
        assert_eq!(younger(shadow, 20_001), None);
        assert_eq!(younger(shadow, 20_000), Some("nobody:!*:20001::::::"));
        assert_eq!(younger("", 20_000), None);
    }

    #[test]
    fn a_listing_that_was_cut_off_misses_everything() {
        let asked = Expected { drivers: &[], needed: &[], builtin: "", microcode: Vec::new() };
        assert_eq!(missing("", &asked).len(), NEEDED.len());
        assert_eq!(missing("early_cpio\n", &asked).len(), NEEDED.len());
    }
}
