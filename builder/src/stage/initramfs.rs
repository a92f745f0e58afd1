//! The initramfs, by the tree's own dracut.
//!
//! It is made from the tree of packages and the definition's initramfs overlay alone, before
//! anything else is laid over the tree: a new `hostd` or release number never changes it, which
//! keeps deltas small and rebuilds fast.

mod contents;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_deploy::Repo;
use basalt_durable::PUBLIC;

use super::sandbox::{Access, inside_with};
use super::tree;
use crate::cache::{Cache, CachePaths, remove_tree};
use crate::definition::Definition;
use crate::fingerprint::{Fingerprint, InputError, sha256_of_file};
use crate::lock::Lock;
use crate::overlay;
use crate::progress::Step;

/// Change it when this stage makes something else from the same inputs.
const FORM: &str = "initramfs 2";
/// What dracut writes.
const FILE: &str = "initramfs.img";
/// dracut takes 19 s on two busy cores.
const DEADLINE: Duration = Duration::from_secs(600);

/// Fingerprint of an initramfs's inputs.
///
/// # Errors
/// An overlay cannot be read.
pub fn key(definition: &Definition, tree_key: &str) -> Result<String, InputError> {
    let mut key = Fingerprint::new(FORM)
        .part(tree_key.as_bytes())
        .value(&definition.kernel.drivers)
        .value(&definition.initramfs);
    for folder in &definition.overlay.initramfs {
        key = key.folder(folder)?;
    }
    Ok(key.hex())
}

/// Makes the initramfs and puts it into the cache under `key`.
///
/// # Errors
/// dracut fails or is not in the tree.
pub fn make(
    definition: &Definition,
    lock: &Lock,
    key: &str,
    cache: &Cache,
    step: &Step,
) -> Result<()> {
    let recipe = Recipe {
        definition,
        lock,
        folders: definition.overlay.initramfs.iter().collect(),
        modules: definition.initramfs.modules.iter().collect(),
        drivers: definition.kernel.drivers.iter().collect(),
        needed: &[],
        work: cache.tmp().join("initramfs"),
    };
    recipe.make(cache, step, |_| {
        // What was laid must be what was hashed, or a later build would take one for the other.
        if self::key(definition, &tree::key(definition, lock))? != key {
            bail!("an initramfs overlay changed during the build\nhint: build again");
        }
        Ok(())
    })?;
    store(&recipe.image(), cache, key)?;
    recipe.clear()
}

/// What an initramfs is made from.
pub(super) struct Recipe<'a> {
    pub(super) definition: &'a Definition,
    pub(super) lock: &'a Lock,
    /// Folders laid over the tree, one over the other.
    pub(super) folders: Vec<&'a PathBuf>,
    /// dracut modules.
    pub(super) modules: Vec<&'a String>,
    /// Kernel modules.
    pub(super) drivers: Vec<&'a String>,
    /// Files that must be in it beside those of every one, and where they come from.
    pub(super) needed: &'a [(&'a str, &'a str)],
    /// A folder for the work, below the cache's own.
    pub(super) work: PathBuf,
}

