//! Deploys a commit into a new sysroot, as a host has it: what disks and live systems hold.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use basalt_deploy::{Deployed, HostSysroot, Repo};
use basalt_sysroot::slot::Slot;

use crate::cache::{Cache, remove_tree};
use crate::definition::Definition;
use crate::progress::Step;

/// The remote under which a host keeps the image's ref, and asks for the next one.
const REMOTE: &str = "basalt";

/// A sysroot in the cache's work folder.
pub(super) struct Laid {
    /// Its folder.
    pub(super) path: PathBuf,
    /// The commit in slot `a`.
    pub(super) deployed: Deployed,
    sysroot: HostSysroot,
}

impl Laid {
    /// Lays one out with `commit` in slot `a`.
    ///
    /// # Errors
    /// The commit is not in the cache, or there is no space.
    pub(super) fn lay(
        definition: &Definition,
        commit: &str,
        cache: &Cache,
        step: &Step,
    ) -> Result<Self> {
        let path = cache.tmp().join("sysroot");
        remove_tree(&path)?;
        fs::create_dir_all(&path)?;
        step.note("deploying");
        let sysroot = HostSysroot::init(&path)?;
        let repo = sysroot.repo()?;
        // The sysroot is copied and thrown away; the copy itself is synced.
        repo.without_fsync();
        repo.pull_local(&Repo::open(&cache.repo())?, commit)?;
        repo.set_remote_ref(REMOTE, &definition.ostree_ref, commit)?;
        let refspec = format!("{REMOTE}:{}", definition.ostree_ref);
        let deployed = sysroot.deploy(commit, &refspec, Slot::A)?;
        Ok(Self { path, deployed, sysroot })
    }

    /// What the boot menu calls the image: its own `PRETTY_NAME`.
    ///
    /// # Errors
    /// It has none.
    pub(super) fn title(&self) -> Result<String> {
        let text = fs::read_to_string(self.deployed.dir.join("usr/lib/os-release"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        Ok(line.context("the image's os-release has no PRETTY_NAME")?.trim_matches('"').to_owned())
    }

    /// Removes it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn clear(self) -> Result<()> {
        self.sysroot.thaw()?;
        remove_tree(&self.path)
    }
}
