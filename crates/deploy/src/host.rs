//! The sysroot of a Basalt host: libostree's folders, deployments, and the slot links that boot
//! entries name.

use std::path::{Path, PathBuf};

use basalt_sysroot::slot::Slot;
use ostree::gio::{self, Cancellable};

use crate::DeployError;
use crate::error::Doing;
use crate::repo::Repo;

const NEVER: Option<&Cancellable> = None;
/// The name libostree keeps Basalt's deployments and `/var` under.
pub const OS_NAME: &str = "basalt";

/// A root file system that holds an OSTree repository and deployments.
pub struct HostSysroot {
    inner: ostree::Sysroot,
    path: PathBuf,
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
        let doing = || format!("deploy {commit} into slot {slot}");
        let origin = self.inner.origin_new_from_refspec(refspec);
        let merge = self.inner.merge_deployment(Some(OS_NAME));
        let deployment = self
            .inner
            .deploy_tree(Some(OS_NAME), commit, Some(&origin), merge.as_ref(), &[], NEVER)
            .doing(doing)?;
        // What frees space comes later, when the new slot is known to boot.
        let flags = ostree::SysrootSimpleWriteDeploymentFlags::NO_CLEAN
            | ostree::SysrootSimpleWriteDeploymentFlags::RETAIN;
        self.inner
            .simple_write_deployment(Some(OS_NAME), &deployment, merge.as_ref(), flags, NEVER)
            .doing(doing)?;
        let relative = self.inner.deployment_dirpath(&deployment).to_string();
        let link = relative.strip_prefix("ostree/").unwrap_or(&relative);
        self.point(slot, Path::new(link))?;
        Ok(Deployed { dir: self.path.join(&relative), link: PathBuf::from(link) })
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

    /// Points `slot`'s link at `target` (relative to the `ostree` folder), atomically.
    fn point(&self, slot: Slot, target: &Path) -> Result<(), DeployError> {
        let ostree = self.path.join("ostree");
        let link = ostree.join(slot.link_name());
        let temporary = ostree.join(format!("{}.new", slot.link_name()));
        let doing = || format!("link slot {slot} to `{}`", target.display());
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).doing(doing);
            }
            _ => (),
        }
        std::os::unix::fs::symlink(target, &temporary).doing(doing)?;
        std::fs::rename(&temporary, &link).doing(doing)?;
        let folder = std::fs::File::open(&ostree).doing(doing)?;
        rustix::fs::fsync(&folder).doing(doing)
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
