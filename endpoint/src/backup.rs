//! A backup is one tar file for its owner only: a copy of the database, and the keys. Whoever has
//! it is the endpoint. Nothing of the endpoint changes when one is made.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use basalt_durable::PRIVATE;

use crate::data::Data;
use crate::{ca, store};

/// How the folder of a copy begins, while a backup is made.
const COPY: &str = ".backup-";

/// What a backup holds, and nothing else; the database last.
pub(crate) fn parts(data: &Data) -> [PathBuf; 5] {
    [
        data.ca_certificate(),
        data.ca_key(),
        data.secrets_key(),
        data.operator_token(),
        data.database(),
    ]
}

/// Writes a backup to a new file, also while an endpoint runs in the folder.
///
/// # Errors
/// There is no whole endpoint in the folder, the file is there already, another backup is being
/// made, or something cannot be read or written.
pub async fn backup(data: &Data, to: &Path) -> Result<()> {
    if !data.database().exists() {
        bail!("`{}` is no folder of an endpoint", data.folder().display());
    }
    if data.restored().exists() {
        bail!(
            "a restore into `{}` was cut off\nhint: the endpoint finishes it when it starts",
            data.folder().display()
        );
    }
    if to.exists() {
        bail!("`{}` is there already", to.display());
    }
    let Some(_lock) = data.lock_for_backup()? else {
        bail!("another backup of `{}` is being made", data.folder().display());
    };
    sweep_copies(data)?;
    let copy = tempfile::Builder::new()
        .prefix(COPY)
        .tempdir_in(data.folder())
        .context("cannot make a folder for the copy")?;
    let database = copy.path().join("endpoint.db");
    store::copy(&data.database(), &database)
        .await
        .with_context(|| format!("cannot copy the database `{}`", data.database().display()))?;
    let bytes = pack(data, &database)?;
    write_new(to, &bytes).with_context(|| format!("cannot write `{}`", to.display()))
}

/// The tar file, with the copy `database` in the place of the database.
fn pack(data: &Data, database: &Path) -> Result<Vec<u8>> {
    let (pem, key) = ca::read_pair(data)?;
    let mut bytes = tar::Builder::new(Vec::new());
    for part in parts(data) {
        let name = part.file_name().unwrap_or_default();
        let from = if part == data.database() { database } else { &part };
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
    Ok(bytes.into_inner()?)
}

/// Whole or not at all, and never readable by others, not for a moment.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    basalt_durable::sync_folder(folder)
}

/// Removes what backups that were cut off left in the folder, unless one is being made.
///
/// # Errors
/// It cannot be removed.
pub fn sweep(data: &Data) -> Result<()> {
    match data.lock_for_backup()? {
        Some(_lock) => sweep_copies(data),
        None => Ok(()),
    }
}

fn sweep_copies(data: &Data) -> Result<()> {
    remove_folders(data, COPY)
}

/// Removes the folders in the endpoint's whose names begin so.
pub(crate) fn remove_folders(data: &Data, prefix: &str) -> Result<()> {
    let name = data.folder().display();
    let entries = fs::read_dir(data.folder()).with_context(|| format!("cannot list `{name}`"))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list `{name}`"))?.path();
        let is_one = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes()));
        if is_one && path.is_dir() {
            fs::remove_dir_all(&path)
                .with_context(|| format!("cannot remove `{}`", path.display()))?;
            tracing::info!("removed `{}`, which was left by a cut", path.display());
        }
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions, Connection};

    use super::*;
    use crate::ca::{CA_LIFE, Ca};
    use crate::operator_token::OperatorToken;
    use crate::store::Store;
    use crate::vault::Vault;

    /// A whole endpoint's folder.
    pub(crate) async fn endpoint() -> (tempfile::TempDir, Data, Store) {
        let folder = tempfile::tempdir().unwrap();
        let data = Data::at(folder.path());
        let store = crate::store::tests::open(folder.path()).await;
        Ca::open(&data, CA_LIFE, 1_800_000_000).unwrap();
        Vault::open(&data).unwrap();
        OperatorToken::open(&data).unwrap();
        (folder, data, store)
    }

    #[tokio::test]
    async fn a_backup_is_for_its_owner_and_replaces_no_other() {
        let (folder, data, _store) = endpoint().await;
        let file = folder.path().join("backup.tar");
        backup(&data, &file).await.unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&file).unwrap();
        assert!(backup(&data, &file).await.is_err());
        assert!(write_new(&file, b"another").is_err());
        assert_eq!(fs::read(&file).unwrap(), before);
    }

    /// A backup of this release, made before one updates, must not bring the database to its form.
    #[tokio::test]
    async fn a_backup_changes_nothing_of_a_database_whichever_release_wrote_it() {
        let (folder, data, store) = endpoint().await;
        store.close().await;
        for leftover in ["endpoint.db", "endpoint.db-wal", "endpoint.db-shm"] {
            let _ = fs::remove_file(folder.path().join(leftover));
        }
        let options = SqliteConnectOptions::new().filename(data.database()).create_if_missing(true);
        let mut other = options.connect().await.unwrap();
        sqlx::query("CREATE TABLE of_another_release (a TEXT)").execute(&mut other).await.unwrap();
        other.close().await.unwrap();
        let before = fs::read(data.database()).unwrap();
        let file = folder.path().join("backup.tar");
        backup(&data, &file).await.unwrap();
        assert!(fs::read(data.database()).unwrap() == before, "the database was changed");
        let target = tempfile::tempdir().unwrap();
        let target = Data::at(target.path());
        crate::restore::restore(&target, &file, crate::restore::Overwrite::No).unwrap();
        let options = SqliteConnectOptions::new().filename(target.database()).read_only(true);
        let mut copy = options.connect().await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar("SELECT name FROM sqlite_schema")
            .fetch_all(&mut copy)
            .await
            .unwrap();
        assert_eq!(tables, ["of_another_release"]);
    }

    #[tokio::test]
    async fn what_a_backup_that_was_killed_left_is_removed_but_not_one_that_is_being_made() {
        let (folder, data, _store) = endpoint().await;
        let left = folder.path().join(".backup-abc");
        let leave = || {
            fs::create_dir(&left).unwrap();
            fs::write(left.join("endpoint.db"), "a copy").unwrap();
        };
        leave();
        sweep(&data).unwrap();
        assert!(!left.exists());
        leave();
        let lock = data.lock_for_backup().unwrap().unwrap();
        sweep(&data).unwrap();
        assert!(left.exists(), "somebody is at it");
        let refused = backup(&data, &folder.path().join("b.tar")).await.unwrap_err().to_string();
        assert!(refused.contains("another backup of"), "{refused}");
        drop(lock);
        backup(&data, &folder.path().join("b.tar")).await.unwrap();
        assert!(!left.exists());
    }
}
