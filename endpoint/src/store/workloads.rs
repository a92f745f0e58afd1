//! Workloads that operators applied.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use basalt_api::fault::FaultKind;
use basalt_api::id::{HostId, Name, WorkloadUid};
use basalt_api::workload::WorkloadSpec;
use basalt_endpoint_core::Seconds;
use basalt_endpoint_core::generation::Workload;
use basalt_endpoint_core::placement::Decision;

use super::{Db, from_json, to_json};
use crate::vault::Vault;

/// A workload as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The workload.
    pub workload: Workload,
    /// The host that shall run it.
    pub host: Option<HostId>,
    /// Why no host does.
    pub reason: Option<String>,
    /// Whether it waits to be applied again.
    pub is_parked: bool,
    /// Whether its host gives it up, so that another one can have it.
    pub is_leaving: bool,
    /// When it was applied last.
    pub applied_at: Seconds,
}

impl Stored {
    /// Its id.
    #[must_use]
    pub fn uid(&self) -> WorkloadUid {
        self.workload.uid
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.workload.spec.name
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    uid: String,
    spec: String,
    pins: String,
    host: Option<String>,
    reason: Option<String>,
    parked: bool,
    leaving: bool,
    applied_at: i64,
}

impl Row {
    fn stored(self, vault: &Vault) -> Result<Stored> {
        let uid = self.uid.parse()?;
        let spec: WorkloadSpec = from_json(&self.spec)?;
        let workload =
            Workload { uid, spec: spec.opened(uid, vault), pins: from_json(&self.pins)? };
        Ok(Stored {
            workload,
            host: self.host.map(|host| host.parse()).transpose()?,
            reason: self.reason,
            is_parked: self.parked,
            is_leaving: self.leaving,
            applied_at: self.applied_at,
        })
    }
}

/// All workloads, by name.
///
/// # Errors
/// The database is broken.
pub async fn all(db: &mut Db) -> Result<Vec<Stored>> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT * FROM workloads ORDER BY name").fetch_all(&mut **db).await?;
    rows.into_iter().map(|row| row.stored(&db.vault)).collect()
}

/// Workloads after one, or from the first one on, by name: so many at most, and the last one is the
/// one whose spec passes so many bytes, if any does.
///
/// # Errors
/// The database is broken.
pub async fn page(
    db: &mut Db,
    after: Option<&Name>,
    limit: u32,
    bytes: u32,
) -> Result<Vec<Stored>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT workloads.* FROM workloads JOIN (
             SELECT name, sum(octet_length(spec)) OVER (ORDER BY name) - octet_length(spec)
             AS before FROM workloads WHERE name > ? ORDER BY name LIMIT ?
         ) AS page USING (name) WHERE before <= ? ORDER BY name",
    )
    .bind(after.map_or("", Name::as_str))
    .bind(limit)
    .bind(bytes)
    .fetch_all(&mut **db)
    .await?;
    rows.into_iter().map(|row| row.stored(&db.vault)).collect()
}

/// How many workloads each host has that has any.
///
/// # Errors
/// The database is broken.
pub async fn counts(db: &mut Db) -> Result<BTreeMap<HostId, u32>> {
    let rows: Vec<(String, u32)> =
        sqlx::query_as("SELECT host, count(*) FROM workloads WHERE host IS NOT NULL GROUP BY host")
            .fetch_all(&mut **db)
            .await?;
    rows.into_iter().map(|(host, count)| Ok((host.parse()?, count))).collect()
}

/// The workloads on a host that another shall run when theirs is silent for long.
///
/// # Errors
/// The database is broken.
pub async fn replaceable(db: &mut Db) -> Result<Vec<Stored>> {
    // Most have no such policy, and patrols ask each second while a host is lost.
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM workloads WHERE host IS NOT NULL AND instr(spec, '\"replace_after\"')",
    )
    .fetch_all(&mut **db)
    .await?;
    rows.into_iter().map(|row| row.stored(&db.vault)).collect()
}

/// A workload by name.
///
/// # Errors
/// The database is broken.
pub async fn by_name(db: &mut Db, name: &Name) -> Result<Option<Stored>> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM workloads WHERE name = ?")
        .bind(name.as_str())
        .fetch_optional(&mut **db)
        .await?;
    row.map(|row| row.stored(&db.vault)).transpose()
}

/// A workload by name, or a fault that says that there is none.
///
/// # Errors
/// There is none, or the database is broken.
pub async fn named(db: &mut Db, name: &Name) -> Result<Stored> {
    let found = by_name(db, name).await?;
    found.with_context(|| FaultKind::NotFound.with(format!("there is no workload `{name}`")))
}

