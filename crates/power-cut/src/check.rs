//! Whether a disk boots, and what.

use std::io;

use basalt_sysroot::boot_file::{BootFile, Kind};
use basalt_sysroot::entry::{EntryName, choose};
use basalt_sysroot::slot::Slot;
use basalt_sysroot::update::Deployment;

use crate::content::{Contents, Tree, difference};
use crate::disk::Disk;
use crate::ext4::{Ext4, Inode};
use crate::fat::Fat;
use crate::menu::{Name, Offered, menu};
use crate::parts::Parts;

/// What tells of a trial that is expected, in `/var`.
const TRIAL: &str = "lib/hostd-os/trial.json";

/// Which release boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Boots {
    /// The one that ran before the update.
    Old,
    /// The one that was installed.
    New,
}

/// Looks at disks.
pub(crate) struct Check {
    pub(crate) parts: Parts,
    /// What ran before the update.
    from: String,
    /// What is installed.
    to: String,
    /// All deployments that an entry may lead to, as they are when they are whole.
    whole: Vec<Whole>,
    contents: Contents,
}

/// A deployment that is whole.
#[derive(Clone)]
struct Whole {
    deployment: Deployment,
    /// Before the update and after it.
    trees: [Tree; 2],
    linux: BootFile,
    initrd: BootFile,
}

impl Check {
    /// Knows nothing that is whole yet. `from` and `to` are commits.
    pub(crate) fn new(parts: Parts, from: &str, to: &str) -> Self {
        let (from, to, whole) = (from.to_owned(), to.to_owned(), Vec::new());
        Self { parts, from, to, whole, contents: Contents::default() }
    }

    /// The same for another thread.
    pub(crate) fn again(&self) -> Self {
        let (whole, contents) = (self.whole.clone(), self.contents.clone());
        Self { whole, contents, ..Self::new(self.parts.clone(), &self.from, &self.to) }
    }

    /// What the slots of this disk hold is whole. A disk that is learned later is of after the
    /// update.
    pub(crate) fn learn(&mut self, disk: &Disk<'_>) -> io::Result<()> {
        let root = Ext4::open(disk, self.parts.root.start)?;
        for slot in Slot::ALL {
            let Some((deployment, folder)) = behind(&root, slot)? else { continue };
            let tree = self.contents.tree(disk, &root, &folder)?;
            if let Some(known) = self.whole.iter_mut().find(|it| it.deployment == deployment) {
                known.trees[1] = tree;
                continue;
            }
            let linux = boot_file(&root, &folder, Kind::Linux, "vmlinuz")?;
            let initrd = boot_file(&root, &folder, Kind::Initrd, "initramfs.img")?;
            self.whole.push(Whole { deployment, trees: [tree.clone(), tree], linux, initrd });
        }
        Ok(())
    }

    /// What boots, or why something would not: whatever the loader offers must, and a reset is
    /// always offered.
    pub(crate) fn boots(&mut self, disk: &Disk<'_>) -> Result<Boots, String> {
        let esp = Fat::open(disk, self.parts.esp.start).map_err(|error| error.to_string())?;
        let offered = menu(&esp)?;
        let names: Vec<EntryName> = offered.iter().filter_map(|it| it.name.release()).collect();
        let chosen = choose(&names).ok_or("the loader finds no entry")?;
        let root = Ext4::open(disk, self.parts.root.start).map_err(|error| error.to_string())?;
        let mut commit = None;
        let mut whole = Vec::new();
        for it in &offered {
            self.boot_files(disk, &esp, it)?;
            let (deployment, folder) = self.deployment(&root, it)?;
            // More than one entry leads to a slot.
            if !whole.contains(&deployment) {
                self.is_whole(disk, &root, &deployment, &folder)
                    .map_err(|what| format!("{} leads to {deployment}, where {what}", it.name))?;
                whole.push(deployment.clone());
            }
            let is_new = deployment.commit == self.to;
            if is_new && !self.is_expected(disk).map_err(|error| error.to_string())? {
                return Err(format!("nobody would know that {} is a trial", it.name));
            }
            if it.name == Name::Release(chosen) {
                commit = Some(deployment.commit);
            }
        }
        if !offered.iter().any(|it| it.name.is_reset()) {
            return Err("the menu offers no reset any more".to_owned());
        }
        match commit {
            Some(commit) if commit == self.to => Ok(Boots::New),
            Some(commit) if commit == self.from => Ok(Boots::Old),
            _ => Err(format!("{chosen} boots, which is neither what ran nor what was installed")),
        }
    }

    /// What the loader would choose.
    pub(crate) fn chosen(&self, disk: &Disk<'_>) -> Result<EntryName, String> {
        let esp = Fat::open(disk, self.parts.esp.start).map_err(|error| error.to_string())?;
        let names: Vec<EntryName> = menu(&esp)?.iter().filter_map(|it| it.name.release()).collect();
        choose(&names).ok_or_else(|| "the loader finds no entry".to_owned())
    }

