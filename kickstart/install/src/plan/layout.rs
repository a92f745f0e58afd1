//! Which partitions every disk has in the end.

use basalt_kickstart::Span;
use basalt_kickstart::model::{At, Format, Kickstart, Part, Place, Use};
use basalt_sysroot::partition::{ALIGNMENT, ROOT_LABEL, SectorSize, VAR_NAME};
use uuid::Uuid;

use super::array::{ArrayPlan, arrays};
use super::disk::disk;
use super::disks::Disks;
use super::place::Request;
use super::{DiskPlan, Make, Role};
use crate::facts::{DiskFact, PartFact};
use crate::image::About;
use crate::problems::Problems;

pub(super) const MIB: u64 = 1 << 20;
/// As images have it.
const ESP_SIZE: u64 = 1 << 30;
/// A root of the installer's choosing has at least so many bytes.
const ROOT_SIZE: u64 = 4 << 30;
/// Less is no `/var` of a host: its own repart makes none below it, either.
pub(super) const VAR_LEAST: u64 = 1 << 30;
/// Bytes of a root beside two systems.
const ROOT_SPARE: u64 = 256 << 20;
/// Bytes of an ESP beside the kernels of two systems: loaders, FATs, folders.
const ESP_SPARE: u64 = 16 << 20;
/// Swap of the installer's choosing.
const SWAP_SIZE: u64 = 4 << 30;
/// A partition that is asked for.
pub(super) struct Wanted {
    pub(super) span: Span,
    pub(super) role: Role,
    pub(super) disk: String,
    /// The one that is used again, if it is there already.
    pub(super) there: Option<PartFact>,
    pub(super) request: Request,
    pub(super) make: Make,
}

/// What a layout is made from.
pub(super) struct Ground<'a> {
    pub(super) asked: &'a Kickstart,
    pub(super) about: &'a About,
    pub(super) disks: Disks<'a>,
    pub(super) new_id: &'a mut dyn FnMut() -> Uuid,
}

