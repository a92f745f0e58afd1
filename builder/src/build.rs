//! `basalt build`: carries out what the plan says, stage after stage.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use basalt_deploy::Repo;
use basalt_release::seal_image;

use crate::cache::{self, Cache, Claim, remove_tree};
use crate::definition::{Definition, Format};
use crate::key::{self, ReleaseKey};
use crate::lock::{self, Fetcher, Lock, LockPolicy};
use crate::manifest::{Disk, FORM, Live, Manifest, Part};
use crate::plan::{self, Kept, Places, Request, Target};
use crate::progress::Progress;
use crate::stage::commit::{Export, Stamp};
use crate::stage::compose::Inputs;
use crate::stage::release::{Release, Trust};
use crate::stage::{commit, disk, initramfs, iso, live, qcow2, tree};

/// How long a mirror may stay silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// What `basalt build` was asked for.
pub struct Options {
    /// Where it reads and writes.
    pub places: Places,
    /// `--version`.
    pub version: Option<String>,
    /// `--format`, in place of the definition's.
    pub formats: Option<Vec<Format>>,
    /// `--locked`, `--update`, or neither.
    pub lock: LockPolicy,
    /// `--sign-key`.
    pub sign_key: Option<PathBuf>,
    /// `--trust`.
    pub trust: Vec<PathBuf>,
    /// Now, in seconds since 1970.
    pub now: u64,
}

/// What a build made, or found made.
pub struct Built {
    /// Its manifest.
    pub manifest: Manifest,
    /// The folder that holds it.
    pub folder: PathBuf,
    /// Whether anything had to be done.
    pub fresh: bool,
}

/// Builds an image. Whatever was made before from the same inputs is taken as it is.
///
/// # Errors
/// Bad input, no network, no space, or a tool that failed; what is in the output folder stays
/// whole.
pub fn build(options: &Options, progress: Progress) -> Result<Built> {
    let places = &options.places;
    let mut definition = Definition::load(&places.definition)?;
    if let Some(formats) = &options.formats {
        definition.formats.clone_from(formats);
    }
    let request = Request {
        version: options.version.clone(),
        trusted_keys: key::trusted(options.sign_key.as_deref(), &options.trust)?,
    };
    let _out = lock_output(&places.out, progress)?;
    let cache = Cache::open(&places.cache, progress)?;
    let build = Build { definition: &definition, options, request, cache: &cache, progress };
    let lock = build.lock()?;
    let target = plan::target(&definition, &lock, places, &build.request)?;
    if let Some(manifest) = plan::finished(&target) {
        return Ok(Built { manifest, folder: target.folder, fresh: false });
    }
    plan::refuse_to_overwrite(&target)?;
    let manifest = build.make(&lock, &target)?;
    Ok(Built { manifest, folder: target.folder, fresh: true })
}

/// Makes the output folder and waits for a build that writes to it.
fn lock_output(out: &Path, progress: Progress) -> Result<fs::File> {
    fs::create_dir_all(out).with_context(|| {
        let out = out.display();
        format!("cannot create the output folder `{out}`\nhint: name another one with `--out DIR`")
    })?;
    let claim = Claim { user: "build", what: "output folder", flag: "--out" };
    cache::lock(&out.join(".lock"), claim, progress)
}

struct Build<'a> {
    definition: &'a Definition,
    options: &'a Options,
    request: Request,
    cache: &'a Cache,
    progress: Progress,
}

