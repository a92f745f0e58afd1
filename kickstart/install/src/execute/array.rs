//! Arrays, by `mdadm`.

use std::time::Duration;

use anyhow::{Context, Result};
use basalt_kickstart::model::RaidLevel;

use super::disk::{tool, wait_for};
use super::{device, format};
use crate::plan::ArrayPlan;

/// Writing what an array says of itself to each of its members.
const DEADLINE: Duration = Duration::from_secs(300);

/// Makes it of its members, with a file system in it. What it mirrors is not the same on all of
/// them yet: the kernel sees to that while the installation goes on, and on the host.
pub(super) fn make(plan: &ArrayPlan) -> Result<()> {
    let doing = || format!("cannot make the array `{}`", plan.name);
    let path = device(&plan.device());
    let working = plan.members.len() - plan.spares as usize;
    let mut cmd = tool("mdadm")
        .arg("--create")
        .arg(&path)
        .args(["--run", "--metadata=1.2", "--homehost=any"])
        .arg(format!("--name={}", plan.name))
        .arg(format!("--uuid={}", plan.id))
        .arg(format!("--level={}", level(plan.level)))
        .arg(format!("--raid-devices={working}"));
    if plan.spares > 0 {
        cmd = cmd.arg(format!("--spare-devices={}", plan.spares));
    }
    if let Some(chunk) = plan.chunk_kib {
        cmd = cmd.arg(format!("--chunk={chunk}K"));
    }
    if plan.level != RaidLevel::Raid0 {
        // After a power cut only what was being written is compared again.
        cmd = cmd.arg("--bitmap=internal");
    }
    let members = plan.members.iter().map(|name| device(name));
    cmd.args(members).deadline(DEADLINE).run().with_context(doing)?;
    wait_for(&path).with_context(doing)?;
    format::make_on(&path, &plan.role, &plan.make)
}

/// Stops it, once nothing of it is mounted: what it holds is on its members then.
pub(super) fn stop(plan: &ArrayPlan) -> Result<()> {
    let cmd = tool("mdadm").arg("--stop").arg(device(&plan.device())).deadline(DEADLINE);
    cmd.run().map(drop).with_context(|| format!("cannot stop the array `{}`", plan.name))
}

fn level(level: RaidLevel) -> &'static str {
    match level {
        RaidLevel::Raid0 => "0",
        RaidLevel::Raid1 => "1",
        RaidLevel::Raid10 => "10",
        RaidLevel::Raid5 => "5",
        RaidLevel::Raid6 => "6",
    }
}
