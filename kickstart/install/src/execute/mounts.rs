//! The file systems of the installed host, mounted for nobody but this process: what it mounts goes
//! with it, however it ends. They lie where scripts of Anaconda's users look for them:
//! `/mnt/sysimage` is the root, `/mnt/sysroot` the system as it will see itself.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, mount_remount, unmount,
};
use rustix::thread::UnshareFlags;

use super::device;
use crate::plan::{Make, Plan, Role};

/// Where everything is mounted.
const BASE: &str = "/mnt";
/// How long a file system may be in use that is to be unmounted.
const PATIENCE: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(100);

/// What is mounted.
pub(super) struct Mounts {
    base: PathBuf,
    root_device: PathBuf,
    /// Within the base, in the order in which it was mounted, of what the system is shown by.
    shown: Vec<PathBuf>,
    /// The same, of the host's own file systems beside its root.
    others: Vec<PathBuf>,
}

/// From now on nobody sees what this process mounts; what others unmount goes here, too. Call it
/// before there is a second thread.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn leave_the_others() -> Result<()> {
    let doing = "cannot make a mount namespace of its own\nhint: only root can install";
    unshare().context(doing)?;
    let from_others = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", from_others).context(doing)
}

#[expect(unsafe_code, reason = "rustix marks it so for a flag that is not used here")]
fn unshare() -> rustix::io::Result<()> {
    // SAFETY: only unsharing the table of open files (CLONE_FILES) can break what other threads
    // rely on, and it is not the flag here.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }
}

impl Mounts {
    /// Mounts root, `/var` and what lies below it.
    pub(super) fn begin(plan: &Plan) -> Result<Self> {
        fs::create_dir_all(BASE).with_context(|| format!("cannot make `{BASE}`"))?;
        let base = fs::canonicalize(BASE)?;
        attach("tmpfs", &base, "tmpfs", MountFlags::empty())?;
        let parts =
            || plan.disks.iter().flat_map(|disk| disk.parts.iter().map(move |part| (disk, part)));
        let of = |role: &Role| parts().find(|(_, part)| part.role == *role);
        let root = of(&Role::Root).context("the plan has no root")?;
        let mut mounts = Self {
            root_device: device(&root.0.device(root.1)),
            shown: Vec::new(),
            others: Vec::new(),
            base,
        };
        attach(&mounts.root_device, &mounts.root(), "ext4", MountFlags::empty())?;
        let mut others: Vec<_> = parts()
            .map(|(disk, part)| (&part.role, &part.make, disk.device(part)))
            .chain(plan.arrays.iter().map(|it| (&it.role, &it.make, it.device())))
            .filter_map(|(role, make, name)| match role {
                Role::Var => Some(("/var", make, name)),
                Role::Data(path) => Some((path.as_str(), make, name)),
                _ => None,
            })
            .collect();
        // What lies above comes first.
        others.sort_by_key(|(path, ..)| path.len());
        for (path, make, name) in others {
            let at = mounts.base.join(path.trim_start_matches('/'));
            let from = device(&name);
            if *make == Make::Keep {
                check(&from)?;
            }
            attach(&from, &at, "ext4", MountFlags::empty())?;
            mounts.others.push(at);
        }
        Ok(mounts)
    }

    /// The root file system.
    pub(super) fn root(&self) -> PathBuf {
        self.base.join("sysimage")
    }

    /// The host's `/var`.
    pub(super) fn var(&self) -> PathBuf {
        self.base.join("var")
    }

    /// The host's `/`, as it sees it itself.
    pub(super) fn system(&self) -> PathBuf {
        self.base.join("sysroot")
    }