/// Writes a workload down as it was applied. One that is there keeps its host.
///
/// # Errors
/// Another one has the name, or the database is broken.
pub async fn put(db: &mut Db, workload: &Workload, now: Seconds) -> Result<()> {
    let put = sqlx::query(
        "INSERT INTO workloads (uid, name, spec, pins, applied_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (uid) DO UPDATE SET spec = excluded.spec, pins = excluded.pins,
         applied_at = excluded.applied_at, parked = 0",
    );
    let spec = workload.spec.sealed(workload.uid, &*db.vault)?;
    let put = put.bind(workload.uid.to_string()).bind(workload.spec.name.as_str());
    let put = put.bind(to_json(&spec)?).bind(to_json(&workload.pins)?);
    put.bind(now).execute(&mut **db).await?;
    Ok(())
}

/// Writes down where a workload shall run.
///
/// # Errors
/// The database is broken.
pub async fn set_place(db: &mut Db, uid: WorkloadUid, decision: &Decision) -> Result<()> {
    let update =
        sqlx::query("UPDATE workloads SET host = ?, reason = ?, leaving = 0 WHERE uid = ?");
    let (host, reason) = match decision {
        Ok(host) => (Some(host.to_string()), None),
        Err(reason) => (None, Some(reason)),
    };
    update.bind(host).bind(reason).bind(uid.to_string()).execute(&mut **db).await?;
    Ok(())
}

/// Its host gives it up.
///
/// # Errors
/// The database is broken.
pub async fn set_leaving(db: &mut Db, uid: WorkloadUid) -> Result<()> {
    let update = sqlx::query("UPDATE workloads SET leaving = 1 WHERE uid = ?");
    update.bind(uid.to_string()).execute(&mut **db).await?;
    Ok(())
}

/// Whether a host gives anything up.
///
/// # Errors
/// The database is broken.
pub async fn has_leaving(db: &mut Db, host: HostId) -> Result<bool> {
    let some: Option<i64> =
        sqlx::query_scalar("SELECT 1 FROM workloads WHERE host = ? AND leaving LIMIT 1")
            .bind(host.to_string())
            .fetch_optional(&mut **db)
            .await?;
    Ok(some.is_some())
}

/// Nobody runs it until it is applied again.
///
/// # Errors
/// The database is broken.
pub async fn park(db: &mut Db, uid: WorkloadUid, reason: &str) -> Result<()> {
    let update = sqlx::query(
        "UPDATE workloads SET host = NULL, leaving = 0, parked = 1, reason = ? WHERE uid = ?",
    );
    update.bind(reason).bind(uid.to_string()).execute(&mut **db).await?;
    Ok(())
}

/// Forgets a workload.
///
/// # Errors
/// The database is broken.
pub async fn delete(db: &mut Db, uid: WorkloadUid) -> Result<()> {
    sqlx::query("DELETE FROM workloads WHERE uid = ?")
        .bind(uid.to_string())
        .execute(&mut **db)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::open;
    use super::*;

    /// Four workloads whose specs have some 1000 bytes each; the names on a page.
    async fn check(after: Option<&str>, limit: u32, bytes: u32, expected: &str) {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path()).await;
        let mut write = store.write().await.unwrap();
        for name in ["a", "b", "c", "d"] {
            let spec = serde_json::json!({
                "name": name, "kind": "container",
                "container": { "image": "x", "command": ["y".repeat(1000)] },
            });
            let spec = serde_json::from_value(spec).unwrap();
            let uid = WorkloadUid(uuid::Uuid::new_v4());
            put(&mut write, &Workload { uid, spec, pins: BTreeMap::new() }, 0).await.unwrap();
        }
        let after = after.map(|after| after.parse().unwrap());
        let page = page(&mut write, after.as_ref(), limit, bytes).await.unwrap();
        let names: Vec<&str> = page.iter().map(|stored| stored.name().as_str()).collect();
        assert_eq!(names.join(" "), expected);
    }

    #[tokio::test]
    async fn a_page_is_read_no_further_than_it_is_shown() {
        check(None, 9, 1 << 20, "a b c d").await;
        check(None, 2, 1 << 20, "a b").await;
        check(Some("b"), 9, 1 << 20, "c d").await;
        check(None, 9, 1500, "a b").await;
        check(Some("a"), 9, 0, "b").await;
        check(Some("d"), 9, 1 << 20, "").await;
    }
}
