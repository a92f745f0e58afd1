//! Secrets, as the vault locked them.

use std::collections::BTreeMap;

use anyhow::Result;
use basalt_api::id::Name;
use basalt_endpoint_core::Seconds;

use super::{Db, signed, unsigned};

/// A secret as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its name.
    pub name: Name,
    /// Its version.
    pub version: u64,
    /// The locked value; none where it was removed.
    pub locked: Option<Vec<u8>>,
    /// When it got it.
    pub set_at: Seconds,
}

type Row = (String, i64, Option<Vec<u8>>, i64);

fn stored((name, version, locked, set_at): Row) -> Result<Stored> {
    Ok(Stored { name: name.parse()?, version: unsigned(version), locked, set_at })
}

/// A secret, removed ones too.
///
/// # Errors
/// The database is broken.
pub async fn get(db: &mut Db, name: &Name) -> Result<Option<Stored>> {
    let row: Option<Row> =
        sqlx::query_as("SELECT name, version, locked, set_at FROM secrets WHERE name = ?")
            .bind(name.as_str())
            .fetch_optional(&mut **db)
            .await?;
    row.map(stored).transpose()
}

/// All secrets that have a value, by name.
///
/// # Errors
/// The database is broken.
pub async fn all(db: &mut Db) -> Result<Vec<Stored>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT name, version, locked, set_at FROM secrets WHERE locked IS NOT NULL ORDER BY name",
    )
    .fetch_all(&mut **db)
    .await?;
    rows.into_iter().map(stored).collect()
}

/// The version of every secret that has a value.
///
/// # Errors
/// The database is broken.
pub async fn versions(db: &mut Db) -> Result<BTreeMap<Name, u64>> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT name, version FROM secrets WHERE locked IS NOT NULL")
            .fetch_all(&mut **db)
            .await?;
    rows.into_iter().map(|(name, version)| Ok((name.parse()?, unsigned(version)))).collect()
}

/// Writes a value down.
///
/// # Errors
/// The database is broken.
pub async fn put(db: &mut Db, secret: &Stored) -> Result<()> {
    let put = sqlx::query(
        "INSERT OR REPLACE INTO secrets (name, version, locked, set_at) VALUES (?, ?, ?, ?)",
    );
    let put = put.bind(secret.name.as_str()).bind(signed(secret.version)).bind(&secret.locked);
    put.bind(secret.set_at).execute(&mut **db).await?;
    Ok(())
}
