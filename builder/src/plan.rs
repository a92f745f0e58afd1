//! What a build would do, worked out without doing any of it.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use basalt_deploy::{CommitInfo, Repo};
use serde::Serialize;

use crate::cache::CachePaths;
use crate::definition::{Definition, Format};
use crate::fingerprint::{Fingerprint, InputError};
use crate::key::TrustedKey;
use crate::lock::{Lock, LockPolicy};
use crate::manifest::{Disk, Live, Manifest, Part};
use crate::stage::compose::{HOST_PROGRAMS, Inputs};
use crate::stage::{commit, initramfs, live, release::Trust, tree};
use crate::version;

/// Where a build reads and writes.
#[derive(Debug, Clone)]
pub struct Places {
    /// The definition file.
    pub definition: PathBuf,
    /// The output folder.
    pub out: PathBuf,
    /// The cache.
    pub cache: CachePaths,
    /// Folder with the host programs.
    pub programs: PathBuf,
}

/// One stage, and whether its result is there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StagePlan {
    /// Name of the stage.
    pub stage: &'static str,
    /// Whether nothing has to be done.
    pub cached: bool,
    /// What it makes or would do.
    pub detail: String,
}

/// Everything that follows from a definition and its lock.
pub struct Target {
    /// Fingerprint of the tree of packages.
    pub tree_key: String,
    /// Fingerprint of the initramfs.
    pub initramfs_key: String,
    /// Hash of everything in the commit.
    pub build_id: String,
    /// Hash of everything on the disk.
    pub disk_key: String,
    /// Hash of everything that the live system is made from, where one is asked for.
    pub live_key: Option<String>,
    /// What is asked for.
    pub formats: Vec<Format>,
    /// The version it gets.
    pub version: String,
    /// Folder of its output.
    pub folder: PathBuf,
}

/// What the caller asked for beside the definition.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// `--version`.
    pub version: Option<String>,
    /// What hosts of the image trust: the public half of the release key first; none without one.
    pub trusted_keys: Vec<TrustedKey>,
}

impl Request {
    /// Who will vouch for the image.
    #[must_use]
    pub fn trust(&self) -> Trust {
        if self.trusted_keys.is_empty() { Trust::Unsigned } else { Trust::Signed }
    }
}

/// Works out the target of a locked definition.
///
/// # Errors
/// An input cannot be read, or no version can be given.
pub fn target(
    definition: &Definition,
    lock: &Lock,
    places: &Places,
    request: &Request,
) -> Result<Target> {
    let inputs = inputs(definition, lock, places, request)?;
    let build_id = inputs.build_id().map_err(|error| unreadable(error, &places.programs))?;
    let head = head(places, definition)?;
    let given = given_versions(&places.out.join(&definition.name));
    let version = version::choose(request.version.as_deref(), head.as_ref(), &given, &build_id)?;
    let folder = places.out.join(&definition.name).join(&version);
    let disk_key = Fingerprint::new("disk 2")
        .part(build_id.as_bytes())
        .part(version.as_bytes())
        .value(&definition.disk)
        // What else is asked for makes no other disk.
        .value(&[Format::Raw])
        .value(&(request.trust() == Trust::Signed))
        .hex();
    let formats = definition.formats.clone();
    let live_key = if formats.iter().any(|format| format.is_live()) {
        let programs = &places.programs;
        let key = live::key(definition, programs, &[&disk_key]);
        Some(key.map_err(|error| unreadable(error, programs))?)
    } else {
        None
    };
    let Inputs { tree_key, initramfs_key, .. } = inputs;
    Ok(Target { tree_key, initramfs_key, build_id, disk_key, live_key, formats, version, folder })
}

/// Says where host programs are looked for, when it is one of them that cannot be read.
fn unreadable(error: InputError, programs: &Path) -> anyhow::Error {
    if error.path.parent() != Some(programs) {
        return error.into();
    }
    anyhow::Error::from(error).context(format!(
        "a host program is missing\nhint: they ({}, and {} for a live system) are looked for in \
         `{}`; name another folder with `--host-programs`",
        HOST_PROGRAMS.join(", "),
        live::PROGRAM,
        programs.display()
    ))
}

