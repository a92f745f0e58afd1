//! What becomes of one disk: what goes, what stays, and where what is new has its place.

use basalt_kickstart::Span;
use basalt_kickstart::model::Clear;
use basalt_sysroot::partition::{
    ESP_NAME, ESP_TYPE, Extent, ROOT_NAME, ROOT_X86_64_TYPE, VAR_NAME, VAR_TYPE,
};
use uuid::{Uuid, uuid};

use super::layout::{Ground, MIB, Wanted};
use super::place::{Request, gaps, place, whole};
use super::{DiskPlan, Make, PartPlan, Role};
use crate::facts::{Content, DiskFact, PartFact};
use crate::problems::Problems;

/// Of a Linux's data, and of its swap (Discoverable Partitions Specification).
const LINUX_TYPE: Uuid = uuid!("0fc63daf-8483-4772-8e79-3d69d8477de4");
const SWAP_TYPE: Uuid = uuid!("0657fd6d-a4ab-43c4-84e5-0933c84b4f4f");
/// Of a member of an array.
const RAID_TYPE: Uuid = uuid!("a19d880f-05fc-4d3b-a006-743f0f84911e");
/// Types that `clearpart --linux` removes; the last one is that of LVM.
const OF_A_LINUX: [Uuid; 6] = [
    LINUX_TYPE,
    SWAP_TYPE,
    ROOT_X86_64_TYPE,
    VAR_TYPE,
    RAID_TYPE,
    uuid!("e6d6d379-f507-44c2-a23c-238f2a3df928"),
];

/// What becomes of it.
pub(super) fn disk(
    ground: &mut Ground<'_>,
    fact: &DiskFact,
    wanted: &[&Wanted],
    span: Span,
    problems: &mut Problems,
) -> Option<DiskPlan> {
    let said = wanted.first().map_or(span, |it| it.span);
    if let Some(why) = &fact.refused {
        let (message, hint) = why.split_once("\nhint: ").unwrap_or((why, ""));
        problems.error(said, message, hint);
    }
    if ![512, 4096].contains(&fact.sector) {
        let message = format!("`{}` has sectors of {} bytes", fact.disk.name, fact.sector);
        problems.error(said, message, "use a disk with sectors of 512 or 4096 bytes");
    }
    let removed = removed(ground, fact, wanted);
    let keeps_table = keeps_table(ground, fact, said, problems);
    let is_kept =
        |part: &&PartFact| keeps_table && !removed.iter().any(|it| it.number == part.number);
    let stays: Vec<&PartFact> = fact.parts().iter().filter(is_kept).collect();
    let kept: Vec<Extent> = stays.iter().map(|part| part.extent).collect();
    let gaps = if keeps_table { gaps(fact.disk.size, &kept) } else { vec![whole(fact.disk.size)] };
    let new: Vec<&&Wanted> = wanted.iter().filter(|it| it.there.is_none()).collect();
    let requests: Vec<Request> = new.iter().map(|it| it.request).collect();
    let places = match place(&requests, &gaps) {
        Ok(places) => places,
        Err(at) => {
            no_room(fact, new[at], &gaps, problems);
            return None;
        }
    };
    let mut parts: Vec<PartPlan> = stays.iter().map(|part| stays_as(part, wanted)).collect();
    let taken: Vec<u32> = stays.iter().map(|part| part.number).collect();
    let mut numbers = (1..).filter(|number| !taken.contains(number));
    for (wanted, extent) in new.iter().zip(places) {
        let number = numbers.next().unwrap_or(u32::MAX);
        parts.push(new_part(ground, number, extent, wanted));
    }
    parts.sort_by_key(|part| part.number);
    // The table has no gaps between its numbers.
    (1..).zip(&mut parts).for_each(|(number, part)| part.number = number);
    let id = match &fact.content {
        Content::Table { id, .. } if keeps_table => *id,
        _ => (ground.new_id)(),
    };
    Some(DiskPlan {
        name: fact.disk.name.clone(),
        what: fact.disk.to_string(),
        size: fact.disk.size,
        sector: fact.sector,
        id,
        keeps_table,
        removed: if keeps_table { removed } else { fact.parts().to_vec() },
        parts,
    })
}

