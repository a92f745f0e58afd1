//! A backup is one tar file for its owner only: a copy of the database, and the keys. Whoever has
//! it is the endpoint.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use basalt_durable::PRIVATE;

use crate::ca;
use crate::data::Data;
use crate::store::Store;

/// What a backup holds, and nothing else.
fn parts(data: &Data) -> [PathBuf; 5] {
    [
        data.database(),
        data.ca_certificate(),
        data.ca_key(),
        data.secrets_key(),
        data.operator_token(),
    ]
}

/// Whether a restore may replace what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// It may.
    Yes,
    /// It may not.
    No,
}

/// Writes a backup to a new file, also while an endpoint runs in the folder.
///
/// # Errors
/// There is no endpoint's folder, the file is there already, or something cannot be read or written.
pub async fn backup(data: &Data, to: &Path) -> Result<()> {
    if !data.database().exists() {
        bail!("`{}` is no folder of an endpoint", data.folder().display());
    }
    if to.exists() {
        bail!("`{}` is there already", to.display());
    }
    let copy = tempfile::Builder::new()
        .prefix(".backup-")
        .tempdir_in(data.folder())
        .context("cannot make a folder for the copy")?;
    let database = copy.path().join("endpoint.db");
    let store = Store::open(&data.database()).await?;
    store.copy_to(&database).await.context("cannot copy the database")?;
    store.close().await;
    let (pem, key) = ca::read_pair(data)?;
    let mut bytes = tar::Builder::new(Vec::new());
    for part in parts(data) {
        let name = part.file_name().unwrap_or_default();
        let from = if part == data.database() { &database } else { &part };
        let content = match &part {
            // Both as they were at one moment, also while the CA has a successor.
            part if *part == data.ca_certificate() => pem.clone(),
            part if *part == data.ca_key() => key.clone(),
            _ => fs::read(from).with_context(|| format!("cannot read `{}`", part.display()))?,
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(PRIVATE);
        header.set_cksum();
        bytes.append_data(&mut header, name, &content[..])?;
    }
    write_new(to, &bytes.into_inner()?).with_context(|| format!("cannot write `{}`", to.display()))
}

/// Never readable by others, not for a moment.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    basalt_durable::sync_folder(folder.unwrap_or(Path::new(".")))
}

/// Puts a backup into the folder. The database comes last: a cut before it leaves a folder that
/// is not taken for an endpoint's.
///
/// # Errors
/// An endpoint runs there, there is something already, or the file is no backup.
pub fn restore(data: &Data, from: &Path, overwrite: Overwrite) -> Result<()> {
    let name = from.display();
    let file = File::open(from).with_context(|| format!("cannot open `{name}`"))?;
    let mut found = read(data, file).with_context(|| format!("`{name}` is no backup"))?;
    let _lock = data.lock()?;
    let there = parts(data).into_iter().find(|part| part.exists());
    if let (Some(there), Overwrite::No) = (there, overwrite) {
        bail!(
            "`{}` is there already\nhint: `--overwrite` replaces what the endpoint knows now",
            there.display()
        );
    }
    for leftover in ["endpoint.db", "endpoint.db-wal", "endpoint.db-shm", "ca.next.key"] {
        basalt_durable::remove(&data.folder().join(leftover))?;
    }
    found.sort_by_key(|(path, _)| *path == data.database());
    for (path, content) in found {
        basalt_durable::write(&path, &content, PRIVATE)
            .with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    Ok(())
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
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::ca::{CA_LIFE, Ca};
    use crate::operator_token::OperatorToken;
    use crate::vault::Vault;

    async fn endpoint() -> (tempfile::TempDir, Data, Store) {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path());
        let store = Store::open(&data.database()).await.unwrap();
        Ca::open(&data, CA_LIFE, 1_800_000_000).unwrap();
        Vault::open(&data).unwrap();
        OperatorToken::open(&data).unwrap();
        (folder, data, store)
    }

    #[tokio::test]
    async fn what_is_restored_is_the_same_endpoint() {
        let (folder, data, store) = endpoint().await;
        let file = folder.path().join("backup.tar");
        backup(&data, &file).await.unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(backup(&data, &file).await.is_err(), "a backup replaces no other");

        let (_other_folder, other, other_store) = endpoint().await;
        other_store.close().await;
        let refused = restore(&other, &file, Overwrite::No).unwrap_err().to_string();
        assert!(refused.contains("is there already"), "{refused}");
        restore(&other, &file, Overwrite::Yes).unwrap();
        let restored = Store::open(&other.database()).await.unwrap();
        assert_eq!(restored.lineage, store.lineage);
        for (one, other) in parts(&data).iter().zip(parts(&other)).skip(1) {
            assert_eq!(fs::read(one).unwrap(), fs::read(other).unwrap());
        }
    }

    #[tokio::test]
    async fn half_a_backup_and_a_foreign_file_are_refused_and_change_nothing() {
        let (folder, data, _store) = endpoint().await;
        let file = folder.path().join("backup.tar");
        backup(&data, &file).await.unwrap();
        let bytes = fs::read(&file).unwrap();
        let target = tempfile::tempdir().unwrap();
        let target = Data::at(&target.path().join("new"));
        for bad in [&bytes[..bytes.len() / 2], b"no tar", b""] {
            fs::write(&file, bad).unwrap();
            assert!(restore(&target, &file, Overwrite::No).is_err());
            assert!(!target.database().exists());
        }
    }

    #[test]
    fn an_endpoint_that_runs_is_not_restored_over() {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_from, from, _store) = runtime.block_on(endpoint());
        let file = folder.path().join("backup.tar");
        runtime.block_on(backup(&from, &file)).unwrap();
        let _lock = data.lock().unwrap();
        let refused = restore(&data, &file, Overwrite::Yes).unwrap_err().to_string();
        assert!(refused.contains("another endpoint runs"), "{refused}");
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