/// The inputs of the composition.
///
/// # Errors
/// An overlay cannot be read.
pub fn inputs<'a>(
    definition: &'a Definition,
    lock: &Lock,
    places: &'a Places,
    request: &Request,
) -> Result<Inputs<'a>> {
    let tree_key = tree::key(definition, lock);
    let initramfs_key = initramfs::key(definition, &tree_key)?;
    let trusted_keys = request.trusted_keys.clone();
    Ok(Inputs { definition, tree_key, initramfs_key, programs: &places.programs, trusted_keys })
}

/// The manifest of the target, when its output is there and whole.
#[must_use]
pub fn finished(target: &Target) -> Option<Manifest> {
    let manifest = Manifest::read(&target.folder)?;
    let same = manifest.disk_key == target.disk_key && manifest.is_whole(&target.folder);
    let is_live = manifest.live.as_ref().map(|live| &live.key) == target.live_key.as_ref();
    let has = |format: &Format| match format {
        Format::Raw => manifest.disk.is_some(),
        Format::Qcow2 => manifest.qcow2.is_some(),
        Format::Live => is_live,
        Format::Iso => is_live && manifest.iso.is_some(),
    };
    (same && target.formats.iter().all(has)).then_some(manifest)
}

/// What an output has that need not be made again.
#[derive(Debug, Default)]
pub struct Kept {
    /// The disk.
    pub disk: Option<Disk>,
    /// The disk as qcow2.
    pub qcow2: Option<Part>,
    /// The live system.
    pub live: Option<Live>,
    /// The same on a medium.
    pub iso: Option<Part>,
}

/// What was made from the same and is there; also what is not asked for this time, for nothing of a
/// version is taken away by asking for more of it.
#[must_use]
pub fn kept(target: &Target) -> Kept {
    let Some(old) = Manifest::read(&target.folder) else { return Kept::default() };
    if old.disk_key != target.disk_key || !old.is_whole(&target.folder) {
        return Kept::default();
    }
    let wanted = target.live_key.as_ref();
    let live = old.live.filter(|live| wanted.is_none_or(|key| *key == live.key));
    let iso = old.iso.filter(|_| live.is_some());
    Kept { disk: old.disk, qcow2: old.qcow2, live, iso }
}

/// Refuses a target whose folder holds another build: a version is published under its name, and
/// never becomes something else.
///
/// # Errors
/// It does; the message says what to do.
pub fn refuse_to_overwrite(target: &Target) -> Result<()> {
    let Some(old) = Manifest::read(&target.folder) else { return Ok(()) };
    if old.build_id == target.build_id {
        return Ok(());
    }
    bail!(
        "`{}` holds another build of version {}\nhint: choose another `--version`, or remove that \
         folder",
        target.folder.display(),
        target.version
    )
}