impl Recipe<'_> {
    /// Makes it; `lay` may put more into the tree, which is a copy.
    ///
    /// # Errors
    /// dracut fails or is not in the tree, or something is missing in what it made.
    pub(super) fn make(
        &self,
        cache: &Cache,
        step: &Step,
        lay: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<()> {
        remove_tree(&self.work)?;
        let output = self.work.join("output");
        fs::create_dir_all(&output)?;
        let root = self.work.join("root");
        let repo = Repo::open(&cache.repo())?;
        let tree = tree::ref_name(&tree::key(self.definition, self.lock));
        let commit = repo.resolve(&tree)?.context("the tree is not in the cache")?;
        repo.checkout(&commit, &root)?;
        for folder in &self.folders {
            overlay::lay(folder, &root)?;
        }
        lay(&root)?;
        self.run_dracut((&root, &output), step)?;
        step.note("looking into it");
        let kernel = kernel_version(&root)?;
        let expected = (&self.drivers[..], self.needed);
        contents::check(&root, &kernel, expected, (&output, FILE))?;
        contents::check_days(&root, self.lock.resolved, (&output, FILE))
    }

    /// What was made.
    pub(super) fn image(&self) -> PathBuf {
        self.work.join("output").join(FILE)
    }

    /// Removes what is left of the work, the image too.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn clear(&self) -> Result<()> {
        remove_tree(&self.work)
    }

    fn run_dracut(&self, (root, output): (&Path, &Path), step: &Step) -> Result<()> {
        let version = kernel_version(root)?;
        if !root.join("usr/bin/dracut").exists() {
            bail!("the tree has no dracut\nhint: add `dracut` to `packages`");
        }
        // Without it, systemd-sysusers gives the accounts of the initramfs the day of the build.
        let day = format!("SOURCE_DATE_EPOCH={}", self.lock.resolved);
        let cmd = inside_with(root, Access::ReadOnly, &[(output, "/mnt")], "env")
            .args([&day, "dracut"])
            .args(["--force", "--no-hostonly", "--reproducible", "--kver", &version])
            .args(["--add", &joined(&self.modules)])
            .args(["--drivers", &joined(&self.drivers)])
            .args(["--tmpdir", "/tmp", &format!("/mnt/{FILE}")])
            .deadline(DEADLINE);
        let result =
            cmd.run_with_lines(|line| step.note(line)).context("cannot make the initramfs")?;
        // dracut ends well even when a module that was asked for is not there.
        let words = String::from_utf8_lossy(&result.stderr);
        if let Some(line) = words.lines().find(|line| line.contains("cannot be found or installed"))
        {
            bail!("cannot make the initramfs: {line}");
        }
        Ok(())
    }
}

fn joined(words: &[&String]) -> String {
    words.iter().map(|word| word.as_str()).collect::<Vec<_>>().join(" ")
}

/// Whether the cache has this initramfs as it was made. It goes into a signed commit, so one that
/// a bad disk has changed must not be taken.
#[must_use]
pub fn is_cached(cache: &CachePaths, key: &str) -> bool {
    let hash = fs::read_to_string(cache.initramfs_hash(key));
    let found = sha256_of_file(&cache.initramfs(key));
    matches!((hash, found), (Ok(hash), Ok(found)) if hash.trim() == found)
}

/// Moves a finished initramfs into the cache. A cut between its hash and itself leaves none.
fn store(image: &Path, cache: &CachePaths, key: &str) -> Result<()> {
    let doing = || format!("cannot store the initramfs in `{}`", cache.root().display());
    let hash = sha256_of_file(image).with_context(doing)?;
    fs::File::open(image).and_then(|image| image.sync_all()).with_context(doing)?;
    basalt_durable::write(&cache.initramfs_hash(key), hash.as_bytes(), PUBLIC)
        .with_context(doing)?;
    basalt_durable::rename(image, &cache.initramfs(key)).with_context(doing)
}

/// The one kernel of a tree.
///
/// # Errors
/// There is none, or more than one.
pub fn kernel_version(root: &Path) -> Result<String> {
    let versions = tree::kernel_versions(root)?;
    match &versions[..] {
        [version] => Ok(version.clone()),
        [] => bail!("the tree has no kernel\nhint: add `linux-image-amd64` to `packages`"),
        many => bail!("the tree has more than one kernel: {}", many.join(", ")),
    }
}

