//! What each host shall run, by generation.

use anyhow::Result;
use basalt_api::id::HostId;
use basalt_api::set::HostSet;
use basalt_endpoint_core::checkin::Issued;
use basalt_endpoint_core::generation::Generation;

use super::{Db, from_json, private, signed, unsigned};

/// Generations of a host whose hashes are remembered.
const REMEMBERED: u64 = 1000;

/// A host's set: its generation, and its JSON as the host gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Which one.
    pub generation: Generation,
    /// In JSON.
    pub body: String,
}

impl Stored {
    /// The set.
    ///
    /// # Errors
    /// The database holds something else.
    pub fn set(&self) -> Result<HostSet> {
        from_json(&self.body)
    }

    /// The shortest time without contact after which something of it stops, in seconds.
    ///
    /// # Errors
    /// The database holds something else.
    pub fn shortest_period_s(&self) -> Result<Option<u32>> {
        // Most sets have none, and every answer asks.
        if !self.body.contains("\"after_s\"") {
            return Ok(None);
        }
        let set = self.set()?;
        let periods = set.workloads.iter().map(|assigned| assigned.spec.disconnect.after_s);
        Ok(periods.flatten().min())
    }
}

/// A host's set. A new host has none until its first replan.
///
/// # Errors
/// The database is broken.
pub async fn get(db: &mut Db, host: HostId) -> Result<Option<Stored>> {
    let row: Option<(i64, String, String)> =
        sqlx::query_as("SELECT generation, hash, body FROM sets WHERE host = ?")
            .bind(host.to_string())
            .fetch_optional(&mut **db)
            .await?;
    let stored = |(number, hash, body)| {
        let generation = Generation { number: unsigned(number), hash };
        Ok(Stored { generation, body: private::open(body, &db.vault)? })
    };
    row.map(stored).transpose()
}

/// The generation of every host.
///
/// # Errors
/// The database is broken.
pub async fn generations(db: &mut Db) -> Result<Vec<(HostId, Generation)>> {
    let rows: Vec<(String, i64, String)> =
        sqlx::query_as("SELECT host, generation, hash FROM sets").fetch_all(&mut **db).await?;
    rows.into_iter()
        .map(|(host, number, hash)| {
            Ok((host.parse()?, Generation { number: unsigned(number), hash }))
        })
        .collect()
}

/// Writes a new generation down.
///
/// # Errors
/// The database is broken.
pub async fn put(db: &mut Db, host: HostId, generation: &Generation, set: &HostSet) -> Result<()> {
    let id = host.to_string();
    let put = sqlx::query(
        "INSERT OR REPLACE INTO sets (host, generation, hash, body) VALUES (?, ?, ?, ?)",
    );
    let put = put.bind(&id).bind(signed(generation.number)).bind(&generation.hash);
    put.bind(private::seal(set, &db.vault)?).execute(&mut **db).await?;
    remember(db, host, generation).await?;
    let forget = sqlx::query("DELETE FROM issued WHERE host = ? AND generation <= ?");
    let last = generation.number.saturating_sub(REMEMBERED);
    forget.bind(&id).bind(signed(last)).execute(&mut **db).await?;
    Ok(())
}

async fn remember(db: &mut Db, host: HostId, generation: &Generation) -> Result<()> {
    let put =
        sqlx::query("INSERT OR REPLACE INTO issued (host, generation, hash) VALUES (?, ?, ?)");
    let put = put.bind(host.to_string()).bind(signed(generation.number));
    put.bind(&generation.hash).execute(&mut **db).await?;
    Ok(())
}

/// What was issued to a host under a generation.
///
/// # Errors
/// The database is broken.
pub async fn issued(db: &mut Db, host: HostId, generation: u64) -> Result<Issued> {
    let id = host.to_string();
    let hash: Option<String> =
        sqlx::query_scalar("SELECT hash FROM issued WHERE host = ? AND generation = ?")
            .bind(&id)
            .bind(signed(generation))
            .fetch_optional(&mut **db)
            .await?;
    if let Some(hash) = hash {
        return Ok(Issued::Hash(hash));
    }
    let first: Option<i64> =
        sqlx::query_scalar("SELECT min(generation) FROM issued WHERE host = ?")
            .bind(&id)
            .fetch_one(&mut **db)
            .await?;
    let is_forgotten = first.is_some_and(|first| first > 1 && generation < unsigned(first));
    Ok(if is_forgotten { Issued::Forgotten } else { Issued::Never })
}