    /// Mounts a deployment as a system sees itself: `/usr` cannot be written, for its files are those
    /// of the repository.
    pub(super) fn show_system(&mut self, deployment: &Path) -> Result<()> {
        let system = self.system();
        self.bind(deployment, &system)?;
        self.bind(&system.join("usr"), &system.join("usr"))?;
        let read_only = MountFlags::BIND | MountFlags::RDONLY;
        mount_remount(system.join("usr"), read_only, "").context("cannot protect `/usr`")?;
        let (var, root) = (self.var(), self.root());
        mount_bind_recursive(&var, system.join("var")).context("cannot bind `/var`")?;
        self.shown.push(system.join("var"));
        self.bind(&root, &system.join("sysroot"))?;
        for folder in ["dev", "proc", "sys"] {
            let at = system.join(folder);
            mount_bind_recursive(Path::new("/").join(folder), &at)
                .with_context(|| format!("cannot bind `{}`", at.display()))?;
            self.shown.push(at);
        }
        for folder in ["run", "tmp"] {
            let at = system.join(folder);
            attach("tmpfs", &at, "tmpfs", MountFlags::empty())?;
            self.shown.push(at);
        }
        Ok(())
    }

    /// Takes the root from the kernel's cache, and mounts what the disk has of it, to be read. All
    /// other file systems are safe on their disks, too.
    pub(super) fn reread_root(&mut self) -> Result<()> {
        self.hide_system()?;
        for at in &self.others {
            let synced = File::open(at).and_then(|folder| Ok(rustix::fs::syncfs(&folder)?));
            synced.with_context(|| format!("cannot make `{}` safe", at.display()))?;
        }
        let root = self.root();
        take_off(&root)?;
        attach(&self.root_device, &root, "ext4", MountFlags::RDONLY)
    }

    /// Unmounts all but the root, so that it is on the disks; of the root nothing was written since
    /// it was [read again](Self::reread_root).
    pub(super) fn end_what_is_written(&mut self) -> Result<()> {
        self.hide_system()?;
        std::mem::take(&mut self.others).iter().rev().try_for_each(|at| take_off(at))
    }

    /// Unmounts all of it.
    pub(super) fn end(mut self) -> Result<()> {
        self.end_what_is_written()?;
        take_off(&self.root())
    }

    fn hide_system(&mut self) -> Result<()> {
        for at in std::mem::take(&mut self.shown).iter().rev() {
            // What is mounted below goes along.
            unmount(at, UnmountFlags::DETACH)
                .with_context(|| format!("cannot unmount `{}`", at.display()))?;
        }
        Ok(())
    }

    fn bind(&mut self, from: &Path, at: &Path) -> Result<()> {
        let doing = || format!("cannot bind `{}` to `{}`", from.display(), at.display());
        fs::create_dir_all(at).with_context(doing)?;
        mount_bind(from, at).with_context(doing)?;
        self.shown.push(at.to_owned());
        Ok(())
    }
}

fn attach(from: impl AsRef<Path>, at: &Path, kind: &str, flags: MountFlags) -> Result<()> {
    let from = from.as_ref();
    let doing = || format!("cannot mount `{}` at `{}`", from.display(), at.display());
    if !at.exists() {
        fs::create_dir_all(at).with_context(doing)?;
    }
    mount(from, at, kind, flags, None).with_context(doing)
}

/// What somebody else wrote there may be damaged; only what is clean is gone on with.
fn check(device: &Path) -> Result<()> {
    let fsck = super::disk::tool("e2fsck").arg("-p").arg(device);
    let output = fsck.deadline(Duration::from_secs(3600)).output()?;
    match output.status.code() {
        // Clean, or mended by what cannot lose anything.
        Some(0 | 1) => Ok(()),
        _ => bail!(
            "the file system on `{}` is damaged, and is to be kept\nhint: `e2fsck {}` mends it",
            device.display(),
            device.display()
        ),
    }
}

/// Unmounts it for good: all of it is on the disk then.
fn take_off(at: &Path) -> Result<()> {
    let began = Instant::now();
    loop {
        match unmount(at, UnmountFlags::NOFOLLOW) {
            Ok(()) => return Ok(()),
            Err(Errno::BUSY) if began.elapsed() < PATIENCE => sleep(AGAIN),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot unmount `{}`", at.display()));
            }
        }
    }
}
