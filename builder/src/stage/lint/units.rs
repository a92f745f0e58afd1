//! Units that every host must run, and those that the builder has done the work of.

use std::fs;
use std::path::Path;

/// Makes the accounts that an update brings: /etc/passwd is not merged once a host changed it.
pub(super) const SYSUSERS: &str = "systemd-sysusers.service";
/// OSTree's fixed times make these run at every deployment.
pub(super) const DONE_BY_THE_BUILDER: [&str; 3] =
    ["ldconfig.service", "systemd-hwdb-update.service", "systemd-journal-catalog-update.service"];
/// Where a mask may lie.
const FOLDERS: [&str; 2] = ["usr/etc/systemd/system", "usr/lib/systemd/system"];

/// Checks what is masked and what is not.
pub(super) fn check(tree: &Path, broken: &mut Vec<String>) {
    if is_masked(tree, SYSUSERS) {
        broken.push(format!("`{SYSUSERS}` is masked: accounts that an update brings need it"));
    }
    for unit in DONE_BY_THE_BUILDER.iter().filter(|unit| !is_masked(tree, unit)) {
        broken
            .push(format!("`{unit}` would run at every deployment: add it to `mask` in `[units]`"));
    }
}

fn is_masked(tree: &Path, unit: &str) -> bool {
    let leads_nowhere = |folder: &str| {
        let target = fs::read_link(tree.join(folder).join(unit));
        target.is_ok_and(|target| target == Path::new("/dev/null"))
    };
    FOLDERS.iter().any(|folder| leads_nowhere(folder))
}
