//! A live system: a kernel, an initrd that fetches one root and no other, and that root.
//!
//! The root is a SquashFS of what a disk's root partition holds, repository and all, so that an
//! installer needs no network. What only a live system has lies beside the deployment, in `live`:
//! neither the commit nor the hosts that are installed from it have any of it.

mod initrd;
mod rootfs;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use basalt_live::Rootfs;

use super::initramfs;
use super::sysroot::Laid;
use crate::cache::Cache;
use crate::definition::Definition;
use crate::fingerprint::{Fingerprint, InputError};
use crate::lock::Lock;
use crate::manifest::{Live, Part};
use crate::overlay;
use crate::progress::Step;

/// Change it when this stage makes something else from the same inputs.
const FORM: &str = "live 1";
/// Its folder in the output.
pub const FOLDER: &str = "live";
/// The program of its initrd, from where the host programs are.
pub const PROGRAM: &str = "basalt-live-boot";
/// What lists the hashes of the others, for `sha256sum --check`.
pub const SUMS: &str = "SHA256SUMS";

/// What a live system is made from.
pub struct Inputs<'a> {
    /// The definition.
    pub definition: &'a Definition,
    /// Its packages.
    pub lock: &'a Lock,
    /// The commit.
    pub commit: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Folder with the host programs.
    pub programs: &'a Path,
    /// What [`key`] said.
    pub key: &'a str,
}

/// Fingerprint of what a live system is made from, beside what its commit is.
///
/// # Errors
/// A folder or a program cannot be read.
pub fn key(definition: &Definition, programs: &Path, image: &[&str]) -> Result<String, InputError> {
    let live = &definition.live;
    let mut key = Fingerprint::new(FORM)
        .value(&image)
        .value(&live.modules)
        .value(&live.drivers)
        .value(&live.programs)
        .file(&programs.join(PROGRAM))?;
    for program in &live.programs {
        key = key.file(&programs.join(program))?;
    }
    for folder in live.root.iter().chain(&live.initramfs) {
        key = key.folder(folder)?;
    }
    Ok(key.hex())
}

/// Makes it in the folder [`FOLDER`] of `output`.
///
/// # Errors
/// The commit is not in the cache, a tool fails or is missing, or there is no space.
pub fn make(inputs: &Inputs, cache: &Cache, output: &Path, step: &Step) -> Result<Live> {
    let folder = output.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let laid = Laid::lay(inputs.definition, inputs.commit, cache, step)?;
    let (kernel, squashfs) = (format!("{FOLDER}/vmlinuz"), format!("{FOLDER}/rootfs.squashfs"));
    take_kernel(&laid.deployed.dir, &output.join(&kernel))?;
    lay_live(inputs, &laid.path.join(FOLDER))?;
    step.note("packing the root");
    rootfs::pack(&laid.path, &output.join(&squashfs), inputs.lock.resolved)?;
    laid.clear()?;
    let rootfs = Part::of(output, &squashfs)?;
    let names = &inputs.definition.name;
    let named = Rootfs::new(names, inputs.version, rootfs.size, &rootfs.sha256);
    let initrd = format!("{FOLDER}/initrd.img");
    initrd::make(inputs, &named, cache, &output.join(&initrd), step)?;
    let live = Live {
        key: inputs.key.to_owned(),
        kernel: Part::of(output, &kernel)?,
        initrd: Part::of(output, &initrd)?,
        rootfs,
        arguments: inputs.definition.kernel.arguments.clone(),
    };
    let path = folder.join(SUMS);
    basalt_durable::write(&path, live.sums().as_bytes(), basalt_durable::PUBLIC)
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(live)
}

/// What lies beside the deployment.
fn lay_live(inputs: &Inputs, to: &Path) -> Result<()> {
    fs::create_dir(to).with_context(|| format!("cannot make `{}`", to.display()))?;
    for folder in &inputs.definition.live.root {
        overlay::lay(folder, to)?;
    }
    for program in &inputs.definition.live.programs {
        let place = Path::new("bin").join(program);
        overlay::put_file(to, &place, &inputs.programs.join(program), 0o755)?;
    }
    Ok(())
}

fn take_kernel(tree: &Path, to: &Path) -> Result<()> {
    let version = initramfs::kernel_version(tree)?;
    let from = initramfs::kernel_folder(tree, &version).join("vmlinuz");
    let copied = fs::copy(&from, to).and_then(|_| fs::File::open(to)?.sync_all());
    copied.with_context(|| format!("cannot copy `{}` to `{}`", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_it_is_made_from_makes_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in [PROGRAM, "basalt-install"] {
            fs::write(at(name), name).unwrap();
        }
        fs::create_dir(at("etc")).unwrap();
        let mut definition = crate::definition::example();
        definition.live.root = vec![at("etc")];
        definition.live.programs = vec!["basalt-install".to_owned()];
        let key = |definition: &Definition| key(definition, dir.path(), &["image"]).unwrap();
        let mut before = vec![key(&definition)];
        assert_eq!(before[0], key(&definition));
        let mut another = |definition: &Definition| {
            let now = key(definition);
            assert!(!before.contains(&now));
            before.push(now);
        };
        fs::write(at(PROGRAM), "changed").unwrap();
        another(&definition);
        fs::write(at("basalt-install"), "changed").unwrap();
        another(&definition);
        fs::write(at("etc/file"), "new").unwrap();
        another(&definition);
        definition.live.modules.push("x".to_owned());
        another(&definition);
        definition.live.drivers.push("y".to_owned());
        another(&definition);
        definition.live.programs.clear();
        another(&definition);
    }

    #[test]
    fn what_only_a_live_system_has_lies_beside_the_deployment() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("over/etc")).unwrap();
        fs::write(at("over/etc/file"), "text").unwrap();
        fs::write(at("basalt-install"), "program").unwrap();
        let mut definition = crate::definition::example();
        definition.live.root = vec![at("over")];
        definition.live.programs = vec!["basalt-install".to_owned()];
        let lock = Lock { form: 1, request: String::new(), resolved: 1, packages: Vec::new() };
        let inputs = Inputs {
            definition: &definition,
            lock: &lock,
            commit: "c",
            version: "1",
            programs: dir.path(),
            key: "k",
        };
        lay_live(&inputs, &at("live")).unwrap();
        assert_eq!(fs::read_to_string(at("live/etc/file")).unwrap(), "text");
        let program = fs::metadata(at("live/bin/basalt-install")).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&program.permissions());
        assert_eq!(mode & 0o777, 0o755);
    }
}