/// The versions whose output is in `folder`; none when it cannot be read.
fn given_versions(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The lock to build from: the one beside the definition, when it answers what the definition
/// asks for. `None` when the mirrors have to be asked. What the network does never decides that.
///
/// # Errors
/// The lock is damaged; or it must be kept, and there is none that fits.
pub fn usable_lock(
    definition: &Definition,
    path: &Path,
    policy: LockPolicy,
) -> Result<Option<Lock>> {
    if policy == LockPolicy::Update {
        return Ok(None);
    }
    let locked = policy == LockPolicy::Keep;
    let lock = Lock::read(path)?;
    let fits = |lock: &Lock| lock.request == Lock::request_of(definition);
    match lock {
        Some(lock) if fits(&lock) => Ok(Some(lock)),
        Some(_) if locked => bail!(
            "the lock `{}` was made for other packages than the definition asks for\n\
             hint: build once without `--locked` and commit the new lock",
            path.display()
        ),
        None if locked => bail!(
            "there is no lock `{}`\nhint: build once without `--locked` and commit the lock",
            path.display()
        ),
        _ => Ok(None),
    }
}

/// The stages of a build, with what the caches have.
///
/// # Errors
/// An input cannot be read.
pub fn stages(
    definition: &Definition,
    lock: Option<&Lock>,
    places: &Places,
    request: &Request,
) -> Result<Vec<StagePlan>> {
    let Some(lock) = lock else { return Ok(unlocked_stages()) };
    let target = target(definition, lock, places, request)?;
    let repo = Repo::open(&places.cache.repo()).ok();
    let has = |name: String| match &repo {
        Some(repo) => repo.resolve(&name).map(|commit| commit.is_some()),
        None => Ok(false),
    };
    let tree = has(tree::ref_name(&target.tree_key))?;
    let absent = lock.packages.iter().filter(|p| !places.cache.package(&p.sha256).exists()).count();
    let fetch = format!("{absent} of {} packages to get", lock.packages.len());
    let short = |key: &str| key[..12].to_owned();
    let plan = |stage, cached, detail| StagePlan { stage, cached, detail };
    Ok(vec![
        plan("lock", true, format!("{} packages", lock.packages.len())),
        plan("fetch", tree || absent == 0, fetch),
        plan("tree", tree, short(&target.tree_key)),
        plan(
            "initramfs",
            initramfs::is_cached(&places.cache, &target.initramfs_key),
            short(&target.initramfs_key),
        ),
        plan(
            "commit",
            has(commit::cache_ref(&target.build_id, &target.version))?,
            format!("{} version {}", definition.ostree_ref, target.version),
        ),
        plan("disk", has_disks(&target), output(&target)),
    ]
    .into_iter()
    .chain(live_stage(&target))
    .collect())
}

fn has_disks(target: &Target) -> bool {
    let Kept { disk, qcow2, .. } = kept(target);
    let has = |format: &Format| match format {
        Format::Raw => disk.is_some(),
        Format::Qcow2 => qcow2.is_some(),
        Format::Live | Format::Iso => true,
    };
    let there = Manifest::read(&target.folder).is_some_and(|old| old.disk_key == target.disk_key);
    there && target.formats.iter().all(has)
}

fn has_live(target: &Target) -> bool {
    let Kept { live, iso, .. } = kept(target);
    live.is_some() && (iso.is_some() || !target.formats.contains(&Format::Iso))
}

fn live_stage(target: &Target) -> Option<StagePlan> {
    let key = target.live_key.as_ref()?;
    Some(StagePlan { stage: "live", cached: has_live(target), detail: key[..12].to_owned() })
}

/// What the stage of disks makes.
fn output(target: &Target) -> String {
    let folder = target.folder.display();
    if target.formats.iter().any(|format| matches!(format, Format::Raw | Format::Qcow2)) {
        folder.to_string()
    } else {
        format!("{folder}, without a disk: `formats` asks for none")
    }
}

fn unlocked_stages() -> Vec<StagePlan> {
    let plan = |stage, detail: &str| StagePlan { stage, cached: false, detail: detail.to_owned() };
    vec![
        plan("lock", "to be made: the mirror will be asked"),
        plan("fetch", "after the lock"),
        plan("tree", "after the lock"),
        plan("initramfs", "after the lock"),
        plan("commit", "after the lock"),
        plan("disk", "after the lock"),
    ]
}

fn head(places: &Places, definition: &Definition) -> Result<Option<CommitInfo>> {
    let path = places.out.join("repo");
    if !path.join("config").exists() {
        return Ok(None);
    }
    Ok(Repo::open(&path)?.describe(&definition.ostree_ref)?)
}

impl fmt::Display for StagePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.cached { "cached" } else { "to do" };
        write!(f, "{:<10} {state:<7} {}", self.stage, self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the output of the build `x` as version 5.
    fn out() -> tempfile::TempDir {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("5");
        std::fs::create_dir(&folder).unwrap();
        let disk = Disk { file: "disk.raw".into(), size: 1, allocated: 1, digest: None };
        let manifest = Manifest { disk: Some(disk), ..Manifest::sample() };
        manifest.write(&folder).unwrap();
        out
    }

    fn target(out: &Path, version: &str, build_id: &str) -> Target {
        Target {
            tree_key: String::new(),
            initramfs_key: String::new(),
            build_id: build_id.into(),
            disk_key: String::new(),
            live_key: None,
            formats: Vec::new(),
            version: version.into(),
            folder: out.join(version),
        }
    }

    #[test]
    fn a_version_never_becomes_another_build() {
        let out = out();
        let error = refuse_to_overwrite(&target(out.path(), "5", "y")).unwrap_err().to_string();
        assert!(error.contains("another build of version 5\nhint: choose another"), "{error}");
        refuse_to_overwrite(&target(out.path(), "5", "x")).unwrap();
        refuse_to_overwrite(&target(out.path(), "6", "y")).unwrap();
    }

    #[test]
    fn an_output_is_finished_with_all_that_its_manifest_names() {
        let out = out();
        let target = Target { disk_key: "d".into(), ..target(out.path(), "5", "x") };
        assert_eq!(finished(&target), None);
        std::fs::write(target.folder.join("disk.raw"), "1").unwrap();
        let mut manifest = finished(&target).unwrap();
        std::fs::remove_file(target.folder.join("disk.raw")).unwrap();
        manifest.disk = None;
        manifest.write(&target.folder).unwrap();
        assert_eq!(finished(&target), Some(manifest));
    }

    #[test]
    fn what_is_there_is_kept_and_what_is_asked_for_beside_it_is_missing() {
        let out = out();
        let of = |formats: &[Format]| Target {
            disk_key: "d".into(),
            live_key: formats.iter().any(|format| format.is_live()).then(|| "l".to_owned()),
            formats: formats.to_vec(),
            ..target(out.path(), "5", "x")
        };
        let disk_and_live = of(&[Format::Raw, Format::Live]);
        let folder = &disk_and_live.folder;
        std::fs::write(folder.join("disk.raw"), "1").unwrap();
        assert!(finished(&of(&[Format::Raw])).is_some());
        assert!(finished(&disk_and_live).is_none() && finished(&of(&[Format::Qcow2])).is_none());
        let there = kept(&disk_and_live);
        assert!(there.disk.is_some() && there.live.is_none());
        std::fs::create_dir(folder.join("live")).unwrap();
        let live = Live::sample(folder);
        let mut manifest = Manifest::read(folder).unwrap();
        manifest.live = Some(live);
        manifest.write(folder).unwrap();
        assert_eq!(finished(&disk_and_live), Some(manifest.clone()));
        let iso = of(&[Format::Iso]);
        assert!(finished(&iso).is_none() && kept(&iso).live.is_some() && !has_live(&iso));
        manifest.iso = Some(Part::of(folder, "disk.raw").unwrap());
        manifest.write(folder).unwrap();
        assert!(finished(&iso).is_some() && has_live(&iso));
        // Of another one nothing is kept; what is not asked for stays.
        assert!(kept(&of(&[Format::Raw])).live.is_some());
        manifest.live = manifest.live.map(|live| Live { key: "other".into(), ..live });
        manifest.write(folder).unwrap();
        assert!(finished(&disk_and_live).is_none() && kept(&disk_and_live).live.is_none());
        assert!(finished(&iso).is_none() && kept(&iso).iso.is_none());
        let other = Target { disk_key: "other".into(), ..disk_and_live };
        assert!(kept(&other).disk.is_none());
    }

    #[test]
    fn only_a_missing_host_program_is_looked_for_elsewhere() {
        let said = |path: &str| {
            let source = std::io::ErrorKind::PermissionDenied.into();
            let error = InputError { path: path.into(), source };
            basalt_explain::explain(&unreadable(error, Path::new("/programs")))
        };
        assert_eq!(
            said("/images/base/etc/x"),
            "cannot read `/images/base/etc/x`: permission denied"
        );
        let program = said("/programs/hostctl");
        assert!(program.contains("looked for in `/programs`; name another"), "{program}");
    }

    #[test]
    fn a_lock_that_must_be_kept_is_there_and_fits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("base.lock");
        let definition = crate::definition::example();
        let usable = |policy| usable_lock(&definition, &path, policy);
        let refused = || usable(LockPolicy::Keep).unwrap_err().to_string();
        let hint = "hint: build once without `--locked` and commit the";
        let none = format!("there is no lock `{}`\n{hint} lock", path.display());
        assert_eq!(refused(), none);
        assert_eq!(usable(LockPolicy::Follow).unwrap(), None);
        let mut lock = Lock { form: 1, request: "x".into(), resolved: 1, packages: Vec::new() };
        lock.write(&path).unwrap();
        assert!(refused().contains("was made for other packages"), "{}", refused());
        assert!(refused().ends_with(&format!("{hint} new lock")), "{}", refused());
        assert_eq!(usable(LockPolicy::Follow).unwrap(), None);
        lock.request = Lock::request_of(&definition);
        lock.write(&path).unwrap();
        assert_eq!(usable(LockPolicy::Keep).unwrap(), Some(lock));
        assert_eq!(usable(LockPolicy::Update).unwrap(), None);
    }

    #[test]
    fn every_version_with_an_output_was_given() {
        let out = out();
        assert_eq!(given_versions(out.path()), ["5"]);
        assert_eq!(given_versions(Path::new("/nonexistent")), [""; 0]);
    }
}
