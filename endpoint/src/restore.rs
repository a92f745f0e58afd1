//! A restore puts a backup into the folder, or nothing of it.
//!
//! All of it is on the disk under another name before anything of what is there goes. From then on
//! the restore holds, and is finished by whoever comes next, the endpoint's start or another
//! restore; the database takes its place last.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use basalt_durable::PRIVATE;

use crate::backup::{parts, remove_folders, sweep};
use crate::data::Data;

/// How the folder begins in which a restore gathers what it will put in place.
const GATHERED: &str = ".restore-";

/// Whether a restore may replace what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It may.
    Yes,
    /// It may not.
    No,
}

/// A step of a restore that holds. Each may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// This file goes.
    Remove(PathBuf),
    /// This file of the restore takes its place.
    Place(PathBuf),
    /// The restore is done.
    Done,
}

/// Puts a backup into the folder.
///
/// # Errors
/// An endpoint runs there, there is something already, or the file is no backup; the folder is as
/// it was then.
pub fn restore(data: &Data, from: &Path, overwrite: Overwrite) -> Result<()> {
    let name = from.display();
    let file = File::open(from).with_context(|| format!("cannot open `{name}`"))?;
    let found = read(data, file).with_context(|| format!("`{name}` is no backup"))?;
    let _lock = data.lock()?;
    finish(data)?;
    sweep(data)?;
    let there = parts(data).into_iter().find(|part| part.exists());
    if let (Some(there), Overwrite::No) = (there, overwrite) {
        bail!(
            "`{}` is there already\nhint: `--overwrite` replaces what the endpoint knows now",
            there.display()
        );
    }
    gather(data, found)?;
    finish(data)
}

/// Writes all parts beside their places, then says that they hold.
fn gather(data: &Data, found: Vec<(PathBuf, Vec<u8>)>) -> Result<()> {
    let gathered = tempfile::Builder::new()
        .prefix(GATHERED)
        .tempdir_in(data.folder())
        .context("cannot make a folder for what is restored")?;
    for (path, content) in found {
        let part = gathered.path().join(path.file_name().unwrap_or_default());
        basalt_durable::write(&part, &content, PRIVATE)
            .with_context(|| format!("cannot write `{}`", part.display()))?;
    }
    let gathered = gathered.keep();
    basalt_durable::rename(&gathered, &data.restored())
        .with_context(|| format!("cannot rename `{}`", gathered.display()))
}

/// Finishes a restore that was cut off after it held, and removes what is left of one that was cut
/// off before. Who asks has the folder's lock.
///
/// # Errors
/// A file cannot be moved or removed.
pub fn finish(data: &Data) -> Result<()> {
    for step in steps(data) {
        step.take(data)?;
    }
    remove_folders(data, GATHERED)
}

/// What is left to do of a restore that holds.
fn steps(data: &Data) -> Vec<Step> {
    if !data.restored().exists() {
        return Vec::new();
    }
    let mut steps = Vec::new();
    let is_left =
        |part: &PathBuf| data.restored().join(part.file_name().unwrap_or_default()).exists();
    // What is there is of the database before only as long as the new one has not taken its place.
    // It goes before the first key does: no start finds it beside keys that are not its own.
    if is_left(&data.database()) {
        let old = ["endpoint.db-wal", "endpoint.db-shm", "endpoint.db", "ca.next.key"];
        steps.extend(old.map(|name| Step::Remove(data.folder().join(name))));
    }
    steps.extend(parts(data).into_iter().filter(is_left).map(Step::Place));
    steps.push(Step::Done);
    steps
}

impl Step {
    fn take(&self, data: &Data) -> Result<()> {
        match self {
            Self::Remove(path) => basalt_durable::remove(path)
                .with_context(|| format!("cannot remove `{}`", path.display())),
            Self::Place(path) => {
                let from = data.restored().join(path.file_name().unwrap_or_default());
                basalt_durable::rename(&from, path)
                    .with_context(|| format!("cannot move `{}`", from.display()))
            }
            Self::Done => {
                let path = data.restored();
                fs::remove_dir_all(&path)
                    .and_then(|()| basalt_durable::sync_folder(data.folder()))
                    .with_context(|| format!("cannot remove `{}`", path.display()))
            }
        }
    }
}

