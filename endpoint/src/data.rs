//! The endpoint's folder: what lies in it, and that one endpoint has it.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_durable::PRIVATE;
use rustix::fs::{FlockOperation, flock};

/// The folder.
#[derive(Debug, Clone)]
pub struct Data {
    folder: PathBuf,
}

/// Holds the folder, or what is done in it, for this process.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "the lock goes with the file")] File);

impl Data {
    /// The folder `folder`, which may not be there yet.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.join("endpoint.db")
    }

    /// The CA's certificate, PEM, and those of the CAs before it that are trusted still.
    #[must_use]
    pub fn ca_certificate(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The CA's key, PEM.
    #[must_use]
    pub fn ca_key(&self) -> PathBuf {
        self.folder.join("ca.key")
    }

    /// The key of the next CA, while that takes the place of the one before.
    #[must_use]
    pub fn ca_next_key(&self) -> PathBuf {
        self.folder.join("ca.next.key")
    }

    /// SHA-256 of the CA's certificate, for people.
    #[must_use]
    pub fn ca_fingerprint(&self) -> PathBuf {
        self.folder.join("ca.sha256")
    }

    /// The key of secrets at rest.
    #[must_use]
    pub fn secrets_key(&self) -> PathBuf {
        self.folder.join("secrets.key")
    }

    /// What a restore puts in place, once all of it is on the disk.
    #[must_use]
    pub fn restored(&self) -> PathBuf {
        self.folder.join("restored")
    }

    /// The operator's token.
    #[must_use]
    pub fn operator_token(&self) -> PathBuf {
        self.folder.join("operator.token")
    }

    /// Where the endpoint that runs answers, for people and tests.
    #[must_use]
    pub fn url(&self) -> PathBuf {
        self.folder.join("url")
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the folder, for its owner only, and takes it.
    ///
    /// # Errors
    /// Another endpoint has it, or it cannot be made.
    pub fn lock(&self) -> Result<Lock> {
        let name = self.folder.display();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.folder)
            .with_context(|| format!("cannot make the folder `{name}`"))?;
        let lock = take(&self.folder.join("lock"))?;
        lock.with_context(|| format!("an endpoint runs in `{name}`"))
    }

    /// Takes the part of who makes a backup of the folder; none where another has it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn lock_for_backup(&self) -> Result<Option<Lock>> {
        take(&self.folder.join("backup.lock"))
    }

    /// Checks that the folder is a whole endpoint's, or nobody's yet. One that has keys of a CA and
    /// no database is neither: its hosts would find another endpoint in the place of theirs.
    ///
    /// # Errors
    /// It is neither.
    pub fn check_whole(&self) -> Result<()> {
        let keys = [self.ca_certificate(), self.ca_key(), self.ca_next_key()];
        let Some(key) = keys.into_iter().find(|key| key.exists()) else { return Ok(()) };
        if self.database().exists() {
            return Ok(());
        }
        bail!(
            "`{}` is there, and its database `{}` is not\n\
             hint: `basalt-endpoint restore FILE --overwrite` brings both back; a new endpoint \
             begins in an empty folder",
            key.display(),
            self.database().display()
        )
    }
}

/// Locks the file `path`; none where another process has it.
fn take(path: &Path) -> Result<Option<Lock>> {
    let file = File::create(path).with_context(|| format!("cannot open `{}`", path.display()))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock(file))),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot lock `{}`", path.display())),
    }
}

/// The private file `path`, or what `make` makes where it is not there yet.
///
/// # Errors
/// It cannot be read or written.
pub fn read_or_make(path: &Path, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let there = basalt_durable::read(path);
    if let Some(bytes) = there.with_context(|| format!("cannot read `{}`", path.display()))? {
        return Ok(bytes);
    }
    let bytes = make()?;
    basalt_durable::write(path, &bytes, PRIVATE)
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(bytes)
}
