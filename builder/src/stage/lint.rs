//! Checks that a finished tree keeps every rule that an OSTree host needs, and names what breaks
//! one. Run after every composition: a rule that is only broken at boot costs an hour.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Result, bail};

use super::tree::kernel_versions;
use crate::definition::Definition;

mod checks;
mod units;
mod var;

/// Links that a finished tree must have.
const LINKS: [(&str, &str); 12] = [
    ("bin", "usr/bin"),
    ("sbin", "usr/sbin"),
    ("lib", "usr/lib"),
    ("lib64", "usr/lib64"),
    ("ostree", "sysroot/ostree"),
    ("home", "var/home"),
    ("root", "var/roothome"),
    ("opt", "var/opt"),
    ("srv", "var/srv"),
    ("mnt", "var/mnt"),
    ("media", "run/media"),
    ("usr/local", "../var/usrlocal"),
];
/// Folders that must be there and empty.
const EMPTY: [&str; 9] = ["boot", "dev", "efi", "proc", "run", "sys", "sysroot", "tmp", "var"];
/// What would make two hosts alike that must differ, or holds a secret.
const IDENTITY: [&str; 4] = [
    "usr/etc/hostname",
    "usr/etc/.pwd.lock",
    "usr/share/factory/var/lib/dbus/machine-id",
    "usr/share/factory/var/lib/systemd/random-seed",
];
/// How the names of a host's ssh keys begin, of whatever kind they are.
const SSH_HOST_KEY: &str = "ssh_host_";
/// What must not lie at the top, by how its name begins.
const NOT_AT_THE_TOP: [(&str, &str); 2] =
    [("vmlinuz", "boot entries name kernels"), ("initrd", "boot entries name initramfs images")];
/// Files without which a tree does not boot, or not as fast as it could.
const NEEDED: [(&str, &str); 8] = [
    ("usr/lib/systemd/systemd", "add `systemd` to `packages`"),
    ("usr/lib/ostree/prepare-root.conf", "an initramfs overlay has it"),
    ("usr/lib/os-release", "the builder writes it"),
    ("usr/bin/hostd", "give the folder of the host programs with `--host-programs`"),
    (var::DPKG_STATUS, "it is dpkg's database, moved out of /var"),
    ("usr/etc/ld.so.cache", "`ldconfig` makes it"),
    ("usr/lib/udev/hwdb.bin", "`systemd-hwdb --usr update` makes it"),
    (
        "usr/share/factory/var/lib/systemd/catalog/database",
        "`journalctl --update-catalog` makes it",
    ),
];
/// The ids that Debian gives to system accounts as packages ask for them. It begins with 100,
/// but that one is the group `users`, which is fixed.
const DYNAMIC_IDS: std::ops::Range<u32> = 101..1000;

/// Checks the tree.
///
/// # Errors
/// One or more rules are broken; the message has a line for each.
pub fn check(tree: &Path, definition: &Definition) -> Result<()> {
    let mut broken = Vec::new();
    check_links(tree, &mut broken);
    check_empty(tree, &mut broken);
    check_top(tree, &mut broken)?;
    check_kernel(tree, &mut broken)?;
    check_files(tree, &mut broken);
    check_fstab(tree, &mut broken);
    check_identity(tree, &mut broken);
    var::check(tree, &mut broken)?;
    units::check(tree, &mut broken);
    checks::check(tree, &mut broken)?;
    check_kinds(tree, &mut broken)?;
    check_accounts(tree, definition, &mut broken);
    if broken.is_empty() {
        return Ok(());
    }
    bail!("the tree is no OSTree host:\n  {}", broken.join("\n  "))
}

fn check_links(tree: &Path, broken: &mut Vec<String>) {
    for (path, target) in LINKS {
        match fs::read_link(tree.join(path)) {
            Ok(found) if found == Path::new(target) => (),
            Ok(found) => broken.push(format!(
                "`/{path}` is a link to `{}` and must lead to `{target}`",
                found.display()
            )),
            Err(_) => broken.push(format!("`/{path}` must be a link to `{target}`")),
        }
    }
}

fn check_empty(tree: &Path, broken: &mut Vec<String>) {
    for folder in EMPTY {
        match fs::read_dir(tree.join(folder)).map(|mut entries| entries.next()) {
            Ok(None) => (),
            Ok(Some(entry)) => {
                let name = entry.map(|entry| entry.file_name()).unwrap_or_default();
                let name = name.to_string_lossy();
                broken.push(format!("`/{folder}` must be empty and holds `{name}`"));
            }
            Err(_) => broken.push(format!("the folder `/{folder}` is missing")),
        }
    }
}

fn check_top(tree: &Path, broken: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(tree)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let link = NOT_AT_THE_TOP.iter().find(|(start, _)| name.starts_with(start));
        let why = if name == "etc" { Some("it is in /usr/etc") } else { link.map(|(_, why)| *why) };
        broken.extend(why.map(|why| format!("`/{name}` must not be there: {why}")));
    }
    Ok(())
}

