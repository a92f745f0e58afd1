//! Disks, partitions, arrays.

use std::collections::{BTreeMap, BTreeSet};

use super::twice;
use crate::diagnostic::Log;
use crate::disk::DiskSelector;
use crate::model::{At, Clear, ClearPart, IgnoreDisk, Kickstart, Part, Place, Use};
use crate::source::Span;

const ONE_ARRAY: &str = "each array has members of its own";
const USE_IT: &str = "name another disk, or let `ignoredisk` leave this one to the installer";

pub(super) fn check(kickstart: &Kickstart, log: &mut Log) {
    mounts(kickstart, log);
    members(kickstart, log);
    let devices = kickstart.raid.iter().map(|raid| (raid.device.as_str(), raid.span));
    twice(devices, |name| format!("there is an array `{name}` already"), log);
    with_autopart(kickstart, log);
    disks(kickstart, log);
    kept(kickstart, log);
}

/// What a host cannot be without, and what arrays and their members cannot be without each other.
pub(super) fn check_missing(kickstart: &Kickstart, log: &mut Log) {
    members_and_arrays(kickstart, log);
    if kickstart.autopart.is_some() {
        return;
    }
    let first = kickstart.part.first().map(|part| part.span);
    let first = first.or_else(|| kickstart.raid.first().map(|raid| raid.span));
    let Some(first) = first else {
        let message = "nothing says where the system goes";
        let hint =
            "`autopart`, or `reqpart` with `part / --size=…` and `part /var --size=… --grow`";
        return log.error(Span::new(0, 0..0), message, hint);
    };
    if !kickstart.part.iter().any(|part| part.usage.is_at("/")) {
        log.error(first, "there is no partition for `/`", "`part / --size=4096`");
    }
    let has_esp = kickstart.part.iter().any(|part| part.usage.is_esp());
    if !has_esp && kickstart.reqpart.is_none() {
        log.error(first, "there is no EFI partition", "`reqpart` makes it");
    }
}

fn mounts(kickstart: &Kickstart, log: &mut Log) {
    let parts = kickstart.part.iter().map(|part| (&part.usage, part.span));
    let raids = kickstart.raid.iter().map(|raid| (&raid.usage, raid.span));
    let mut all: Vec<_> = parts.chain(raids).collect();
    all.sort_by_key(|(_, span)| *span);
    let mounts = all.into_iter().filter_map(|(usage, span)| match usage {
        usage if usage.is_esp() => Some(("/boot/efi", span)),
        Use::Mount(path) => Some((path.as_str(), span)),
        _ => None,
    });
    twice(mounts, |path| format!("there is something for `{path}` already"), log);
}

fn members(kickstart: &Kickstart, log: &mut Log) {
    twice(named_members(kickstart), |name| format!("there is a `{name}` already"), log);
    let mut used = BTreeSet::new();
    for raid in &kickstart.raid {
        // Within one array it was told where the array was read.
        if let Some(name) = raid.members.iter().find(|name| used.contains(name)) {
            log.error(raid.span, format!("`{name}` is a member of another array"), ONE_ARRAY);
        }
        used.extend(&raid.members);
    }
    same_disk(kickstart, log);
}

/// Partitions that are members of arrays, by their names.
fn named_members(kickstart: &Kickstart) -> impl Iterator<Item = (&str, Span)> {
    kickstart.part.iter().filter_map(|part| match &part.usage {
        Use::RaidMember(name) => Some((name.as_str(), part.span)),
        _ => None,
    })
}

/// No member without an array, and no array without its members.
fn members_and_arrays(kickstart: &Kickstart, log: &mut Log) {
    let known: BTreeSet<&str> = named_members(kickstart).map(|(name, _)| name).collect();
    let used: BTreeSet<&str> =
        kickstart.raid.iter().flat_map(|raid| &raid.members).map(String::as_str).collect();
    for raid in &kickstart.raid {
        for name in raid.members.iter().filter(|name| !known.contains(name.as_str())) {
            let message = format!("there is no partition `{name}`");
            log.error(raid.span, message, &format!("`part {name} --size=… --ondisk=…`"));
        }
    }
    for (name, span) in named_members(kickstart).filter(|(name, _)| !used.contains(name)) {
        let message = format!("no array has the member `{name}`");
        log.error(span, message, &format!("`raid /var --device=var --level=1 {name} …`"));
    }
}