impl Build<'_> {
    fn lock(&self) -> Result<Lock> {
        let path = Lock::path_for(&self.options.places.definition);
        match plan::usable_lock(self.definition, &path, self.options.lock)? {
            Some(lock) => Ok(lock),
            None => self.resolve(),
        }
    }

    fn resolve(&self) -> Result<Lock> {
        let step = self.progress.step("lock");
        let lock = lock::resolve(self.definition, self.cache, self.options.now, PATIENCE, &step)?;
        lock.write(&Lock::path_for(&self.options.places.definition))?;
        step.finish(&format!("{} packages", lock.packages.len()));
        Ok(lock)
    }

    /// The tree, from the cache or from its packages. A package that cannot be had is an error and
    /// never a reason for another lock: a host must not change because a network failed.
    fn tree(&self, lock: &Lock, key: &str) -> Result<()> {
        if tree::is_cached(key, self.cache)? {
            let step = self.progress.step("tree");
            if tree::is_whole(key, self.cache, &step)? {
                step.finish(&key[..12]);
                return Ok(());
            }
        }
        self.fetch(lock)?;
        let step = self.progress.step("tree");
        tree::make(self.definition, lock, self.cache, &step)?;
        step.finish(&key[..12]);
        Ok(())
    }

    fn fetch(&self, lock: &Lock) -> Result<()> {
        let step = self.progress.step("fetch");
        Fetcher::new(&self.definition.debian, PATIENCE).fetch(lock, self.cache, &step)?;
        step.finish(&format!("{} MB of packages", lock.total_size() / 1_000_000));
        Ok(())
    }

    fn make(&self, lock: &Lock, target: &Target) -> Result<Manifest> {
        self.tree(lock, &target.tree_key)?;
        if !initramfs::is_cached(self.cache, &target.initramfs_key) {
            let step = self.progress.step("initramfs");
            let key = &target.initramfs_key;
            initramfs::make(self.definition, lock, key, self.cache, &step)?;
            step.finish(&key[..12]);
        }
        let key = match &self.options.sign_key {
            Some(path) => key::load(path)?,
            None => key::development()?,
        };
        let commit = self.commit(lock, target, &key)?;
        self.output(lock, target, &commit, &key)
    }

    fn commit(&self, lock: &Lock, target: &Target, key: &ReleaseKey) -> Result<String> {
        let step = self.progress.step("commit");
        let places = &self.options.places;
        let inputs = Inputs {
            definition: self.definition,
            tree_key: target.tree_key.clone(),
            initramfs_key: target.initramfs_key.clone(),
            programs: &places.programs,
            trusted_keys: self.request.trusted_keys.clone(),
        };
        let release = Release {
            version: target.version.clone(),
            build_id: target.build_id.clone(),
            trust: self.request.trust(),
        };
        let commit = commit::make(
            &inputs,
            &release,
            &Stamp { time: lock.resolved, key: &key.signing },
            self.cache,
            &step,
        )?;
        let output = places.out.join("repo");
        let ref_name = &self.definition.ostree_ref;
        let to = Export { output: &output, ref_name, keyring: &key.keyring };
        commit::export(&commit, self.cache, &to, &step)?;
        step.finish(&commit[..12]);
        Ok(commit)
    }

    /// The output's folder: what the definition asks for, what was there of the same, and what
    /// tells of the build.
    fn output(
        &self,
        lock: &Lock,
        target: &Target,
        commit: &str,
        key: &ReleaseKey,
    ) -> Result<Manifest> {
        let staging = self.staging(target)?;
        let kept = plan::kept(target);
        let disks = self.disks(commit, &kept, (&target.folder, &staging))?;
        let live = self.live(lock, target, commit, (&kept, &staging))?;
        let iso = self.iso(lock, target, commit, (&kept, live.as_ref(), &staging))?;
        let release = match self.request.trust() {
            Trust::Signed => "signed",
            Trust::Unsigned => "unsigned",
        };
        let manifest = Manifest {
            form: FORM,
            name: self.definition.name.clone(),
            version: target.version.clone(),
            build_id: target.build_id.clone(),
            commit: commit.to_owned(),
            ref_name: self.definition.ostree_ref.clone(),
            release: release.to_owned(),
            signed_by: key.signing.fingerprint.clone(),
            packages: lock.packages.len(),
            disk_key: target.disk_key.clone(),
            disk: disks.raw,
            qcow2: disks.qcow2,
            live,
            iso,
        };
        lock.write(&staging.join("packages.lock"))?;
        manifest.write(&staging)?;
        if self.request.trust() == Trust::Signed {
            sign(&manifest, key, &staging)?;
        }
        remove_tree(&target.folder)?;
        basalt_durable::rename(&staging, &target.folder)
            .with_context(|| format!("cannot place `{}`", target.folder.display()))?;
        Ok(manifest)
    }

    /// The disk, in the forms that are asked for.
    fn disks(&self, commit: &str, kept: &Kept, (old, to): (&Path, &Path)) -> Result<Disks> {
        let step = self.progress.step("disk");
        let asks = |format| self.definition.formats.contains(&format);
        let mut disks = Disks { raw: kept.disk.clone(), qcow2: kept.qcow2.clone() };
        for file in kept.disk.iter().map(|disk| &disk.file) {
            keep(file, old, to)?;
        }
        if let Some(part) = &kept.qcow2 {
            keep(&part.file, old, to)?;
        }
        let wants_qcow2 = asks(Format::Qcow2) && disks.qcow2.is_none();
        if disks.raw.is_none() && (asks(Format::Raw) || wants_qcow2) {
            disks.raw = Some(disk::make(self.definition, commit, self.cache, to, &step)?);
            // Another disk has other ids: what was made of the one before is none of this one.
            disks.qcow2 = None;
        }
        if let (Some(raw), true) = (&disks.raw, asks(Format::Qcow2) && disks.qcow2.is_none()) {
            step.note("compressing the disk");
            disks.qcow2 = Some(qcow2::make(&to.join(&raw.file), to)?);
        }
        if let Some(raw) = disks.raw.take_if(|_| !asks(Format::Raw) && kept.disk.is_none()) {
            fs::remove_file(to.join(&raw.file)).context("cannot remove a disk for the work")?;
        }
        step.finish(&disks.told());
        Ok(disks)
    }

    /// The live system, where one is asked for or was there.
    fn live(
        &self,
        lock: &Lock,
        target: &Target,
        commit: &str,
        (kept, staging): (&Kept, &Path),
    ) -> Result<Option<Live>> {
        if let Some(live) = &kept.live {
            let sums = format!("{}/{}", live::FOLDER, live::SUMS);
            for file in live.parts().map(|part| &part.file).into_iter().chain([&sums]) {
                keep(file, &target.folder, staging)?;
            }
            return Ok(Some(live.clone()));
        }
        let Some(key) = &target.live_key else { return Ok(None) };
        let step = self.progress.step("live");
        let inputs = live::Inputs {
            definition: self.definition,
            lock,
            commit,
            version: &target.version,
            programs: &self.options.places.programs,
            key,
        };
        let live = live::make(&inputs, self.cache, staging, &step)?;
        if live::key(self.definition, inputs.programs, &[&target.disk_key])? != *key {
            bail!(
                "a folder or program of the live system changed during the build\nhint: build again"
            );
        }
        let total: u64 = live.parts().map(|part| part.size).iter().sum();
        step.finish(&format!("{} MB", total / 1_000_000));
        Ok(Some(live))
    }

    /// The medium, where one is asked for or was there.
    fn iso(
        &self,
        lock: &Lock,
        target: &Target,
        commit: &str,
        (kept, live, staging): (&Kept, Option<&Live>, &Path),
    ) -> Result<Option<Part>> {
        if let Some(iso) = &kept.iso {
            keep(&iso.file, &target.folder, staging)?;
            return Ok(Some(iso.clone()));
        }
        let wanted = live.filter(|_| self.definition.formats.contains(&Format::Iso));
        let Some(live) = wanted else { return Ok(None) };
        let step = self.progress.step("iso");
        let title = Repo::open(&self.cache.repo())?.title(commit)?;
        let inputs = iso::Inputs { title: &title, commit, time: lock.resolved };
        let iso = iso::make(&inputs, live, self.cache, staging, &step)?;
        step.finish(&format!("{} MB", iso.size / 1_000_000));
        Ok(Some(iso))
    }

    /// An empty folder beside the target's, which it will become by a rename.
    fn staging(&self, target: &Target) -> Result<PathBuf> {
        let parent = self.options.places.out.join(&self.definition.name);
        let staging = parent.join(format!(".{}.new", target.version));
        remove_tree(&staging)?;
        fs::create_dir_all(&staging)
            .with_context(|| format!("cannot create `{}`", staging.display()))?;
        Ok(staging)
    }
}