/// What `clearpart` removes of a disk, but for what is asked for to be used again.
fn removed(ground: &Ground<'_>, fact: &DiskFact, wanted: &[&Wanted]) -> Vec<PartFact> {
    let Some(clear) = ground.asked.clearpart.as_deref() else { return Vec::new() };
    if !ground.disks.is_cleared(ground.asked, &fact.disk.name) {
        return Vec::new();
    }
    let goes = |part: &&PartFact| match &clear.clear {
        Clear::All => true,
        Clear::None => false,
        Clear::Linux => OF_A_LINUX.contains(&part.kind),
        Clear::List(list) => list.iter().any(|it| it.trim_start_matches("/dev/") == part.device),
    };
    let is_used = |part: &&PartFact| {
        wanted.iter().any(|it| it.there.as_ref().is_some_and(|there| there.id == part.id))
    };
    fact.parts().iter().filter(|part| goes(part) && !is_used(part)).cloned().collect()
}

/// Whether the table stays, with whatever is not removed; says so where there is none to keep and
/// nobody said that there may be a new one.
fn keeps_table(ground: &Ground<'_>, fact: &DiskFact, span: Span, problems: &mut Problems) -> bool {
    let asked = ground.asked;
    let name = &fact.disk.name;
    let clear = asked.clearpart.as_ref().filter(|_| ground.disks.is_cleared(asked, name));
    if clear.is_some_and(|clear| clear.clear == Clear::All) {
        return false;
    }
    let may_begin = asked.zerombr || clear.is_some_and(|clear| clear.initlabel);
    match &fact.content {
        Content::Table { .. } => return true,
        Content::Nothing if may_begin => (),
        Content::Nothing => {
            let message = format!("`{name}` has no partition table");
            problems.error(span, message, "`zerombr` lets it have one");
        }
        Content::Other(what) => {
            let message = format!("`{name}` holds {what}, and nothing says that it may go");
            problems.error(span, message, "`clearpart --all --initlabel` removes all of it");
        }
    }
    false
}

fn no_room(fact: &DiskFact, wanted: &Wanted, gaps: &[Extent], problems: &mut Problems) {
    let largest = gaps.iter().map(|gap| gap.length).max().unwrap_or(0);
    let message = format!(
        "there is no room for `{}` of {} MiB on `{}`, which has {} MiB; its largest gap has {}",
        wanted.role.name(),
        wanted.request.least / MIB,
        fact.disk.name,
        fact.disk.size / MIB,
        largest / MIB
    );
    problems.error(wanted.span, message, "a larger disk, smaller sizes, or remove more of it");
}

/// A partition that was there and stays, or is used again.
fn stays_as(part: &PartFact, wanted: &[&Wanted]) -> PartPlan {
    let again = wanted.iter().find(|it| it.there.as_ref().is_some_and(|it| it.id == part.id));
    let same = PartPlan {
        number: part.number,
        extent: part.extent,
        kind: part.kind,
        id: part.id,
        name: part.name.clone(),
        flags: part.flags,
        role: Role::Other,
        make: Make::Keep,
    };
    let Some(again) = again else { return same };
    // The host knows its partitions by their types.
    let (kind, name) = kind(&again.role);
    let (kind, name) = match again.role {
        Role::Esp | Role::Root | Role::Var | Role::Member(_) => (kind, name.to_owned()),
        _ => (part.kind, part.name.clone()),
    };
    PartPlan { kind, name, role: again.role.clone(), make: again.make.clone(), ..same }
}

fn new_part(ground: &mut Ground<'_>, number: u32, extent: Extent, wanted: &Wanted) -> PartPlan {
    let (kind, name) = kind(&wanted.role);
    PartPlan {
        number,
        extent,
        kind,
        id: (ground.new_id)(),
        name: name.to_owned(),
        flags: 0,
        role: wanted.role.clone(),
        make: wanted.make.clone(),
    }
}

fn kind(role: &Role) -> (Uuid, &str) {
    match role {
        Role::Esp => (ESP_TYPE, ESP_NAME),
        Role::Root => (ROOT_X86_64_TYPE, ROOT_NAME),
        Role::Var => (VAR_TYPE, VAR_NAME),
        Role::Swap => (SWAP_TYPE, "swap"),
        Role::Member(name) => (RAID_TYPE, name),
        Role::Data(path) => (LINUX_TYPE, path.rsplit('/').next().unwrap_or_default()),
        Role::Other => (LINUX_TYPE, ""),
    }
}
