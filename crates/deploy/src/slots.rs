//! The deployments of a sysroot and the two links that say which of them boots.
//!
//! libostree keeps a list of deployments and flips its own links at every change; a boot entry of
//! Basalt's names a slot, and a slot is a link that only changes here.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use basalt_sysroot::slot::Slot;
use basalt_sysroot::update::Deployment;
use ostree::SysrootSimpleWriteDeploymentFlags as Flags;
use ostree::gio;

use crate::DeployError;
use crate::error::Doing;
use crate::host::{HostSysroot, OS_NAME};
use crate::repo::NEVER;

/// Between two looks at a sysroot that somebody changes.
const AGAIN: Duration = Duration::from_millis(100);

/// What a slot's link holds: the deployment's folder, relative to the sysroot's `ostree` folder.
pub(crate) fn target(deployment: &Deployment) -> String {
    format!("deploy/{OS_NAME}/deploy/{deployment}")
}

impl HostSysroot {
    /// Opens the sysroot at `path`, `/` on a running host, to change it; nobody else may until it
    /// is dropped. Where `/sysroot` is read-only, this process sees it writable from now on, in a
    /// mount namespace of its own: call it before there is a second thread. One who changes it is
    /// waited for as long as `patience` lasts.
    ///
    /// # Errors
    /// It is no sysroot, cannot be made writable, or somebody else changes it.
    pub fn open(path: &Path, patience: Duration) -> Result<Self, DeployError> {
        let doing = || format!("open the sysroot `{}`", path.display());
        let inner = ostree::Sysroot::new(Some(&gio::File::for_path(path)));
        inner.initialize_with_mount_namespace(NEVER).doing(doing)?;
        let began = Instant::now();
        while !inner.try_lock().doing(doing)? {
            if began.elapsed() >= patience {
                return Err(DeployError::Busy(path.to_owned()));
            }
            sleep(AGAIN);
        }
        inner.load(NEVER).doing(doing)?;
        Ok(Self { inner, path: path.to_owned() })
    }

    /// Opens it to look, whoever changes it meanwhile; nothing may be changed through this.
    ///
    /// # Errors
    /// It is no sysroot.
    pub fn look(path: &Path) -> Result<Self, DeployError> {
        let doing = || format!("open the sysroot `{}`", path.display());
        let inner = ostree::Sysroot::new(Some(&gio::File::for_path(path)));
        inner.load(NEVER).doing(doing)?;
        Ok(Self { inner, path: path.to_owned() })
    }