/// Every part, each once; anything else is no backup.
fn read(data: &Data, file: impl Read) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    // What `tar` says of a file that is none holds that file's content.
    let no_tar = |_| anyhow!("it is no tar file, or cut off");
    let parts = parts(data);
    let mut found: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    for entry in tar::Archive::new(file).entries().map_err(no_tar)? {
        let mut entry = entry.map_err(no_tar)?;
        let name = entry.path()?.into_owned();
        let part = parts.iter().find(|part| part.file_name() == Some(name.as_os_str()));
        let part = part.with_context(|| format!("it holds `{}`", name.display()))?;
        if found.iter().any(|(path, _)| path == part) {
            bail!("it holds `{}` twice", name.display());
        }
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        found.push((part.clone(), content));
    }
    if found.len() != parts.len() {
        bail!("something is missing in it");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use basalt_api::id::Lineage;

    use super::*;
    use crate::backup::backup;
    use crate::backup::tests::endpoint;

    /// The lineage of the database, and every key.
    async fn identity(data: &Data) -> (Lineage, Vec<Vec<u8>>) {
        let store = crate::store::tests::open(data.folder()).await;
        let lineage = store.lineage;
        store.close().await;
        let keys = parts(data).into_iter().filter(|part| *part != data.database());
        (lineage, keys.map(|key| fs::read(key).unwrap()).collect())
    }

    /// A backup of one endpoint, and the whole folder of another.
    async fn two() -> (tempfile::TempDir, PathBuf, Data, tempfile::TempDir, Data) {
        let (from_folder, from, store) = endpoint().await;
        let file = from_folder.path().join("backup.tar");
        backup(&from, &file).await.unwrap();
        store.close().await;
        let (folder, data, store) = endpoint().await;
        store.close().await;
        (from_folder, file, from, folder, data)
    }

    #[tokio::test]
    async fn what_is_restored_is_the_same_endpoint() {
        let (_from_folder, file, from, folder, data) = two().await;
        let refused = restore(&data, &file, Overwrite::No).unwrap_err().to_string();
        assert!(refused.contains("is there already"), "{refused}");
        restore(&data, &file, Overwrite::Yes).unwrap();
        assert_eq!(identity(&data).await, identity(&from).await);
        let hidden = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let hidden: Vec<_> = hidden.filter(|name| name.as_encoded_bytes()[0] == b'.').collect();
        assert_eq!(hidden, [""; 0]);
        assert!(!data.restored().exists());
    }

    #[tokio::test]
    async fn a_restore_that_is_cut_off_anywhere_leaves_one_whole_endpoint() {
        let (_from_folder, file, from, _folder, data) = two().await;
        let (old, new) = (identity(&data).await, identity(&from).await);
        let found = || read(&data, File::open(&file).unwrap()).unwrap();
        // Before it holds: some parts, the last of them half.
        for parts in 0..found().len() {
            let gathered = data.folder().join(".restore-cut");
            fs::create_dir(&gathered).unwrap();
            for (path, content) in found().into_iter().take(parts + 1) {
                let half = &content[..content.len() / 2];
                fs::write(gathered.join(path.file_name().unwrap()), half).unwrap();
            }
            finish(&data).unwrap();
            data.check_whole().unwrap();
            assert_eq!(identity(&data).await, old);
            assert!(!gathered.exists());
        }
        // After: nothing, some or all of the steps were taken.
        let before: Vec<(PathBuf, Vec<u8>)> =
            parts(&data).into_iter().map(|part| (part.clone(), fs::read(part).unwrap())).collect();
        let mut cuts = 0;
        loop {
            for (path, content) in &before {
                fs::write(path, content).unwrap();
            }
            gather(&data, found()).unwrap();
            let all = steps(&data);
            for step in all.iter().take(cuts) {
                step.take(&data).unwrap();
            }
            // As the next start does, cut off once more after its first step.
            steps(&data).first().iter().for_each(|step| step.take(&data).unwrap());
            finish(&data).unwrap();
            data.check_whole().unwrap();
            assert_eq!(identity(&data).await, new, "after {cuts} of {all:?}");
            assert!(!data.restored().exists());
            if cuts == all.len() {
                break;
            }
            cuts += 1;
        }
        assert_eq!(cuts, 10);
    }

    /// Without the name by which a restore holds, as one of an earlier release, or by hand.
    #[tokio::test]
    async fn keys_without_a_database_are_no_new_endpoint() {
        let (_folder, data, store) = endpoint().await;
        store.close().await;
        data.check_whole().unwrap();
        fs::remove_file(data.database()).unwrap();
        let refused = data.check_whole().unwrap_err().to_string();
        assert!(refused.contains("its database"), "{refused}");
        assert!(refused.contains("\nhint: `basalt-endpoint restore"), "{refused}");
        let empty = tempfile::tempdir().unwrap();
        Data::at(empty.path()).check_whole().unwrap();
    }

    #[tokio::test]
    async fn half_a_backup_and_a_foreign_file_are_refused_and_change_nothing() {
        let (_from_folder, file, _from, _folder, data) = two().await;
        let before = identity(&data).await;
        let bytes = fs::read(&file).unwrap();
        let target = tempfile::tempdir().unwrap();
        let target = Data::at(&target.path().join("new"));
        for bad in [&bytes[..bytes.len() / 2], b"no tar", b""] {
            fs::write(&file, bad).unwrap();
            assert!(restore(&target, &file, Overwrite::No).is_err());
            assert!(!target.database().exists());
            assert!(restore(&data, &file, Overwrite::Yes).is_err());
            assert_eq!(identity(&data).await, before);
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_runs_is_not_restored_over() {
        let (_from_folder, file, _from, _folder, data) = two().await;
        let _lock = data.lock().unwrap();
        let refused = restore(&data, &file, Overwrite::Yes).unwrap_err().to_string();
        assert!(refused.contains("an endpoint runs"), "{refused}");
    }

    #[test]
    fn fuzz_backup() {
        let data = Data::at(Path::new("/nonexistent"));
        let mut bytes = tar::Builder::new(Vec::new());
        for part in parts(&data) {
            let mut header = tar::Header::new_gnu();
            header.set_size(4);
            header.set_cksum();
            bytes.append_data(&mut header, part.file_name().unwrap(), &b"some"[..]).unwrap();
        }
        let seed = bytes.into_inner().unwrap();
        assert!(read(&data, &seed[..]).is_ok());
        basalt_fuzz::run(&[&seed], |bytes| {
            let _ = read(&Data::at(Path::new("/nonexistent")), bytes);
        });
    }
}
