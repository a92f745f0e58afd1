//! What the endpoint remembers: one SQLite file in WAL mode, every commit on the disk.
//!
//! One connection writes, a few read. Functions take the connection that they work on, so that a
//! handler decides what belongs into one transaction. What is private of a spec is sealed in it.

pub mod audit;
pub mod channels;
pub mod checkin;
pub mod events;
pub mod groups;
pub mod hosts;
mod private;
pub mod replan;
pub mod resync;
pub mod roll_on;
pub mod rollouts;
pub mod secrets;
pub mod sets;
pub mod statuses;
pub mod tokens;
pub mod trouble;
pub mod workloads;

use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use basalt_api::id::Lineage;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};
use uuid::Uuid;

use crate::vault::Vault;

/// Connections that read.
const READERS: u32 = 4;
/// Why a rollout of a restored database does not go on.
const HELD: &str = "the database was restored; look whether its version is still meant";
/// How long a request waits for a connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    write: SqlitePool,
    read: SqlitePool,
    vault: Arc<Vault>,
    /// The history that this database is.
    pub lineage: Lineage,
}

impl Store {
    /// Opens the file, makes it on the first start, and brings it to this release's form.
    ///
    /// # Errors
    /// It cannot be opened, is damaged, or was written by a later release.
    pub async fn open(path: &Path, vault: &Arc<Vault>) -> Result<Self> {
        let name = path.display();
        let options = options(path);
        let write = pool(1).connect_with(options.clone()).await;
        let write = write.with_context(|| format!("cannot open the database `{name}`"))?;
        let migrated = sqlx::migrate!().run(&write).await;
        migrated.with_context(|| {
            format!(
                "cannot bring the database `{name}` to this release's form\n\
                 hint: a database that a later release wrote needs that release"
            )
        })?;
        let lineage = lineage(&write).await.context("cannot read the database's lineage")?;
        let read = pool(READERS).connect_with(options.read_only(true)).await?;
        let store = Self { write, read, vault: Arc::clone(vault), lineage };
        private::seal_all(&store).await.context("cannot seal what is private in the database")?;
        Ok(store)
    }

    /// Begins to write. What is read in between, nobody else changes.
    ///
    /// # Errors
    /// The database is busy or broken.
    pub async fn write(&self) -> Result<Db> {
        let transaction = self.write.begin_with("BEGIN IMMEDIATE").await;
        Ok(self.db(transaction.context("cannot write to the database")?))
    }

    /// Begins to read one state of everything.
    ///
    /// # Errors
    /// The database is busy or broken.
    pub async fn read(&self) -> Result<Db> {
        Ok(self.db(self.read.begin().await.context("cannot read the database")?))
    }

    fn db(&self, transaction: Transaction<'static, Sqlite>) -> Db {
        Db { transaction, vault: Arc::clone(&self.vault) }
    }

    /// Closes the file; nothing of the log is left beside it.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// The connection that functions work on, in a transaction.
#[derive(Debug)]
pub struct Db {
    transaction: Transaction<'static, Sqlite>,
    /// Seals what is private, and opens it.
    vault: Arc<Vault>,
}

impl Db {
    /// What was written is on the disk then.
    ///
    /// # Errors
    /// It is not.
    pub async fn commit(self) -> sqlx::Result<()> {
        self.transaction.commit().await
    }

    /// Nothing of it was written then.
    ///
    /// # Errors
    /// The database is broken.
    pub async fn rollback(self) -> sqlx::Result<()> {
        self.transaction.rollback().await
    }
}

impl Deref for Db {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.transaction
    }
}

impl DerefMut for Db {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}

/// Writes a copy of the database `from`, as it is at one moment, to the new file `to`, but that no
/// rollout goes on in it: whoever restores it later would bring hosts back to what they were to run
/// by then. Nothing of
/// `from` changes, whichever release wrote it, and whoever works on it goes on.
///
/// # Errors
/// There is no database, `to` is there, or cannot be written.
pub async fn copy(from: &Path, to: &Path) -> Result<()> {
    let to = to.to_str().context("the path is no text")?;
    let options = SqliteConnectOptions::new().filename(from).read_only(true).busy_timeout(PATIENCE);
    let mut connection = options.connect().await?;
    sqlx::query("VACUUM INTO ?").bind(to).execute(&mut connection).await?;
    connection.close().await?;
    let mut copy = SqliteConnectOptions::new().filename(to).connect().await?;
    rollouts::pause_all(&mut copy, HELD).await?;
    Ok(copy.close().await?)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // What is deleted is gone from the file too.
        .pragma("secure_delete", "ON")
        .busy_timeout(PATIENCE)
}

fn pool(connections: u32) -> SqlitePoolOptions {
    let pool = SqlitePoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE);
    pool.after_release(|connection, _| Box::pin(is_clean(connection)))
}

/// Whether a connection that comes back is fit for whoever comes next. SQLite ends a transaction by
/// itself where the disk is full (sqlite.org/lang_transaction.html); sqlx's own `ROLLBACK` fails
/// then, and it goes on counting a transaction that no longer is: nothing new could begin.
async fn is_clean(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    // What is to be rolled back has been, once this is answered.
    connection.ping().await?;
    Ok(!connection.is_in_transaction())
}

async fn lineage(write: &SqlitePool) -> Result<Lineage> {
    sqlx::query("INSERT INTO endpoint (only_row, lineage) VALUES (1, ?) ON CONFLICT DO NOTHING")
        .bind(Uuid::new_v4().to_string())
        .execute(write)
        .await?;
    let lineage: String =
        sqlx::query_scalar("SELECT lineage FROM endpoint").fetch_one(write).await?;
    Ok(lineage.parse()?)
}

/// SQLite knows no unsigned numbers.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).context("the database holds something that makes no sense")
}

fn to_json<T: Serialize>(value: &T) -> Result<String> {
    Ok(serde_json::to_string(value)?)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::data::Data;

    /// A store in a folder, with its key.
    pub(crate) async fn open(folder: &Path) -> Store {
        let vault = Arc::new(Vault::open(&Data::at(folder)).unwrap());
        Store::open(&Data::at(folder).database(), &vault).await.unwrap()
    }

    #[tokio::test]
    async fn a_transaction_that_sqlite_ended_by_itself_stands_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let mut write = store.write().await.unwrap();
        // As SQLite does it, of which sqlx is not told.
        sqlx::query("ROLLBACK").execute(&mut *write).await.unwrap();
        drop(write);
        store.write().await.unwrap().commit().await.unwrap();
    }

    /// A power cut loses what only the page cache has, which outlives every kill -9. With a log
    /// (WAL), only `FULL` or more syncs at each commit (SQLite's `PRAGMA synchronous`).
    #[tokio::test]
    async fn every_commit_is_on_the_disk_before_it_is_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        for _ in 0..2 {
            let mut write = store.write().await.unwrap();
            let synchronous = sqlx::query_scalar::<_, i64>("PRAGMA synchronous");
            assert_eq!(synchronous.fetch_one(&mut *write).await.unwrap(), 2, "FULL");
            let journal = sqlx::query_scalar::<_, String>("PRAGMA journal_mode");
            assert_eq!(journal.fetch_one(&mut *write).await.unwrap(), "wal");
            write.commit().await.unwrap();
        }
    }
}