    /// Where the link of `slot` leads; `None` when there is no such link or it leads nowhere.
    ///
    /// # Errors
    /// The link cannot be read.
    pub fn link(&self, slot: Slot) -> Result<Option<Deployment>, DeployError> {
        let link = self.link_path(slot);
        let to = match fs::read_link(&link) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            to => to.doing(|| format!("read the link `{}`", link.display()))?,
        };
        let name = to.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let deployment: Option<Deployment> = name.parse().ok();
        Ok(deployment.filter(|it| Path::new(&target(it)) == to && self.dir(it).is_dir()))
    }

    /// The link of a slot, which leads to a deployment.
    #[must_use]
    pub fn link_path(&self, slot: Slot) -> PathBuf {
        self.ostree().join(slot.link_name())
    }

    /// The folder of a deployment: what its `/` is once it has booted.
    #[must_use]
    pub fn dir(&self, deployment: &Deployment) -> PathBuf {
        self.ostree().join(target(deployment))
    }

    /// Everything that is deployed, also what a cut left half.
    ///
    /// # Errors
    /// The folder of deployments cannot be read.
    pub fn deployments(&self) -> Result<Vec<Deployment>, DeployError> {
        let folder = self.ostree().join(format!("deploy/{OS_NAME}/deploy"));
        let doing = || format!("list `{}`", folder.display());
        let mut found = Vec::new();
        for entry in fs::read_dir(&folder).doing(doing)? {
            let name = entry.doing(doing)?.file_name();
            found.extend(name.to_str().and_then(|name| name.parse::<Deployment>().ok()));
        }
        found.sort();
        Ok(found)
    }

    /// Deploys `commit`, known to the repository under `refspec`, with what was changed in the
    /// `/etc` of `running` merged into it. No link leads to it yet; every other deployment stays.
    ///
    /// # Errors
    /// The commit is not whole, or the disk is full.
    pub fn deploy_beside(
        &self,
        commit: &str,
        refspec: &str,
        running: Option<&Deployment>,
    ) -> Result<Deployment, DeployError> {
        let doing = || format!("deploy {commit}");
        let origin = self.inner.origin_new_from_refspec(refspec);
        let merge = running.and_then(|running| self.known(running));
        let made = self
            .inner
            .deploy_tree(Some(OS_NAME), commit, Some(&origin), merge.as_ref(), &[], NEVER)
            .doing(doing)?;
        // What frees space comes later, when the new slot has its entry.
        let flags = Flags::NO_CLEAN | Flags::RETAIN;
        self.inner
            .simple_write_deployment(Some(OS_NAME), &made, merge.as_ref(), flags, NEVER)
            .doing(doing)?;
        Ok(name_of(&made))
    }

    /// What the repository knows a deployment's commit under, as `remote:ref`.
    ///
    /// # Errors
    /// Its origin cannot be read.
    pub fn refspec(&self, deployment: &Deployment) -> Result<String, DeployError> {
        let doing = || format!("read the origin of {deployment}");
        let origin = self.known(deployment).and_then(|it| it.origin());
        let origin =
            origin.ok_or_else(|| std::io::Error::from(ErrorKind::NotFound)).doing(doing)?;
        Ok(origin.string("origin", "refspec").doing(doing)?.to_string())
    }

    /// Points the link of `slot` at a deployment, by a rename; safe once the disk is synced.
    ///
    /// # Errors
    /// The sysroot cannot be written.
    pub fn point(&self, slot: Slot, deployment: &Deployment) -> Result<(), DeployError> {
        let ostree = self.ostree();
        let link = ostree.join(slot.link_name());
        let temporary = ostree.join(format!("{}.new", slot.link_name()));
        let doing = || format!("link slot {slot} to {deployment}");
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).doing(doing),
            _ => (),
        }
        symlink(target(deployment), &temporary).doing(doing)?;
        fs::rename(&temporary, &link).doing(doing)
    }

    /// Removes the link of `slot`; none there is as good. Safe once the disk is synced.
    ///
    /// # Errors
    /// The sysroot cannot be written.
    pub fn unpoint(&self, slot: Slot) -> Result<(), DeployError> {
        basalt_durable::remove(&self.link_path(slot))
            .doing(|| format!("remove the link of slot {slot}"))
    }

    /// Writes everything that is still in memory to the root's disk.
    ///
    /// # Errors
    /// The disk fails.
    pub fn sync(&self) -> Result<(), DeployError> {
        let doing = || format!("sync `{}`", self.path.display());
        rustix::fs::syncfs(&File::open(self.ostree()).doing(doing)?).doing(doing)
    }

    /// Bytes of the root that are free.
    ///
    /// # Errors
    /// The file system does not say.
    pub fn free(&self) -> Result<u64, DeployError> {
        let ostree = self.ostree();
        let stat =
            rustix::fs::statvfs(&ostree).doing(|| format!("measure `{}`", ostree.display()))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Removes every deployment that no slot's link leads to, and what only they needed of the
    /// repository.
    ///
    /// # Errors
    /// A link cannot be read, or the sysroot cannot be written.
    pub fn clean(&self) -> Result<(), DeployError> {
        let links = [self.link(Slot::A)?, self.link(Slot::B)?];
        let linked = |it: &ostree::Deployment| links.contains(&Some(name_of(it)));
        let keep: Vec<_> = self.inner.deployments().into_iter().filter(linked).collect();
        let doing = || "remove deployments that no slot leads to".to_owned();
        self.inner.write_deployments(&keep, NEVER).doing(doing)?;
        self.inner.cleanup(NEVER).doing(doing)
    }

    fn known(&self, deployment: &Deployment) -> Option<ostree::Deployment> {
        self.inner.deployments().into_iter().find(|it| name_of(it) == *deployment)
    }

    /// Where the slots' links are.
    #[must_use]
    pub fn ostree(&self) -> PathBuf {
        self.path.join("ostree")
    }
}

impl Drop for HostSysroot {
    fn drop(&mut self) {
        self.inner.unlock();
    }
}