    /// Whether it is written down that the new release has a trial.
    pub(crate) fn is_expected(&self, disk: &Disk<'_>) -> io::Result<bool> {
        let var = Ext4::open(disk, self.parts.var.start)?;
        let Some(file) = var.find(&var.root()?, TRIAL)? else { return Ok(false) };
        Ok(String::from_utf8_lossy(&var.content(&file)?).contains(&self.to))
    }

    /// Whether this is what was installed, and all of it.
    pub(crate) fn is_new_and_whole(
        &mut self,
        disk: &Disk<'_>,
        root: &Ext4<'_>,
        deployment: &Deployment,
        folder: &Inode,
    ) -> io::Result<bool> {
        let known = self.whole.iter().find(|it| it.deployment == *deployment);
        let Some(known) = known.filter(|_| deployment.commit == self.to) else { return Ok(false) };
        Ok(self.contents.tree(disk, root, folder)? == known.trees[1])
    }

    /// Whether a file on the ESP is what its name says.
    pub(crate) fn is_boot_file(&mut self, disk: &Disk<'_>, path: &str) -> io::Result<bool> {
        let esp = Fat::open(disk, self.parts.esp.start)?;
        let Some((place, file)) = BootFile::parse(path).zip(esp.find(path)?) else {
            return Ok(false);
        };
        let Ok(pieces) = esp.pieces(&file) else { return Ok(false) };
        Ok(place.matches(&self.contents.of_pieces(disk, &pieces)?))
    }

    /// The deployment that an entry leads to is known, and the entry's boot files belong to it.
    fn deployment(
        &self,
        root: &Ext4<'_>,
        Offered { name, linux, initrd, options }: &Offered,
    ) -> Result<(Deployment, Inode), String> {
        let slot = Slot::from_cmdline(options);
        if slot != Some(name.slot()) {
            return Err(format!("{name} names another slot in its arguments"));
        }
        let failed = |error: io::Error| format!("{name}: {error}");
        let behind = behind(root, name.slot()).map_err(failed)?;
        let (deployment, folder) = behind.ok_or(format!("{name}: its slot leads nowhere"))?;
        let known = self.whole.iter().find(|it| it.deployment == deployment);
        let known = known.ok_or(format!("{name} leads to {deployment}, which nobody knows"))?;
        if *linux != known.linux.to_string() || *initrd != known.initrd.to_string() {
            return Err(format!("{name} boots {deployment} with another kernel or initramfs"));
        }
        Ok((deployment, folder))
    }

    /// All of a deployment is there, as it was before the update or after it.
    fn is_whole(
        &mut self,
        disk: &Disk<'_>,
        root: &Ext4<'_>,
        deployment: &Deployment,
        folder: &Inode,
    ) -> Result<(), String> {
        let tree = self.contents.tree(disk, root, folder).map_err(|error| error.to_string())?;
        let known = self.whole.iter().find(|it| it.deployment == *deployment);
        let known = known.ok_or("nobody knows what should be")?;
        difference(&known.trees, &tree).map_or(Ok(()), Err)
    }

    /// Both boot files of an entry are there, readable to their ends and what their names say.
    fn boot_files(
        &mut self,
        disk: &Disk<'_>,
        esp: &Fat<'_>,
        Offered { name, linux, initrd, .. }: &Offered,
    ) -> Result<(), String> {
        for path in [linux, initrd] {
            let failed = |error: io::Error| format!("{name}: `{path}`: {error}");
            let place = BootFile::parse(path).ok_or(format!("{name} boots `{path}`"))?;
            let file = esp.find(path).map_err(failed)?.ok_or(format!("{name} has no `{path}`"))?;
            let pieces = esp.pieces(&file).map_err(failed)?;
            let hash = self.contents.of_pieces(disk, &pieces).map_err(failed)?;
            if !place.matches(&hash) {
                return Err(format!("{name}: `{path}` is not whole"));
            }
        }
        Ok(())
    }
}

/// What the link of a slot leads to.
pub(crate) fn behind(root: &Ext4<'_>, slot: Slot) -> io::Result<Option<(Deployment, Inode)>> {
    let Some(ostree) = root.find(&root.root()?, "ostree")? else { return Ok(None) };
    let Some(link) = root.find(&ostree, slot.link_name())?.filter(Inode::is_link) else {
        return Ok(None);
    };
    let to = String::from_utf8_lossy(&root.content(&link)?).into_owned();
    let deployment = to.rsplit('/').next().and_then(|name| name.parse().ok());
    let folder = root.find(&ostree, &to)?.filter(Inode::is_folder);
    Ok(deployment.zip(folder))
}

fn boot_file(root: &Ext4<'_>, folder: &Inode, kind: Kind, name: &str) -> io::Result<BootFile> {
    use sha2::{Digest, Sha256};
    let missing = || io::Error::other(format!("a deployment has no {name}"));
    let modules = root.find(folder, "usr/lib/modules")?.ok_or_else(missing)?;
    let (kernel, _) = root.list(&modules)?.into_iter().next().ok_or_else(missing)?;
    let file = root.find(&modules, &format!("{kernel}/{name}"))?.ok_or_else(missing)?;
    Ok(BootFile::new(kind, &Sha256::digest(root.content(&file)?).into()))
}
