//! The cache folder: what a later build need not make or fetch again.
//!
//! `packages/` holds Debian packages by hash, `repo/` trees as commits of a bare OSTree
//! repository, `initramfs/` initramfs images by the fingerprint of what they were made from,
//! `apt/` package lists, `tmp/` work under way. Everything appears in its place by a rename or as
//! a ref, so what is there is whole; what a cut build left in `tmp/` goes at the next one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, IFlags, flock, ioctl_getflags, ioctl_setflags};

use crate::progress::Progress;

/// Where things lie in a cache.
#[derive(Debug, Clone)]
pub struct CachePaths {
    root: PathBuf,
}

impl CachePaths {
    /// The cache in this folder, which need not be there.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where the cache lies when nobody says: `$BASALT_CACHE`, or `basalt` in the user's cache
    /// folder.
    ///
    /// # Errors
    /// The user has no home folder.
    pub fn default_root() -> Result<PathBuf> {
        let var = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(root) = var("BASALT_CACHE") {
            return Ok(root.into());
        }
        if let Some(base) = var("XDG_CACHE_HOME") {
            return Ok(Path::new(&base).join("basalt"));
        }
        let home = var("HOME").context("no home folder\nhint: set `HOME`, or name a `--cache`")?;
        Ok(Path::new(&home).join(".cache/basalt"))
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The file of the package with this SHA-256.
    #[must_use]
    pub fn package(&self, sha256: &str) -> PathBuf {
        self.root.join("packages").join(format!("{sha256}.deb"))
    }

    /// The repository of trees.
    #[must_use]
    pub fn repo(&self) -> PathBuf {
        self.root.join("repo")
    }

    /// The initramfs made from what this fingerprint names.
    #[must_use]
    pub fn initramfs(&self, fingerprint: &str) -> PathBuf {
        self.root.join("initramfs").join(format!("{fingerprint}.img"))
    }

    /// The SHA-256 of that initramfs.
    #[must_use]
    pub fn initramfs_hash(&self, fingerprint: &str) -> PathBuf {
        self.initramfs(fingerprint).with_extension("sha256")
    }

    /// Package lists of the archives that this fingerprint names.
    #[must_use]
    pub fn apt(&self, fingerprint: &str) -> PathBuf {
        self.root.join("apt").join(&fingerprint[..16])
    }

    /// Work under way; on the same file system as everything else here.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }
}

const CLAIM: Claim = Claim { user: "build", what: "cache", flag: "--cache" };

/// A cache that this process alone may change.
#[derive(Debug)]
pub struct Cache {
    paths: CachePaths,
    _lock: File,
}

impl std::ops::Deref for Cache {
    type Target = CachePaths;

    fn deref(&self) -> &CachePaths {
        &self.paths
    }
}

impl Cache {
    /// Opens the cache, waiting for a build that uses it, and clears what a cut build left.
    ///
    /// # Errors
    /// The folder cannot be made or written, or belongs to another user.
    pub fn open(paths: &CachePaths, progress: Progress) -> Result<Self> {
        let root = &paths.root;
        fs::create_dir_all(root).with_context(|| {
            format!(
                "cannot create the cache folder `{}`\nhint: name another one with `--cache DIR`",
                root.display()
            )
        })?;
        let root = root.canonicalize()?;
        check_owner(&root)?;
        let lock = lock(&root.join("lock"), CLAIM, progress)?;
        let cache = Self { paths: CachePaths { root: root.clone() }, _lock: lock };
        remove_tree(&cache.tmp())?;
        for folder in ["packages", "initramfs", "apt", "tmp"] {
            fs::create_dir_all(root.join(folder))
                .with_context(|| format!("cannot write to the cache `{}`", root.display()))?;
        }
        Ok(cache)
    }
}

/// A folder that a build or a publication writes to and has to itself.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// Who writes to it, for people: what one waits for is another of these.
    pub user: &'static str,
    /// What it is, for people.
    pub what: &'static str,
    /// The flag that names another one.
    pub flag: &'static str,
}

/// Takes the lock file at `path`, and says so when that means to wait for another one who
/// claimed the same.
///
/// # Errors
/// The file cannot be created or locked.
pub fn lock(path: &Path, claim: Claim, progress: Progress) -> Result<File> {
    let Claim { user, what, flag } = claim;
    let doing = || {
        let path = path.display();
        format!("cannot lock the {what} with `{path}`\nhint: name another one with `{flag} DIR`")
    };
    let options = OpenOptions::new().create(true).truncate(false).write(true).open(path);
    let file = options.with_context(doing)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => return Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => (),
        Err(error) => return Err(error).with_context(doing),
    }
    progress.say(&format!("waiting for another {user} that uses the same {what} …"));
    flock(&file, FlockOperation::LockExclusive).with_context(doing)?;
    Ok(file)
}

/// Removes a folder with all that is in it; no error when there is none.
///
/// # Errors
/// Something in it cannot be removed.
pub fn remove_tree(path: &Path) -> Result<()> {
    let removed = match fs::remove_dir_all(path) {
        // libostree makes deployments immutable; a build that was cut off leaves them so.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            make_mutable(path);
            fs::remove_dir_all(path)
        }
        result => result,
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}

/// Takes the immutable flag off every folder below `path`, where the file system knows it.
fn make_mutable(path: &Path) {
    for entry in walkdir::WalkDir::new(path).into_iter().flatten() {
        if !entry.file_type().is_dir() {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        if let Ok(flags) = ioctl_getflags(&folder)
            && flags.contains(IFlags::IMMUTABLE)
        {
            // A refusal shows when the folder is removed, with its name.
            let _ = ioctl_setflags(&folder, flags - IFlags::IMMUTABLE);
        }
    }
}

/// Trees in the cache keep their owners, so root's cache and a user's cannot be one.
fn check_owner(root: &Path) -> Result<()> {
    let owner = fs::metadata(root)?.uid();
    if owner != rustix::process::geteuid().as_raw() {
        bail!(
            "the cache `{}` belongs to another user\nhint: name another with `--cache DIR`",
            root.display()
        );
    }
    Ok(())
}
