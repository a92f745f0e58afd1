//! File systems: ext4 by `mke2fs`, swap by `mkswap`.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::device;
use super::disk::tool;
use crate::plan::{DiskPlan, Make, PartPlan, Role};

/// A large slow disk, whose blocks are discarded before.
const DEADLINE: Duration = Duration::from_secs(30 * 60);
/// As images have it: the host's own `mke2fs.conf` changes nothing.
const FEATURES: &str = "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,\
    flex_bg,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum,\
    metadata_csum_seed";
/// A deployment has many small files, most of them hard links.
const ROOT_BYTES_PER_INODE: &str = "16384";

pub(super) fn make(disk: &DiskPlan, part: &PartPlan) -> Result<()> {
    make_on(&device(&disk.device(part)), &part.role, &part.make)
}

/// Makes it on a partition or an array.
pub(super) fn make_on(path: &Path, role: &Role, make: &Make) -> Result<()> {
    let doing = || format!("cannot make a file system on `{}`", path.display());
    let cmd = match make {
        Make::Keep | Make::Fat | Make::Member => return Ok(()),
        Make::Swap { id } => tool("mkswap").args(["-q", "-U", &id.to_string()]),
        Make::Ext4 { id, label, options } => {
            let cmd = tool("mke2fs").args(["-q", "-F", "-t", "ext4", "-O", FEATURES, "-I", "256"]);
            let cmd = cmd.args(["-b", "4096", "-L", label, "-U", &id.to_string()]);
            let cmd = match role {
                // Only root writes there, so no blocks are kept back for it.
                Role::Root => cmd.args(["-i", ROOT_BYTES_PER_INODE, "-m", "0"]),
                _ => cmd.args(["-m", "1"]),
            };
            cmd.args(options)
        }
    };
    cmd.arg(path).deadline(DEADLINE).run().map(drop).with_context(doing)
}