/// A mirror on one disk mirrors nothing.
fn same_disk(kickstart: &Kickstart, log: &mut Log) {
    let on_disk = |part: &At<Part>| match (&part.usage, &part.place) {
        (Use::RaidMember(name), Place::OnDisk(disk)) => Some((name.clone(), disk.clone())),
        _ => None,
    };
    let disks: BTreeMap<String, DiskSelector> = kickstart.part.iter().filter_map(on_disk).collect();
    for raid in &kickstart.raid {
        let mut seen = BTreeSet::new();
        let mut doubled = raid.members.iter().filter_map(|member| disks.get(member));
        if let Some(disk) = doubled.find(|disk| !seen.insert(*disk)) {
            let message = format!("two members are on the disk `{disk}`: it outlives no disk");
            log.error(raid.span, message, "name another disk in the second `--ondisk=`");
        }
    }
}

fn with_autopart(kickstart: &Kickstart, log: &mut Log) {
    let esp = kickstart.part.iter().find(|part| part.usage.is_esp());
    if let (Some(_), Some(esp)) = (&kickstart.reqpart, esp) {
        let message = "`reqpart` makes the EFI partition already";
        log.error(esp.span, message, "leave one of them away");
    }
    if kickstart.autopart.is_none() {
        return;
    }
    let parts = kickstart.part.iter().map(|part| ("part", part.span));
    let raids = kickstart.raid.iter().map(|raid| ("raid", raid.span));
    let required = kickstart.reqpart.iter().map(|it| ("reqpart", it.span));
    for (name, span) in parts.chain(raids).chain(required) {
        let message = format!("`{name}` contradicts `autopart`");
        log.error(span, message, "leave one of them away");
    }
}

/// What is used must not be ignored. Only like is compared with like: which disk a condition
/// means, the machine says.
fn disks(kickstart: &Kickstart, log: &mut Log) {
    let Some(ignore) = &kickstart.ignoredisk else { return };
    let parts = kickstart.part.iter().filter_map(|part| match &part.place {
        Place::OnDisk(disk) => Some((disk, part.span)),
        _ => None,
    });
    let boot = kickstart.bootloader.iter();
    let boot = boot.filter_map(|it| it.boot_drive.as_ref().map(|disk| (disk, it.span)));
    let clear = kickstart.clearpart.iter();
    let clear = clear.flat_map(|it| it.drives.iter().map(|disk| (disk, it.span)));
    for (disk, span) in parts.chain(boot).chain(clear).filter(|(it, _)| is_ignored(it, ignore)) {
        log.error(span, format!("`ignoredisk` leaves the disk `{disk}` alone"), USE_IT);
    }
}

fn is_ignored(disk: &DiskSelector, ignore: &IgnoreDisk) -> bool {
    let is_kernel_name = |disk: &DiskSelector| match disk {
        DiskSelector::Named(name) => !name.contains('/') && !name.contains(['*', '?']),
        DiskSelector::Like { .. } => false,
    };
    match ignore {
        IgnoreDisk::Drives(ignored) => ignored.contains(disk),
        IgnoreDisk::OnlyUse(used) => {
            is_kernel_name(disk) && used.iter().all(is_kernel_name) && !used.contains(disk)
        }
    }
}

/// What is kept must not be removed.
fn kept(kickstart: &Kickstart, log: &mut Log) {
    let Some(clear) = &kickstart.clearpart else { return };
    for part in &kickstart.part {
        let Place::OnPart(name) = &part.place else { continue };
        if removes(clear, name) {
            let message = format!("`clearpart` removes the partition `{name}` before");
            log.error(part.span, message, "`clearpart --list=` names those that go");
        }
    }
}

fn removes(clear: &At<ClearPart>, part: &str) -> bool {
    let is_on = |disk: &DiskSelector| match disk {
        DiskSelector::Named(name) => part.starts_with(name.as_str()),
        DiskSelector::Like { .. } => false,
    };
    match &clear.clear {
        Clear::None => false,
        Clear::List(parts) => parts.iter().any(|it| it.trim_start_matches("/dev/") == part),
        Clear::All | Clear::Linux => clear.drives.is_empty() || clear.drives.iter().any(is_on),
    }
}