fn name_of(deployment: &ostree::Deployment) -> Deployment {
    // libostree counts from 0 and never below.
    let number = u32::try_from(deployment.deployserial()).unwrap_or_default();
    Deployment { commit: deployment.csum().to_string(), number }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CommitRequest, Repo};

    struct Ground {
        dir: tempfile::TempDir,
        sysroot: HostSysroot,
    }

    impl Ground {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            drop(HostSysroot::init(&dir.path().join("host")).unwrap());
            let sysroot = HostSysroot::open(&dir.path().join("host"), Duration::ZERO).unwrap();
            Self { dir, sysroot }
        }

        /// Commits a tree with a kernel, and this text in it, into the host's repository.
        fn commit(&self, text: &str) -> String {
            let tree = self.dir.path().join("tree");
            let _ = fs::remove_dir_all(&tree);
            for (path, content) in [
                ("usr/lib/modules/6.1/vmlinuz", "kernel"),
                ("usr/lib/modules/6.1/initramfs.img", "initramfs"),
                ("usr/lib/os-release", "ID=basalt"),
                ("usr/etc/file", text),
                ("usr/share/text", text),
            ] {
                fs::create_dir_all(tree.join(path).parent().unwrap()).unwrap();
                fs::write(tree.join(path), content).unwrap();
            }
            let request = CommitRequest {
                ref_name: "base",
                time: 1,
                version: None,
                build_id: None,
                key: None,
            };
            let repo = Repo::open_or_create(&self.dir.path().join("repo")).unwrap();
            let commit = repo.commit(&tree, &request).unwrap();
            self.sysroot.repo().unwrap().pull_local(&repo, &commit).unwrap();
            commit
        }

        fn deploy(&self, text: &str) -> Deployment {
            self.sysroot.deploy_beside(&self.commit(text), "basalt:base", None).unwrap()
        }

        fn text(&self, deployment: &Deployment) -> String {
            fs::read_to_string(self.sysroot.dir(deployment).join("usr/share/text")).unwrap()
        }
    }

    impl Drop for Ground {
        fn drop(&mut self) {
            self.sysroot.inner.load(NEVER).unwrap();
            self.sysroot.thaw().unwrap();
        }
    }

    #[test]
    fn a_slots_link_leads_to_what_it_was_pointed_at() {
        let ground = Ground::new();
        assert_eq!(ground.sysroot.link(Slot::A).unwrap(), None);
        let first = ground.deploy("first");
        assert_eq!(ground.sysroot.link(Slot::A).unwrap(), None);
        ground.sysroot.point(Slot::A, &first).unwrap();
        let second = ground.deploy("second");
        ground.sysroot.point(Slot::B, &second).unwrap();
        ground.sysroot.sync().unwrap();
        assert_eq!(ground.sysroot.link(Slot::A).unwrap(), Some(first.clone()));
        assert_eq!(ground.sysroot.link(Slot::B).unwrap(), Some(second.clone()));
        assert_eq!((ground.text(&first), ground.text(&second)), ("first".into(), "second".into()));
    }

    #[test]
    fn a_slot_that_lost_its_link_leads_nowhere_and_the_other_stays() {
        let ground = Ground::new();
        let first = ground.deploy("first");
        for slot in Slot::ALL {
            ground.sysroot.point(slot, &first).unwrap();
        }
        ground.sysroot.unpoint(Slot::B).unwrap();
        ground.sysroot.unpoint(Slot::B).unwrap();
        let links = Slot::ALL.map(|slot| ground.sysroot.link(slot).unwrap());
        assert_eq!(links, [Some(first), None]);
    }

    #[test]
    fn what_no_slot_leads_to_is_removed_and_nothing_else() {
        let ground = Ground::new();
        let first = ground.deploy("first");
        ground.sysroot.point(Slot::A, &first).unwrap();
        let second = ground.deploy("second");
        ground.sysroot.point(Slot::B, &second).unwrap();
        let third = ground.deploy("third");
        ground.sysroot.point(Slot::B, &third).unwrap();
        let all = ground.sysroot.deployments().unwrap();
        assert!([&first, &second, &third].into_iter().all(|it| all.contains(it)), "{all:?}");
        ground.sysroot.clean().unwrap();
        let mut expected = vec![first, third];
        expected.sort();
        assert_eq!(ground.sysroot.deployments().unwrap(), expected);
        let repo = ground.sysroot.repo().unwrap();
        assert!(!repo.has(&second.commit).unwrap());
        assert!(expected.iter().all(|it| repo.damage(&it.commit).unwrap().is_none()));
        ground.sysroot.clean().unwrap();
    }

    #[test]
    fn a_link_that_leads_nowhere_is_none() {
        let ground = Ground::new();
        let commit = "ab".repeat(32);
        for to in [format!("deploy/{OS_NAME}/deploy/{commit}.0"), "/etc".into(), "x".into()] {
            let link = ground.dir.path().join("host/ostree/root.a");
            let _ = fs::remove_file(&link);
            symlink(to, &link).unwrap();
            assert_eq!(ground.sysroot.link(Slot::A).unwrap(), None);
        }
    }

    #[test]
    fn two_that_change_one_sysroot_do_not_meet() {
        let ground = Ground::new();
        let path = ground.dir.path().join("host");
        let second = |patience| HostSysroot::open(&path, patience);
        assert!(matches!(second(Duration::ZERO), Err(DeployError::Busy(at)) if at == path));
        let first = ground.deploy("first");
        ground.sysroot.point(Slot::A, &first).unwrap();
        // Who only looks is not kept out.
        assert_eq!(HostSysroot::look(&path).unwrap().link(Slot::A).unwrap(), Some(first));
        // Who has patience comes after.
        let frees = ground.sysroot.inner.clone();
        let waits = std::thread::spawn({
            let path = path.clone();
            move || HostSysroot::open(&path, Duration::from_secs(60)).map(drop)
        });
        sleep(2 * AGAIN);
        assert!(!waits.is_finished());
        frees.unlock();
        waits.join().unwrap().unwrap();
    }
}
