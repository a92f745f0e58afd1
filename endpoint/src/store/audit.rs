//! Who asked for what. An entry stands on the disk before what it tells of is done.

use anyhow::Result;
use basalt_api::operator::{AuditEntry, AuditLog};
use basalt_endpoint_core::Seconds;

use super::Db;

/// Entries that are kept.
const KEPT: i64 = 100_000;
/// Entries in one answer.
const PAGE: i64 = 500;

/// A write that somebody asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who.
    pub who: &'static str,
    /// From which address.
    pub address: String,
    /// The method.
    pub method: String,
    /// The path.
    pub path: String,
}

#[derive(sqlx::FromRow)]
struct Row {
    id: i64,
    at: i64,
    who: String,
    address: String,
    method: String,
    path: String,
    status: Option<i64>,
}

/// Writes down that something is asked for; returns the entry's id.
///
/// # Errors
/// The database is broken.
pub async fn begin(db: &mut Db, asked: &Asked, now: Seconds) -> Result<i64> {
    let row = sqlx::query_scalar(
        "INSERT INTO audit (at, who, address, method, path) VALUES (?, ?, ?, ?, ?) RETURNING id",
    );
    let row = row.bind(now).bind(asked.who).bind(&asked.address).bind(&asked.method);
    let id: i64 = row.bind(&asked.path).fetch_one(&mut **db).await?;
    sqlx::query("DELETE FROM audit WHERE id <= ?").bind(id - KEPT).execute(&mut **db).await?;
    Ok(id)
}

/// Writes down what was answered.
///
/// # Errors
/// The database is broken.
pub async fn end(db: &mut Db, id: i64, status: u16) -> Result<()> {
    let update = sqlx::query("UPDATE audit SET status = ? WHERE id = ?");
    update.bind(i64::from(status)).bind(id).execute(&mut **db).await?;
    Ok(())
}

/// The last entries.
///
/// # Errors
/// The database is broken.
pub async fn list(db: &mut Db) -> Result<AuditLog> {
    let rows: Vec<Row> = sqlx::query_as("SELECT * FROM audit ORDER BY id DESC LIMIT ?")
        .bind(PAGE)
        .fetch_all(&mut **db)
        .await?;
    let entry = |row: Row| AuditEntry {
        id: row.id,
        at: row.at,
        who: row.who,
        from: row.address,
        method: row.method,
        path: row.path,
        status: row.status.and_then(|status| u16::try_from(status).ok()),
    };
    Ok(AuditLog { entries: rows.into_iter().map(entry).collect() })
}
