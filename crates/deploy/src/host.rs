//! The sysroot of a Basalt host: libostree's folders, deployments, and the slot links that boot
//! entries name.

use std::path::{Path, PathBuf};

use basalt_sysroot::slot::Slot;
use ostree::gio;

use crate::DeployError;
use crate::error::Doing;
use crate::repo::{NEVER, Repo};
use crate::slots::target;

/// The name libostree keeps Basalt's deployments and `/var` under.
pub const OS_NAME: &str = "basalt";

/// A root file system that holds an OSTree repository and deployments.
pub struct HostSysroot {
    pub(crate) inner: ostree::Sysroot,
    pub(crate) path: PathBuf,
}

/// A commit that was deployed into a slot.
#[derive(Debug, Clone)]
pub struct Deployed {
    /// Its folder, as an absolute path.
    pub dir: PathBuf,
    /// What the slot's link holds: the same folder, relative to the sysroot's `ostree` folder.
    pub link: PathBuf,
}

impl HostSysroot {
    /// Lays out an empty sysroot in the existing folder `path`, or opens the one that is there.
    ///
    /// # Errors
    /// `path` cannot be written.
    pub fn init(path: &Path) -> Result<Self, DeployError> {
        let doing = || format!("lay out the sysroot `{}`", path.display());
        // libostree puts its own entries into /boot and wants it there.
        std::fs::create_dir_all(path.join("boot")).doing(doing)?;
        let inner = ostree::Sysroot::new(Some(&gio::File::for_path(path)));
        inner.ensure_initialized(NEVER).doing(doing)?;
        inner.load(NEVER).doing(doing)?;
        let sysroot = Self { inner, path: path.to_owned() };
        sysroot.configure()?;
        if !path.join("ostree/deploy").join(OS_NAME).is_dir() {
            sysroot.inner.init_osname(OS_NAME, NEVER).doing(doing)?;
        }
        Ok(sysroot)
    }

    /// Its repository.
    ///
    /// # Errors
    /// The repository cannot be opened.
    pub fn repo(&self) -> Result<Repo, DeployError> {
        let inner = self.inner.repo();
        Repo::opened(inner, &self.path.join("ostree/repo"))
    }

    /// Deploys `commit`, known to the repository under `refspec`, and points `slot` at it.
    /// The other slot's deployment stays.
    ///
    /// # Errors
    /// The commit is not whole, or the disk is full.
    pub fn deploy(&self, commit: &str, refspec: &str, slot: Slot) -> Result<Deployed, DeployError> {
        let deployment = self.deploy_beside(commit, refspec, None)?;
        self.point(slot, &deployment)?;
        let link = PathBuf::from(target(&deployment));
        Ok(Deployed { dir: self.path.join("ostree").join(&link), link })
    }

    /// Takes the immutable flag off every deployment, so that a work folder can be deleted.
    ///
    /// # Errors
    /// The file system refuses.
    pub fn thaw(&self) -> Result<(), DeployError> {
        for deployment in self.inner.deployments() {
            self.inner
                .deployment_set_mutable(&deployment, true, NEVER)
                .doing(|| "make a deployment deletable".to_owned())?;
        }
        Ok(())
    }

    /// Boot entries are Basalt's own affair, and a running host sees `/sysroot` read-only.
    fn configure(&self) -> Result<(), DeployError> {
        let repo = self.inner.repo();
        let config = repo.copy_config();
        config.set_string("sysroot", "bootloader", "none");
        config.set_string("sysroot", "readonly", "true");
        let doing = || format!("configure `{}`", self.path.join("ostree/repo").display());
        repo.write_config(&config).doing(doing)?;
        repo.reload_config(NEVER).doing(doing)
    }
}
