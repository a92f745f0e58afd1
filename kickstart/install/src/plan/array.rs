//! Arrays: which partitions become one, and what it is for.

use basalt_kickstart::model::{At, Raid, RaidLevel, Use};
use serde::Serialize;
use uuid::Uuid;

use super::layout::{Ground, MIB, VAR_LEAST, Wanted, make};
use super::{DiskPlan, Make, Role};
use crate::problems::Problems;

/// An array that is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ArrayPlan {
    /// Its name; the kernel has it as `/dev/md/NAME`.
    pub name: String,
    /// Its id.
    pub id: Uuid,
    /// How it is laid out.
    pub level: RaidLevel,
    /// The kernel's names of its partitions; the last ones are the spares.
    pub members: Vec<String>,
    /// How many spares there are.
    pub spares: u32,
    /// KiB of a chunk; none where `mdadm` chooses.
    pub chunk_kib: Option<u64>,
    /// What it is for.
    pub role: Role,
    /// What is made of it.
    pub make: Make,
}

impl ArrayPlan {
    /// Where it is once it is assembled.
    #[must_use]
    pub fn device(&self) -> String {
        format!("md/{}", self.name)
    }
}

/// What is asked of arrays, once it is known where their members lie.
pub(super) fn arrays(
    ground: &mut Ground<'_>,
    wanted: &[Wanted],
    disks: &[DiskPlan],
    problems: &mut Problems,
) -> Vec<ArrayPlan> {
    let asked = ground.asked;
    asked.raid.iter().filter_map(|raid| array(ground, raid, wanted, disks, problems)).collect()
}

fn array(
    ground: &mut Ground<'_>,
    raid: &At<Raid>,
    wanted: &[Wanted],
    disks: &[DiskPlan],
    problems: &mut Problems,
) -> Option<ArrayPlan> {
    let level = raid.level?;
    let role = match &raid.usage {
        usage if usage.is_at("/var") => Role::Var,
        Use::Mount(path) => Role::Data(path.clone()),
        Use::Swap => Role::Swap,
        // The language has refused it.
        Use::RaidMember(_) => return None,
    };
    let is_member = |role: &Role| matches!(role, Role::Member(name) if raid.members.contains(name));
    let sizes = wanted.iter().filter(|it| is_member(&it.role)).map(|it| it.request.least);
    let spares = usize::try_from(raid.spares).unwrap_or(usize::MAX);
    let working = raid.members.len().saturating_sub(spares);
    let capacity = sizes.min().unwrap_or(0).saturating_mul(data_members(level, working));
    if role == Role::Var && capacity < VAR_LEAST {
        let message = format!(
            "an array of {} MiB is too small for `/var`: it needs {}",
            capacity / MIB,
            VAR_LEAST / MIB
        );
        problems.error(raid.span, message, "raise the `--size=` of its members");
    }
    let device = |name: &String| {
        disks.iter().find_map(|disk| {
            let is_it = |role: &Role| matches!(role, Role::Member(it) if it == name);
            let part = disk.parts.iter().find(|part| is_it(&part.role))?;
            Some(disk.device(part))
        })
    };
    let make = make(ground, &role, Some(&raid.format));
    Some(ArrayPlan {
        name: raid.device.clone(),
        id: (ground.new_id)(),
        level,
        // One that is missing was told where its partition is.
        members: raid.members.iter().filter_map(device).collect(),
        spares: raid.spares,
        chunk_kib: raid.chunk_kib,
        role,
        make,
    })
}

/// How many of its members hold what is different.
fn data_members(level: RaidLevel, working: usize) -> u64 {
    let members = working as u64;
    match level {
        RaidLevel::Raid0 => members,
        RaidLevel::Raid1 => 1,
        RaidLevel::Raid10 => members / 2,
        RaidLevel::Raid5 => members.saturating_sub(1),
        RaidLevel::Raid6 => members.saturating_sub(2),
    }
}
