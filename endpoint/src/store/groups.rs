//! Groups of hosts of which only so many reboot at once.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use basalt_api::fault::FaultKind;
use basalt_api::id::Name;
use basalt_api::rollout::DEFAULT_GROUP;
use basalt_endpoint_core::Seconds;
use basalt_endpoint_core::group::Lock;

use super::Db;

/// Places of the group that nobody has set.
const DEFAULT_SLOTS: u32 = 1;

/// A group as it is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// How many may reboot at once.
    pub slots: u32,
    /// SHA-256 of what hosts that are not ours show; none where they may not ask.
    pub fleetlock: Option<Vec<u8>>,
    /// Hosts that are not ours and have leave to reboot.
    pub locks: Vec<Lock>,
}

/// All groups. The default one is there whether or not somebody set it.
///
/// # Errors
/// The database is broken.
pub async fn all(db: &mut Db) -> Result<BTreeMap<Name, Stored>> {
    let default = Stored { slots: DEFAULT_SLOTS, ..Stored::default() };
    let mut groups = BTreeMap::from([(DEFAULT_GROUP.parse()?, default)]);
    let rows: Vec<(String, u32, Option<Vec<u8>>)> =
        sqlx::query_as("SELECT name, slots, fleetlock_hash FROM reboot_groups")
            .fetch_all(&mut **db)
            .await?;
    for (name, slots, fleetlock) in rows {
        groups.insert(name.parse()?, Stored { slots, fleetlock, locks: Vec::new() });
    }
    let locks: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT group_name, id, since FROM reboot_locks ORDER BY since, id")
            .fetch_all(&mut **db)
            .await?;
    for (name, id, since) in locks {
        let group = groups.get_mut(&name.parse()?).context("a lock without its group")?;
        group.locks.push(Lock { id, since });
    }
    Ok(groups)
}

/// A group, or a fault that says that there is none.
///
/// # Errors
/// There is none, or the database is broken.
pub async fn named(db: &mut Db, name: &Name) -> Result<Stored> {
    let found = all(db).await?.remove(name);
    found.with_context(|| {
        let fault = FaultKind::NotFound.with(format!("there is no group `{name}`"));
        fault.hint(format!("`basaltctl os group set {name} --slots N` makes it"))
    })
}

/// Writes down how many may reboot at once.
///
/// # Errors
/// The database is broken.
pub async fn set_slots(db: &mut Db, name: &Name, slots: u32) -> Result<()> {
    let set = sqlx::query(
        "INSERT INTO reboot_groups (name, slots) VALUES (?, ?)
         ON CONFLICT (name) DO UPDATE SET slots = excluded.slots",
    );
    set.bind(name.as_str()).bind(slots).execute(&mut **db).await?;
    Ok(())
}

/// Writes down by what hosts that are not ours are known; with none nobody may ask.
///
/// # Errors
/// The database is broken.
pub async fn set_fleetlock(db: &mut Db, name: &Name, hash: Option<&[u8]>) -> Result<()> {
    let set = sqlx::query(
        "INSERT INTO reboot_groups (name, slots, fleetlock_hash) VALUES (?, ?, ?)
         ON CONFLICT (name) DO UPDATE SET fleetlock_hash = excluded.fleetlock_hash",
    );
    set.bind(name.as_str()).bind(DEFAULT_SLOTS).bind(hash).execute(&mut **db).await?;
    Ok(())
}

/// Forgets a group and who had its places.
///
/// # Errors
/// The database is broken.
pub async fn remove(db: &mut Db, name: &Name) -> Result<()> {
    sqlx::query("DELETE FROM reboot_groups WHERE name = ?")
        .bind(name.as_str())
        .execute(&mut **db)
        .await?;
    Ok(())
}

/// Gives a host that is not ours a place; one that it has, it keeps as long as it has it.
///
/// # Errors
/// The database is broken.
pub async fn lock(db: &mut Db, name: &Name, id: &str, now: Seconds) -> Result<()> {
    let insert = sqlx::query(
        "INSERT INTO reboot_locks (group_name, id, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    );
    insert.bind(name.as_str()).bind(id).bind(now).execute(&mut **db).await?;
    Ok(())
}

/// Takes a place back; whether there was one.
///
/// # Errors
/// The database is broken.
pub async fn unlock(db: &mut Db, name: &Name, id: &str) -> Result<bool> {
    let delete = sqlx::query("DELETE FROM reboot_locks WHERE group_name = ? AND id = ?");
    let done = delete.bind(name.as_str()).bind(id).execute(&mut **db).await?;
    Ok(done.rows_affected() > 0)
}
