//! Makes the root file system: ext4 with the sysroot in it, by e2fsprogs, at its place in the
//! disk's file.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use basalt_cmd::{Cmd, CmdError};
use basalt_sysroot::partition::{Extent, ROOT_LABEL};
use uuid::Uuid;

use super::DiskError;

/// Everything is named, so that the build machine's own `mke2fs.conf` changes nothing. The seed of
/// the checksums is kept apart from the id, so that whoever writes the image to a disk can give it
/// a new id without rewriting every inode. `orphan_file` is newer than Debian 12's e2fsprogs
/// default and would let its disks differ from Debian 13's.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,\
    flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum,\
    metadata_csum_seed";
/// Bytes of the disk for each inode: a deployment has many small files, most of them hard links.
const BYTES_PER_INODE: &str = "16384";
/// Copying a whole sysroot onto a slow disk.
const DEADLINE: Duration = Duration::from_secs(30 * 60);
/// Where a deployment's folder lies: `ostree/deploy/OS/deploy/CHECKSUM.N`.
const STATEROOTS: &str = "ostree/deploy";
/// An inode's flags as `debugfs` prints them: mapped by extents, and immutable.
const IMMUTABLE: &str = "0x80010";

/// Fills `extent` of the file `disk` with an ext4 that holds what `sysroot` holds.
pub(super) fn write(
    disk: &Path,
    extent: Extent,
    sysroot: &Path,
    id: Uuid,
) -> Result<(), DiskError> {
    let made = mke2fs(disk, extent, sysroot, id).run();
    made.map_err(|error| explain(error, disk, extent, sysroot))?;
    protect_deployments(disk, extent, sysroot)
}

fn mke2fs(disk: &Path, extent: Extent, sysroot: &Path, id: Uuid) -> Cmd {
    // The file is fresh: there is nothing to discard, and its holes are the zeros that inode
    // tables and journal must have, so nothing is left for the kernel to zero at the first mount.
    let extended = format!(
        "offset={},nodiscard,assume_storage_prezeroed=1,root_owner=0:0,lazy_itable_init=0,\
         lazy_journal_init=0",
        extent.start
    );
    let kib = format!("{}k", extent.length >> 10);
    e2fsprogs("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-O", FEATURES, "-b", "4096", "-I", "256"])
        // Only root writes there, so no blocks are kept back for it.
        .args(["-i", BYTES_PER_INODE, "-m", "0", "-L", ROOT_LABEL, "-U", &id.to_string()])
        .arg("-d")
        .arg(sysroot)
        .args(["-E", &extended])
        .arg(disk)
        .arg(kib)
        .deadline(DEADLINE)
}

fn explain(error: CmdError, disk: &Path, extent: Extent, sysroot: &Path) -> DiskError {
    let text = error.to_string();
    // Texts of libext2fs's error table, in the C locale.
    if text.contains("No space left on device") {
        return DiskError::NoSpace { path: disk.to_owned() };
    }
    if text.contains("Could not allocate block") || text.contains("Could not allocate inode") {
        let sysroot = sysroot.to_owned();
        return DiskError::RootFull { root: extent.length, sysroot, source: error };
    }
    DiskError::Tool(error)
}

/// libostree makes a deployment's folder immutable, so that nothing lands beside its /usr by
/// mistake; `mke2fs -d` does not copy that flag.
fn protect_deployments(disk: &Path, extent: Extent, sysroot: &Path) -> Result<(), DiskError> {
    let deployments = deployments(sysroot)?;
    if deployments.is_empty() {
        return Ok(());
    }
    let mut script = String::new();
    for path in &deployments {
        let path = path.display();
        script.push_str(&format!("set_inode_field /{path} flags {IMMUTABLE}\nstat /{path}\n"));
    }
    // debugfs takes options behind a question mark, so the folder must not be part of the name.
    let mut name = disk.file_name().unwrap_or_default().to_owned();
    name.push(format!("?offset={}", extent.start));
    let folder = disk.parent().filter(|folder| !folder.as_os_str().is_empty());
    let debugfs = e2fsprogs("debugfs").args(["-w", "-f", "-"]).arg(name).stdin(script);
    let output = debugfs.current_dir(folder.unwrap_or(Path::new("."))).run();
    let output = output.map_err(DiskError::Tool)?;
    let done = output.stdout_text().matches(&format!("Flags: {IMMUTABLE}")).count();
    if done == deployments.len() {
        return Ok(());
    }
    // It ends with 0 whatever happened.
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(DiskError::Protect { said })
}

/// The folders of all deployments, seen from the sysroot.
fn deployments(sysroot: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let mut found = Vec::new();
    for stateroot in folders(&sysroot.join(STATEROOTS))? {
        found.extend(folders(&stateroot.join("deploy"))?);
    }
    Ok(found.iter().filter_map(|path| Some(path.strip_prefix(sysroot).ok()?.to_owned())).collect())
}

fn folders(path: &Path) -> Result<Vec<PathBuf>, DiskError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let failed = |source| DiskError::Read { path: path.to_owned(), source };
    let mut found = Vec::new();
    for entry in path.read_dir().map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// A tool of e2fsprogs. They lie where only root's PATH looks, and speak the user's language.
fn e2fsprogs(name: &str) -> Cmd {
    let mut path = OsString::from("/usr/sbin:/sbin");
    if let Some(more) = std::env::var_os("PATH").filter(|more| !more.as_bytes().is_empty()) {
        path.push(OsStr::new(":"));
        path.push(more);
    }
    Cmd::new(name).env("PATH", path).env("LC_ALL", "C")
}