/// Where the parts of the kernel lie in a finished tree.
#[must_use]
pub fn kernel_folder(root: &Path, version: &str) -> PathBuf {
    root.join("usr/lib/modules").join(version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::{Archive, LockedPackage};
    use crate::plan::{self, Places, Request};
    use crate::stage::compose::HOST_PROGRAMS;

    /// A definition with overlays, host programs and a lock of one package.
    struct Ground {
        folder: tempfile::TempDir,
        definition: Definition,
        lock: Lock,
    }

    impl Ground {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut definition = crate::definition::example();
            definition.overlay.root = vec![folder.path().join("root")];
            definition.overlay.initramfs = vec![folder.path().join("early")];
            for inside in ["root", "early", "programs"] {
                fs::create_dir(folder.path().join(inside)).unwrap();
            }
            for program in HOST_PROGRAMS {
                fs::write(folder.path().join("programs").join(program), program).unwrap();
            }
            let package = LockedPackage {
                name: "stone".into(),
                version: "1".into(),
                architecture: "all".into(),
                sha256: "0".repeat(64),
                size: 7,
                archive: Archive::Debian,
                path: "pool/stone.deb".into(),
            };
            let lock = Lock { form: 1, request: "r".into(), resolved: 1, packages: vec![package] };
            Self { folder, definition, lock }
        }

        fn put(&self, inside: &str) {
            fs::write(self.folder.path().join(inside), "changed").unwrap();
        }

        /// The keys of its initramfs and of the whole image.
        fn keys(&self) -> (String, String) {
            let places = Places {
                definition: PathBuf::new(),
                out: PathBuf::new(),
                cache: CachePaths::new(PathBuf::new()),
                programs: self.folder.path().join("programs"),
            };
            let request = Request::default();
            let inputs = plan::inputs(&self.definition, &self.lock, &places, &request).unwrap();
            (inputs.initramfs_key.clone(), inputs.build_id().unwrap())
        }
    }

    /// The change makes another image, and another initramfs or the same.
    fn check(what: &str, another_initramfs: bool, change: impl Fn(&mut Ground)) {
        let mut ground = Ground::new();
        let before = ground.keys();
        assert_eq!(before, ground.keys());
        change(&mut ground);
        let after = ground.keys();
        assert_ne!(before.1, after.1, "{what}: the image");
        assert_eq!(before.0 != after.0, another_initramfs, "{what}: the initramfs");
    }

    #[test]
    fn what_is_not_in_the_initramfs_makes_no_other_one() {
        for program in HOST_PROGRAMS {
            check(program, false, |ground| ground.put(&format!("programs/{program}")));
        }
        check("root overlay", false, |ground| ground.put("root/file"));
        check("units", false, |ground| ground.definition.units.mask.push("x.service".into()));
        check("arguments", false, |ground| ground.definition.kernel.arguments.push("x".into()));
        check("name", false, |ground| ground.definition.name.push('x'));
    }

    #[test]
    fn what_is_in_the_initramfs_makes_another_one() {
        check("drivers", true, |ground| ground.definition.kernel.drivers.push("x".into()));
        check("modules", true, |ground| ground.definition.initramfs.modules.push("x".into()));
        check("initramfs overlay", true, |ground| ground.put("early/file"));
        check("tree", true, |ground| ground.lock.packages[0].sha256 = "1".repeat(64));
    }

    #[test]
    fn an_initramfs_that_changed_in_the_cache_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CachePaths::new(dir.path().to_owned());
        fs::create_dir(dir.path().join("initramfs")).unwrap();
        let image = dir.path().join("made");
        fs::write(&image, "initramfs").unwrap();
        assert!(!is_cached(&cache, "key"));
        store(&image, &cache, "key").unwrap();
        assert!(is_cached(&cache, "key") && !is_cached(&cache, "other"));
        fs::write(cache.initramfs("key"), "initramfX").unwrap();
        assert!(!is_cached(&cache, "key"));
        fs::write(&image, "initramfs").unwrap();
        store(&image, &cache, "key").unwrap();
        fs::remove_file(cache.initramfs_hash("key")).unwrap();
        assert!(!is_cached(&cache, "key"));
    }
}
