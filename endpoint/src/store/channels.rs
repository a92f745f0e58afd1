//! Channels: names for versions.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use basalt_api::fault::FaultKind;
use basalt_api::id::Name;
use basalt_endpoint_core::Seconds;

use super::Db;

/// A channel as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The version that it means.
    pub version: String,
    /// When it was set.
    pub set_at: Seconds,
}

/// All channels.
///
/// # Errors
/// The database is broken.
pub async fn all(db: &mut Db) -> Result<BTreeMap<Name, Stored>> {
    let rows: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT name, version, set_at FROM channels").fetch_all(&mut **db).await?;
    rows.into_iter()
        .map(|(name, version, set_at)| Ok((name.parse()?, Stored { version, set_at })))
        .collect()
}

/// A channel, or a fault that says that there is none.
///
/// # Errors
/// There is none, or the database is broken.
pub async fn named(db: &mut Db, name: &Name) -> Result<Stored> {
    let found = all(db).await?.remove(name);
    found.with_context(|| {
        let fault = FaultKind::NotFound.with(format!("there is no channel `{name}`"));
        fault.hint(format!("`basaltctl os channel set {name} VERSION` makes it"))
    })
}

/// Gives a channel a version.
///
/// # Errors
/// The database is broken.
pub async fn set(db: &mut Db, name: &Name, version: &str, now: Seconds) -> Result<()> {
    let set =
        sqlx::query("INSERT OR REPLACE INTO channels (name, version, set_at) VALUES (?, ?, ?)");
    set.bind(name.as_str()).bind(version).bind(now).execute(&mut **db).await?;
    Ok(())
}

/// Forgets a channel.
///
/// # Errors
/// The database is broken.
pub async fn remove(db: &mut Db, name: &Name) -> Result<()> {
    sqlx::query("DELETE FROM channels WHERE name = ?")
        .bind(name.as_str())
        .execute(&mut **db)
        .await?;
    Ok(())
}
