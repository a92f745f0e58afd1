//! What hosts report of workloads.

use anyhow::Result;
use basalt_api::id::{HostId, WorkloadUid};
use basalt_api::report::WorkloadStatus;
use basalt_endpoint_core::report::{Difference, Statuses};

use super::{Db, from_json, to_json};

/// What a host reports.
///
/// # Errors
/// The database is broken.
pub async fn of_host(db: &mut Db, host: HostId) -> Result<Statuses> {
    let rows: Vec<String> = sqlx::query_scalar("SELECT status FROM statuses WHERE host = ?")
        .bind(host.to_string())
        .fetch_all(&mut **db)
        .await?;
    let statuses = rows.iter().map(|status| from_json::<WorkloadStatus>(status));
    statuses.map(|status| status.map(|status| (status.uid, status))).collect()
}

/// What a host reports of one workload.
///
/// # Errors
/// The database is broken.
pub async fn get(db: &mut Db, host: HostId, uid: WorkloadUid) -> Result<Option<WorkloadStatus>> {
    let status: Option<String> =
        sqlx::query_scalar("SELECT status FROM statuses WHERE host = ? AND uid = ?")
            .bind(host.to_string())
            .bind(uid.to_string())
            .fetch_optional(&mut **db)
            .await?;
    status.map(|status| from_json(&status)).transpose()
}

/// Whether a host reports a workload.
///
/// # Errors
/// The database is broken.
pub async fn has(db: &mut Db, host: HostId, uid: WorkloadUid) -> Result<bool> {
    let some: Option<i64> = sqlx::query_scalar("SELECT 1 FROM statuses WHERE host = ? AND uid = ?")
        .bind(host.to_string())
        .bind(uid.to_string())
        .fetch_optional(&mut **db)
        .await?;
    Ok(some.is_some())
}

/// Writes down what a report changes.
///
/// # Errors
/// The database is broken.
pub async fn apply(db: &mut Db, host: HostId, difference: &Difference) -> Result<()> {
    let host = host.to_string();
    for status in &difference.put {
        let put =
            sqlx::query("INSERT OR REPLACE INTO statuses (host, uid, status) VALUES (?, ?, ?)");
        let put = put.bind(&host).bind(status.uid.to_string()).bind(to_json(status)?);
        put.execute(&mut **db).await?;
    }
    for uid in &difference.gone {
        let delete = sqlx::query("DELETE FROM statuses WHERE host = ? AND uid = ?");
        delete.bind(&host).bind(uid.to_string()).execute(&mut **db).await?;
    }
    Ok(())
}
