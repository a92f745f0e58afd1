//! Puts an image's tree together: packages, overlays, host programs, generated files, kernel and
//! initramfs, in OSTree's form, and checked.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_deploy::{Checkout, Repo};

use super::release::{self, Release};
use super::{device_nodes, form, initramfs, lint, tree, units};
use crate::cache::{Cache, remove_tree};
use crate::definition::Definition;
use crate::fingerprint::{Fingerprint, InputError};
use crate::key::TrustedKey;
use crate::overlay;
use crate::progress::Step;

/// Change it when this stage makes something else from the same inputs.
const FORM: &str = "compose 3";
/// The programs that every image carries.
pub const HOST_PROGRAMS: [&str; 4] = ["hostd", "hostctl", "hostd-virt", "hostd-os"];
/// Where the keys lie that an image trusts for updates: `.asc` those of commits, `.pem` those of
/// release manifests.
const TRUSTED_KEYS: &str = "usr/share/basalt/keys";

/// What goes into an image beside its packages.
pub struct Inputs<'a> {
    /// The definition.
    pub definition: &'a Definition,
    /// Fingerprint of the tree of packages.
    pub tree_key: String,
    /// Fingerprint of the initramfs.
    pub initramfs_key: String,
    /// Folder with the host programs.
    pub programs: &'a Path,
    /// The public half of the release key, when there is one, and others that hosts trust beside it.
    pub trusted_keys: Vec<TrustedKey>,
}

impl Inputs<'_> {
    /// Hash of everything the image is made from: its `BUILD_ID`.
    ///
    /// # Errors
    /// An overlay or a host program cannot be read.
    pub fn build_id(&self) -> Result<String, InputError> {
        let definition = self.definition;
        let mut key = Fingerprint::new(FORM)
            .part(self.tree_key.as_bytes())
            .part(self.initramfs_key.as_bytes())
            .value(&definition.name)
            .value(&definition.ostree_ref)
            .value(&definition.kernel)
            .value(&definition.units)
            .value(&self.trusted_keys.first());
        for other in self.trusted_keys.iter().skip(1) {
            key = key.value(other);
        }
        for folder in &definition.overlay.root {
            key = key.folder(folder)?;
        }
        for program in HOST_PROGRAMS {
            key = key.file(&self.programs.join(program))?;
        }
        Ok(key.hex())
    }
}

/// Composes the tree in the cache's work folder. Remove it with [`clear`] when it is committed.
///
/// # Errors
/// A part is missing or cannot be written, a unit does not exist, or a rule is broken.
pub fn make(inputs: &Inputs, release: &Release, cache: &Cache, step: &Step) -> Result<Checkout> {
    let definition = inputs.definition;
    clear(cache)?;
    let root = work(cache);
    fs::create_dir_all(cache.tmp())?;
    let repo = Repo::open(&cache.repo())?;
    let commit =
        repo.resolve(&tree::ref_name(&inputs.tree_key))?.context("the tree is not in the cache")?;
    let checkout = repo.checkout(&commit, &root)?;
    step.note("laying overlays");
    for folder in definition.overlay.initramfs.iter().chain(&definition.overlay.root) {
        overlay::lay(folder, &root)?;
    }
    for program in HOST_PROGRAMS {
        let bytes = fs::read(inputs.programs.join(program))?;
        overlay::put(&root, &format!("usr/bin/{program}"), &bytes, 0o755)?;
    }
    release::write(&root, definition, release)?;
    lay_keys(&root, &inputs.trusted_keys)?;
    step.note("enabling units");
    units::apply(&root, &definition.units)?;
    lay_device_nodes(&root)?;
    place_kernel(&root, &cache.initramfs(&inputs.initramfs_key))?;
    step.note("bringing the tree into OSTree's form");
    form::apply(&root)?;
    lint::check(&root, definition)?;
    // What was laid must be what was hashed, or a later build would take one for the other.
    if inputs.build_id()? != release.build_id {
        bail!("an overlay or a host program changed during the build\nhint: build again");
    }
    Ok(checkout)
}

/// Removes the composed tree.
///
/// # Errors
/// It cannot be removed.
pub fn clear(cache: &Cache) -> Result<()> {
    remove_tree(&work(cache))
}

fn work(cache: &Cache) -> PathBuf {
    cache.tmp().join("compose")
}

/// The first is `release`, the others are numbered: all that counts is how their names end.
fn lay_keys(root: &Path, keys: &[TrustedKey]) -> Result<()> {
    for (key, number) in keys.iter().zip(1..) {
        let name = match number {
            1 => format!("{TRUSTED_KEYS}/release"),
            number => format!("{TRUSTED_KEYS}/release-{number}"),
        };
        overlay::put(root, &format!("{name}.asc"), key.commits.as_bytes(), 0o644)?;
        if let Some(manifests) = &key.manifests {
            overlay::put(root, &format!("{name}.pem"), manifests.as_bytes(), 0o644)?;
        }
    }
    Ok(())
}

fn lay_device_nodes(root: &Path) -> Result<()> {
    let version = initramfs::kernel_version(root)?;
    let devname = initramfs::kernel_folder(root, &version).join("modules.devname");
    let devname = fs::read_to_string(&devname)
        .with_context(|| format!("cannot read `{}`", devname.display()))?;
    let text = device_nodes::tmpfiles(&devname);
    overlay::put(root, "usr/lib/tmpfiles.d/static-nodes.conf", text.as_bytes(), 0o644)
}

/// OSTree takes the kernel and the initramfs from beside the modules.
fn place_kernel(root: &Path, initramfs: &Path) -> Result<()> {
    let version = initramfs::kernel_version(root)?;
    let folder = initramfs::kernel_folder(root, &version);
    for (from, to) in [("vmlinuz", "vmlinuz"), ("config", "config")] {
        let from = root.join("boot").join(format!("{from}-{version}"));
        if from.exists() {
            fs::rename(&from, folder.join(to))?;
        }
    }
    let to = format!("usr/lib/modules/{version}/initramfs.img");
    overlay::put_file(root, Path::new(&to), initramfs, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_that_is_trusted_lies_in_the_image_with_both_halves() {
        let dir = tempfile::tempdir().unwrap();
        let key = |name: &str| TrustedKey {
            commits: format!("{name} commits"),
            manifests: Some(format!("{name} manifests")),
        };
        lay_keys(dir.path(), &[]).unwrap();
        assert!(!dir.path().join(TRUSTED_KEYS).exists());
        lay_keys(dir.path(), &[key("one"), key("two")]).unwrap();
        let text =
            |name: &str| fs::read_to_string(dir.path().join(TRUSTED_KEYS).join(name)).unwrap();
        assert_eq!(
            (&*text("release.asc"), &*text("release.pem")),
            ("one commits", "one manifests")
        );
        let second = (text("release-2.asc"), text("release-2.pem"));
        assert_eq!((&*second.0, &*second.1), ("two commits", "two manifests"));
    }
}
