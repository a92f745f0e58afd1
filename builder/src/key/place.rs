//! Where a key's four files lie, and how they get there: all of them or none.
//!
//! They are written into a hidden folder beside. Its rename is the moment from which the key is
//! made; from there each file is moved to its place, the one that is loaded last. What a cut leaves
//! before that moment is made anew, what it leaves after is moved by the next one who makes a key
//! of this name.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::manifest;

/// Longer than anybody makes a key.
const DEADLINE: Duration = Duration::from_secs(150);
const TICK: Duration = Duration::from_millis(50);

/// The files of a key in one folder.
#[derive(Debug)]
pub(super) struct Files {
    pub(super) secret: PathBuf,
    pub(super) public: PathBuf,
}

impl Files {
    pub(super) fn of(folder: &Path, name: &str) -> Self {
        let at = |ending| folder.join(format!("{name}.{ending}"));
        Self { secret: at("key"), public: at("pub") }
    }

    /// In the order in which they come to their place.
    pub(super) fn all(&self) -> [PathBuf; 4] {
        let manifest = [manifest::public_beside(&self.secret), manifest::beside(&self.secret)];
        let [manifest_public, manifest] = manifest;
        [self.public.clone(), manifest_public, manifest, self.secret.clone()]
    }
}

/// Where a key of one name is made. Nobody else makes one in the folder meanwhile.
pub(super) struct Place<'a> {
    folder: &'a Path,
    name: &'a str,
    _lock: File,
}

impl<'a> Place<'a> {
    /// Waits for whoever makes a key in the folder now.
    pub(super) fn take(folder: &'a Path, name: &'a str) -> Result<Self> {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create `{}`", folder.display()))?;
        Ok(Self { folder, name, _lock: lock(folder)? })
    }

    /// The files in their place.
    pub(super) fn files(&self) -> Files {
        Files::of(self.folder, self.name)
    }

    /// An empty folder for the files of a new key.
    pub(super) fn draft(&self) -> Result<PathBuf> {
        let draft = self.hidden("new");
        let doing = || format!("cannot make a key in `{}`", draft.display());
        match fs::remove_dir_all(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(doing);
            }
            _ => (),
        }
        DirBuilder::new().mode(0o700).create(&draft).with_context(doing)?;
        Ok(draft)
    }

    /// The key in the draft is whole and synced: it is the key of this name from now on.
    pub(super) fn settle(&self) -> Result<()> {
        let (draft, made) = (self.hidden("new"), self.hidden("made"));
        basalt_durable::rename(&draft, &made)
            .with_context(|| format!("cannot move `{}`", draft.display()))?;
        self.finish()?;
        Ok(())
    }

    /// Moves what there still is of a key that was made. Whether there was one.
    pub(super) fn finish(&self) -> Result<bool> {
        let made = self.hidden("made");
        if !made.exists() {
            return Ok(false);
        }
        let sources = Files::of(&made, self.name).all();
        for (from, to) in sources.iter().zip(self.files().all()) {
            if !from.exists() {
                continue;
            }
            if to.exists() {
                bail!(
                    "`{}` exists, and a key of this name that was not finished lies in \
                     `{}`\nhint: move one of the two away",
                    to.display(),
                    made.display()
                );
            }
            basalt_durable::rename(from, &to)
                .with_context(|| format!("cannot write `{}`", to.display()))?;
        }
        fs::remove_dir(&made).with_context(|| format!("cannot remove `{}`", made.display()))?;
        Ok(true)
    }

    fn hidden(&self, state: &str) -> PathBuf {
        self.folder.join(format!(".{}.key.{state}", self.name))
    }
}

/// Locks a folder for as long as the file is open. Where its file system locks no folder, as some
/// over a network do, nobody is waited for.
fn lock(folder: &Path) -> Result<File> {
    let doing = || format!("cannot lock `{}`", folder.display());
    let file = File::open(folder).with_context(doing)?;
    let until = Instant::now() + DEADLINE;
    while let Err(Errno::WOULDBLOCK) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if Instant::now() > until {
            bail!("{}: somebody else has made a key there for {} s", doing(), DEADLINE.as_secs());
        }
        sleep(TICK);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A draft whose files have their own names in them.
    fn drafted(place: &Place) {
        let draft = place.draft().unwrap();
        assert_eq!(fs::metadata(&draft).unwrap().permissions().mode() & 0o777, 0o700);
        for path in Files::of(&draft, "k").all() {
            fs::write(&path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
        }
    }

    const ALL: [&str; 4] = ["k.key", "k.manifest.key", "k.manifest.pub", "k.pub"];

    #[test]
    fn a_draft_is_no_key_and_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path(), "k").unwrap();
        drafted(&place);
        assert!(!place.finish().unwrap());
        drafted(&place);
        place.settle().unwrap();
        assert_eq!(names(dir.path()), ALL);
    }

    #[test]
    fn a_key_that_was_made_is_finished_wherever_its_move_was_cut() {
        for moved in 0..=ALL.len() {
            let dir = tempfile::tempdir().unwrap();
            let place = Place::take(dir.path(), "k").unwrap();
            drafted(&place);
            let made = place.hidden("made");
            fs::rename(place.hidden("new"), &made).unwrap();
            let sources = Files::of(&made, "k").all();
            for (from, to) in sources.iter().zip(place.files().all()).take(moved) {
                fs::rename(from, to).unwrap();
            }
            assert_eq!(place.files().secret.exists(), moved == ALL.len());
            assert!(place.finish().unwrap());
            assert_eq!(names(dir.path()), ALL, "{moved} were moved");
            for name in ALL {
                assert_eq!(fs::read_to_string(dir.path().join(name)).unwrap(), name);
            }
        }
    }

    #[test]
    fn what_somebody_put_into_its_place_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::take(dir.path(), "k").unwrap();
        drafted(&place);
        fs::write(dir.path().join("k.manifest.key"), "another").unwrap();
        let error = place.settle().unwrap_err().to_string();
        assert!(
            error.contains("k.manifest.key` exists") && error.contains(".k.key.made"),
            "{error}"
        );
        assert_eq!(fs::read_to_string(dir.path().join("k.manifest.key")).unwrap(), "another");
        assert!(!place.files().secret.exists());
    }
}