/// A disk, in the forms that a build has.
struct Disks {
    raw: Option<Disk>,
    qcow2: Option<Part>,
}

impl Disks {
    fn told(&self) -> String {
        let raw = self.raw.as_ref().map(|disk| disk.allocated);
        match raw.or(self.qcow2.as_ref().map(|part| part.size)) {
            Some(bytes) => format!("{} MB", bytes / 1_000_000),
            None => "none asked for".to_owned(),
        }
    }
}

/// Takes a file over from the output of before, which stays whole until the new one is.
fn keep(file: &str, old: &Path, new: &Path) -> Result<()> {
    let (from, to) = (old.join(file), new.join(file));
    let folder = to.parent().unwrap_or(new);
    let kept = fs::create_dir_all(folder).and_then(|()| fs::hard_link(&from, &to));
    kept.with_context(|| format!("cannot keep `{}`", from.display()))
}

/// Says of the disk what is in it, signed by the half of the release key that signs manifests. A
/// key of before may have none, and its disks are as those of no key.
fn sign(manifest: &Manifest, key: &ReleaseKey, folder: &Path) -> Result<()> {
    let (Some(image), Some(signer)) = (manifest.image(), &key.manifests) else { return Ok(()) };
    let sealed = seal_image(&image, std::slice::from_ref(signer))?;
    basalt_durable::write(&folder.join(Manifest::SIGNED), &sealed, basalt_durable::PUBLIC)
        .with_context(|| format!("cannot write the signed manifest in `{}`", folder.display()))
}

#[cfg(test)]
mod tests {
    use basalt_release::open_image;

    use super::*;

    #[test]
    fn what_is_signed_of_a_disk_is_what_its_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, _) = key::create("release", folder.path()).unwrap();
        let key = key::load(&secret).unwrap();
        let disk = Disk {
            file: "disk.raw".to_owned(),
            size: 7,
            allocated: 1,
            digest: Some("d1".repeat(32)),
        };
        let commit = "c1".repeat(32);
        let manifest = Manifest { commit, disk: Some(disk), ..Manifest::sample() };
        sign(&manifest, &key, folder.path()).unwrap();
        let sealed = fs::read(folder.path().join(Manifest::SIGNED)).unwrap();
        let trusted = [key.manifests.as_ref().unwrap().public()];
        assert_eq!(open_image(&sealed, Some(&trusted)).ok(), manifest.image());
        // Without a disk there is nothing to sign.
        let other = tempfile::tempdir().unwrap();
        sign(&Manifest { disk: None, ..manifest }, &key, other.path()).unwrap();
        assert!(!other.path().join(Manifest::SIGNED).exists());
    }
}