/// The disks, first the one that the machine boots from, and the arrays on them; nothing of use
/// where there are errors.
pub(super) fn layout(
    ground: &mut Ground<'_>,
    problems: &mut Problems,
) -> (Vec<DiskPlan>, Vec<ArrayPlan>) {
    let wanted = wanted(ground, problems);
    let Some(root) = wanted.iter().find(|it| it.role == Role::Root) else {
        return (Vec::new(), Vec::new());
    };
    let esp = wanted.iter().find(|it| it.role == Role::Esp);
    if let Some(esp) = esp.filter(|esp| esp.disk != root.disk) {
        let message = format!("it lies on `{}`, and the root on `{}`", esp.disk, root.disk);
        let hint = "the host looks for its root on the disk that it was booted from";
        problems.error(esp.span, message, hint);
    }
    ground.disks.check_boot(&root.disk, problems);
    let mut names = vec![root.disk.clone()];
    for name in wanted.iter().map(|it| &it.disk).chain(ground.disks.cleared()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let span = root.span;
    let plans = names.into_iter().filter_map(|name| {
        let fact = ground.disks.named(&name)?;
        let here: Vec<&Wanted> = wanted.iter().filter(|it| it.disk == name).collect();
        disk(ground, fact, &here, span, problems)
    });
    let disks: Vec<DiskPlan> = plans.collect();
    let arrays = arrays(ground, &wanted, &disks, problems);
    (disks, arrays)
}

/// All partitions that are asked for, in the order in which they lie on their disk.
fn wanted(ground: &mut Ground<'_>, problems: &mut Problems) -> Vec<Wanted> {
    let asked = ground.asked;
    let mut wanted = Vec::new();
    if let Some(auto) = &asked.autopart {
        let Some(disk) = ground.disks.any(auto.span, problems) else { return wanted };
        for role in [Role::Esp, Role::Root, Role::Var] {
            wanted.push(own(ground, role, disk, auto.span));
        }
        return wanted;
    }
    for part in &asked.part {
        wanted.extend(of_part(ground, part, problems));
    }
    let Some(root) = wanted.iter().find(|it| it.role == Role::Root) else { return wanted };
    let (disk, span) = (root.disk.clone(), root.span);
    let Some(fact) = ground.disks.named(&disk) else { return wanted };
    if let Some(reqpart) = &asked.reqpart {
        wanted.push(own(ground, Role::Esp, fact, reqpart.span));
    }
    // What a host would make itself at its first boot.
    let has_var = wanted.iter().any(|it| it.role == Role::Var)
        || asked.raid.iter().any(|raid| raid.usage.is_at("/var"));
    if !has_var {
        wanted.push(own(ground, Role::Var, fact, span));
    }
    let order = |it: &Wanted| match it.role {
        Role::Esp => 0,
        Role::Root => 1,
        _ => 2,
    };
    wanted.sort_by_key(order);
    wanted
}

/// One of the installer's own sizes.
fn own(ground: &mut Ground<'_>, role: Role, disk: &DiskFact, span: Span) -> Wanted {
    let needed = needed(&role, ground.about, disk.sector);
    let request = match role {
        Role::Esp => exactly(ESP_SIZE.max(needed)),
        Role::Root => exactly(ROOT_SIZE.max(needed).next_multiple_of(1 << 30)),
        _ => Request { least: VAR_LEAST, most: u64::MAX / ALIGNMENT * ALIGNMENT },
    };
    let make = make(ground, &role, None);
    Wanted { span, role, disk: disk.disk.name.clone(), there: None, request, make }
}

fn exactly(bytes: u64) -> Request {
    Request { least: bytes, most: bytes }
}

/// The least that a partition of this role must have.
fn needed(role: &Role, about: &About, sector: u64) -> u64 {
    let needed = match role {
        Role::Esp => {
            let sector = if sector == 4096 { SectorSize::B4096 } else { SectorSize::B512 };
            sector.smallest_esp().max(2 * about.boot_bytes + ESP_SPARE)
        }
        Role::Root => 2 * about.bytes + ROOT_SPARE,
        _ => 16 * MIB,
    };
    needed.next_multiple_of(ALIGNMENT)
}

fn of_part(ground: &mut Ground<'_>, part: &At<Part>, problems: &mut Problems) -> Option<Wanted> {
    let span = part.span;
    let role = match &part.usage {
        usage if usage.is_esp() => Role::Esp,
        usage if usage.is_at("/") => Role::Root,
        usage if usage.is_at("/var") => Role::Var,
        Use::Mount(path) => Role::Data(path.clone()),
        Use::Swap => Role::Swap,
        Use::RaidMember(name) => Role::Member(name.clone()),
    };
    let (disk, there) = match &part.place {
        Place::Any => (ground.disks.any(span, problems)?, None),
        Place::OnDisk(selector) => (ground.disks.select(selector, span, problems)?, None),
        Place::OnPart(name) => {
            let (disk, there) = find_part(&ground.disks, name, span, problems)?;
            (disk, Some(there.clone()))
        }
    };
    let needed = needed(&role, ground.about, disk.sector);
    let request = match &there {
        Some(there) => exactly(there.extent.length),
        None => request(part, needed),
    };
    if request.least < needed {
        let message = format!(
            "{} MiB are too few for `{}`: it needs {}",
            request.least / MIB,
            role.name(),
            needed.div_ceil(MIB)
        );
        problems.error(span, message, "raise its `--size=`");
    }
    let make = match &there {
        Some(there) if part.format.noformat => kept(&role, there, span, problems),
        _ => make(ground, &role, Some(&part.format)),
    };
    Some(Wanted { span, role, disk: disk.disk.name.clone(), there, request, make })
}

fn request(part: &Part, needed: u64) -> Request {
    let bytes = |mib: u64| mib.saturating_mul(MIB);
    let least = match part.size_mib {
        Some(size) => bytes(size),
        None if part.recommended => SWAP_SIZE,
        None => needed,
    };
    let most = match (part.grow, part.max_size_mib) {
        (false, _) => least,
        (true, Some(most)) => bytes(most).max(least),
        (true, None) => u64::MAX / ALIGNMENT * ALIGNMENT,
    };
    Request { least, most }
}

/// A partition that is there, as `--onpart=` names it.
fn find_part<'a>(
    disks: &Disks<'a>,
    name: &str,
    span: Span,
    problems: &mut Problems,
) -> Option<(&'a DiskFact, &'a PartFact)> {
    let all = disks.usable().flat_map(|disk| disk.parts().iter().map(move |part| (disk, part)));
    let is_it = |part: &PartFact| part.device == name || part.names.iter().any(|it| it == name);
    let found: Vec<_> = all.filter(|(_, part)| is_it(part)).collect();
    match found[..] {
        [one] => Some(one),
        [] => {
            problems.error(
                span,
                format!("there is no partition `{name}`"),
                "`lsblk -f` lists them",
            );
            None
        }
        _ => {
            let message = format!("{} partitions are called `{name}`", found.len());
            problems.error(span, message, "name it by `UUID=` or `PARTUUID=`");
            None
        }
    }
}

/// What stays as it is must be what a host can mount there.
fn kept(role: &Role, there: &PartFact, span: Span, problems: &mut Problems) -> Make {
    let holds = there.holds.as_deref().unwrap_or("nothing that is known");
    let fits = match role {
        Role::Var | Role::Data(_) => holds.starts_with("ext4"),
        Role::Swap => holds == "swap",
        Role::Esp | Role::Root | Role::Member(_) | Role::Other => false,
    };
    if !fits {
        let message = format!("`{}` holds {holds}, and cannot be kept there", there.device);
        problems.error(span, message, "leave `--noformat` away, and what is on it goes");
    }
    Make::Keep
}

pub(super) fn make(ground: &mut Ground<'_>, role: &Role, format: Option<&Format>) -> Make {
    let label = format.and_then(|format| format.label.clone());
    let options = format.and_then(|format| format.mkfsoptions.as_deref()).unwrap_or_default();
    let options: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
    let id = (ground.new_id)();
    match role {
        Role::Esp => Make::Fat,
        Role::Member(_) => Make::Member,
        Role::Swap => Make::Swap { id },
        // The initramfs and repart know these by their labels as images have them.
        Role::Root => Make::Ext4 { id, label: ROOT_LABEL.to_owned(), options },
        Role::Var => Make::Ext4 { id, label: label.unwrap_or(VAR_NAME.to_owned()), options },
        _ => Make::Ext4 { id, label: label.unwrap_or_default(), options },
    }
}
