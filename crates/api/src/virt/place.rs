//! Where `hostd-virt` keeps what it makes; `hostd` reads there what guests write.

use std::path::{Path, PathBuf};

use crate::id::WorkloadUid;

/// How many older pieces virtlogd leaves beside a log by default (`max_backups`).
const OLDER_LOGS: u32 = 3;

/// Folder of the verified images.
#[must_use]
pub fn images(state: &Path) -> PathBuf {
    state.join("images")
}

/// Folder of a machine's own files.
#[must_use]
pub fn machine(state: &Path, uid: WorkloadUid) -> PathBuf {
    state.join("machines").join(uid.to_string())
}

/// What the guest wrote to its serial console.
#[must_use]
pub fn serial_log(state: &Path, uid: WorkloadUid) -> PathBuf {
    machine(state, uid).join("serial.log")
}

/// Where a serial log may be, the oldest piece first and the one that is written last. Not all of
/// them are there.
#[must_use]
pub fn serial_logs(state: &Path, uid: WorkloadUid) -> Vec<PathBuf> {
    let folder = machine(state, uid);
    let older = (0..OLDER_LOGS).rev().map(|number| folder.join(format!("serial.log.{number}")));
    older.chain([serial_log(state, uid)]).collect()
}