fn check_kernel(tree: &Path, broken: &mut Vec<String>) -> Result<()> {
    let versions = kernel_versions(tree)?;
    let [version] = &versions[..] else {
        broken.push(format!("one kernel is needed and there are {}: {versions:?}", versions.len()));
        return Ok(());
    };
    for file in ["vmlinuz", "initramfs.img"] {
        let path = format!("usr/lib/modules/{version}/{file}");
        if !tree.join(&path).is_file() {
            broken.push(format!("`/{path}` is missing"));
        }
    }
    Ok(())
}

fn check_files(tree: &Path, broken: &mut Vec<String>) {
    for (path, hint) in NEEDED {
        if fs::metadata(tree.join(path)).is_err() {
            broken.push(format!("`/{path}` is missing: {hint}"));
        }
    }
}

fn check_fstab(tree: &Path, broken: &mut Vec<String>) {
    let fstab = fs::read_to_string(tree.join("usr/etc/fstab")).unwrap_or_default();
    let lines: Vec<Vec<&str>> =
        fstab.lines().map(|line| line.split_whitespace().collect()).collect();
    if !lines.iter().any(|line| line.get(1) == Some(&"/var")) {
        broken.push("`/usr/etc/fstab` has no line for `/var`".to_owned());
    }
    let binds = |line: &Vec<&str>| {
        line.starts_with(&["/sysroot/boot", "/boot", "none"])
            && line.get(3).is_some_and(|options| options.split(',').any(|word| word == "bind"))
    };
    if !lines.iter().any(binds) {
        broken.push(
            "`/usr/etc/fstab` does not say that ostree binds /boot: add `/sysroot/boot /boot none \
             bind,noauto 0 0`"
                .to_owned(),
        );
    }
}

fn check_identity(tree: &Path, broken: &mut Vec<String>) {
    let mut found: Vec<String> =
        IDENTITY.iter().filter(|path| tree.join(path).exists()).map(ToString::to_string).collect();
    let ssh = fs::read_dir(tree.join("usr/etc/ssh")).into_iter().flatten().flatten();
    let names = ssh.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let keys = names.filter(|name| name.starts_with(SSH_HOST_KEY));
    found.extend(keys.map(|name| format!("usr/etc/ssh/{name}")));
    let told = |path| format!("`/{path}` belongs to one machine and must not be in an image");
    broken.extend(found.into_iter().map(told));
    if fs::metadata(tree.join("usr/etc/machine-id")).is_ok_and(|meta| meta.len() > 0) {
        broken.push("`/usr/etc/machine-id` must be empty".to_owned());
    }
}

/// Device nodes, fifos and sockets have no form in OSTree; a file that anybody may write has no
/// place in a read-only /usr.
fn check_kinds(tree: &Path, broken: &mut Vec<String>) -> Result<()> {
    for entry in walkdir::WalkDir::new(tree) {
        let entry = entry?;
        let kind = entry.file_type();
        let path = || entry.path().strip_prefix(tree).unwrap_or(entry.path()).display().to_string();
        if kind.is_block_device() || kind.is_char_device() || kind.is_fifo() || kind.is_socket() {
            broken.push(format!("`/{}` is a device, fifo or socket", path()));
        } else if kind.is_file() && entry.metadata()?.mode() & 0o002 != 0 {
            broken.push(format!("`/{}` may be written by anybody", path()));
        }
    }
    Ok(())
}

/// Every account that a package made must have an id that the definition fixes, and no password.
fn check_accounts(tree: &Path, definition: &Definition, broken: &mut Vec<String>) {
    let users: BTreeSet<_> =
        definition.users.iter().map(|user| (user.name.as_str(), user.uid)).collect();
    let groups: BTreeSet<_> = definition
        .groups
        .iter()
        .map(|group| (group.name.as_str(), group.gid))
        .chain(definition.users.iter().map(|user| (user.name.as_str(), user.gid)))
        .collect();
    for (file, table, fixed) in [("passwd", "user", users), ("group", "group", groups)] {
        let text = fs::read_to_string(tree.join("usr/etc").join(file)).unwrap_or_default();
        for (name, id) in text.lines().filter_map(account) {
            if DYNAMIC_IDS.contains(&id) && !fixed.contains(&(name, id)) {
                broken.push(format!(
                    "the {table} `{name}` has the id {id} by chance: add `[[{table}]]` with \
                     `name = \"{name}\"` and an id of its own"
                ));
            }
        }
    }
    let shadow = fs::read_to_string(tree.join("usr/etc/shadow")).unwrap_or_default();
    for line in shadow.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(password)) = (fields.next(), fields.next())
            && !password.starts_with(['!', '*'])
        {
            broken.push(format!("the user `{name}` can log in with a password, or with none"));
        }
    }
}

/// Name and id of a line of `passwd` or `group`.
fn account(line: &str) -> Option<(&str, u32)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    Some((name, fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests;
