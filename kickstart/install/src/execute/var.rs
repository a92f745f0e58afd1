//! What a first boot makes of a new `/var`, before a script of `%post` looks for it: `/root`, `/home`,
//! `/opt`, `/srv`, `/mnt` and `/usr/local` of a host lead there.
//!
//! The installer's own systemd-tmpfiles makes it, by what the new system says, as that system's does
//! at each boot, which finds it done and changes nothing of it.

use std::time::Duration;

use super::disk::tool;
use super::mounts::Mounts;
use crate::log::Log;
use crate::plan::{Make, Plan, Role};

/// It copies a few files at most.
const DEADLINE: Duration = Duration::from_secs(300);
/// A boot is good, too, where a line makes no sense (65) or cannot be carried out (73), as
/// systemd-tmpfiles-setup.service says.
const GOOD: [i32; 3] = [0, 65, 73];

/// Makes it. A file system below `/var` that is kept stays as it is. What cannot be made is told: a
/// script that wants it fails.
pub(super) fn make(plan: &Plan, mounts: &Mounts, log: &mut Log) {
    let tmpfiles = tool("systemd-tmpfiles").arg(format!("--root={}", mounts.system().display()));
    let tmpfiles = tmpfiles.args(["--create", "--boot", "--prefix=/var"]);
    let tmpfiles = tmpfiles.args(kept(plan).map(|path| format!("--exclude-prefix={path}")));
    // What credentials provide, the host's own do.
    let tmpfiles = tmpfiles.env_remove("CREDENTIALS_DIRECTORY").deadline(DEADLINE);
    let lacks = "warning: `/var` lacks what a first boot makes:";
    match tmpfiles.output() {
        Ok(output) => {
            for line in String::from_utf8_lossy(&output.stderr).lines() {
                log.say(&format!("  {line}"));
            }
            if !output.status.code().is_some_and(|code| GOOD.contains(&code)) {
                log.say(&format!("{lacks} {}", output.status));
            }
        }
        Err(error) => log.say(&format!("{lacks} {error}")),
    }
}

fn kept(plan: &Plan) -> impl Iterator<Item = &str> {
    let parts = plan.disks.iter().flat_map(|disk| &disk.parts);
    parts.filter(|part| part.make == Make::Keep).filter_map(|part| match &part.role {
        Role::Data(path) => Some(path.as_str()),
        _ => None,
    })
}
