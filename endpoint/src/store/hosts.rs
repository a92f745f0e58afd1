//! Hosts.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use basalt_api::capacity::{HostFacts, Taken};
use basalt_api::id::{HostId, Lineage, Name};
use basalt_api::operator::HostState;
use basalt_api::workload::Cpus;
use basalt_endpoint_core::Seconds;
use basalt_endpoint_core::checkin::{Frozen, Mark};

use super::{Db, from_json, private, signed, to_json, unsigned};
use crate::vault::Vault;

/// A host as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub name: Name,
    /// Labels that its token gave it.
    pub token_labels: BTreeMap<String, String>,
    /// Whether it was removed.
    pub is_revoked: bool,
    /// Whether it gets nothing new.
    pub is_cordoned: bool,
    /// When its certificate expires.
    pub certificate_until: Seconds,
    /// What changes from check-in to check-in.
    pub seen: Seen,
    /// Whether it has sent the set that it has, for a resync.
    pub reported_set: Option<String>,
    /// What a resync forgave.
    pub pardon: Option<Mark>,
}

/// What a host's check-ins say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How it is.
    pub state: HostState,
    /// Why it gets no set.
    pub frozen: Option<Frozen>,
    /// Its session.
    pub session: u64,
    /// Its boot.
    pub boot_id: String,
    /// What its release can do.
    pub features: Vec<String>,
    /// What it is.
    pub facts: Option<HostFacts>,
    /// What its local workloads take.
    pub local: Taken,
    /// Where in which history it says it is.
    pub reported: Mark,
    /// The generation that everything on it runs by.
    pub applied_generation: u64,
}

impl Host {
    /// Labels of its token and of its own configuration; the token's count, for a host must not
    /// give itself what an operator gave it otherwise.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let own = self.seen.facts.as_ref().map(|facts| facts.labels.clone());
        let mut labels = own.unwrap_or_default();
        labels.extend(self.token_labels.clone());
        labels
    }
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    name: String,
    token_labels: String,
    revoked_at: Option<i64>,
    cordoned: bool,
    certificate_until: i64,
    state: String,
    frozen: Option<String>,
    session: i64,
    boot_id: String,
    features: String,
    facts: Option<String>,
    local_milli_cpus: i64,
    local_memory_mib: i64,
    reported_lineage: Option<String>,
    observed_generation: i64,
    applied_generation: i64,
    reported_hash: String,
    reported_set: Option<String>,
    pardon: Option<String>,
}

impl Row {
    fn host(self, vault: &Vault) -> Result<Host> {
        let local = Taken {
            cpus: Cpus::from_milli(u32::try_from(self.local_milli_cpus)?),
            memory_mib: unsigned(self.local_memory_mib),
        };
        let reported = Mark {
            lineage: self.reported_lineage.map(|text| text.parse()).transpose()?,
            generation: unsigned(self.observed_generation),
            set_hash: self.reported_hash,
        };
        let seen = Seen {
            state: HostState::from_word(&self.state),
            frozen: self.frozen.as_deref().and_then(Frozen::from_code),
            session: unsigned(self.session),
            boot_id: self.boot_id,
            features: from_json(&self.features)?,
            facts: self.facts.as_deref().map(from_json).transpose()?,
            local,
            reported,
            applied_generation: unsigned(self.applied_generation),
        };
        Ok(Host {
            id: self.id.parse()?,
            name: self.name.parse()?,
            token_labels: from_json(&self.token_labels)?,
            is_revoked: self.revoked_at.is_some(),
            is_cordoned: self.cordoned,
            certificate_until: self.certificate_until,
            seen,
            reported_set: self.reported_set.map(|set| private::open(set, vault)).transpose()?,
            pardon: self.pardon.as_deref().map(mark).transpose()?,
        })
    }
}

fn mark(text: &str) -> Result<Mark> {
    let (lineage, generation, set_hash): (Option<Lineage>, u64, String) = from_json(text)?;
    Ok(Mark { lineage, generation, set_hash })
}

/// A host by id, removed ones too.
///
/// # Errors
/// The database is broken.
pub async fn get(db: &mut Db, id: HostId) -> Result<Option<Host>> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM hosts WHERE id = ?")
        .bind(id.to_string())
        .fetch_optional(&mut **db)
        .await?;
    row.map(|row| row.host(&db.vault)).transpose()
}

/// A host by name.
///
/// # Errors
/// The database is broken.
pub async fn by_name(db: &mut Db, name: &Name) -> Result<Option<Host>> {
    let row: Option<Row> =
        sqlx::query_as("SELECT * FROM hosts WHERE name = ? AND revoked_at IS NULL")
            .bind(name.as_str())
            .fetch_optional(&mut **db)
            .await?;
    row.map(|row| row.host(&db.vault)).transpose()
}

/// All hosts but those that were removed, by name.
///
/// # Errors
/// The database is broken.
pub async fn all(db: &mut Db) -> Result<Vec<Host>> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT * FROM hosts WHERE revoked_at IS NULL ORDER BY name")
            .fetch_all(&mut **db)
            .await?;
    rows.into_iter().map(|row| row.host(&db.vault)).collect()
}

/// Hosts after one, or from the first one on, by name; those that were removed are not among them.
///
/// # Errors
/// The database is broken.
pub async fn page(db: &mut Db, after: Option<&Name>, limit: u32) -> Result<Vec<Host>> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT * FROM hosts WHERE revoked_at IS NULL AND name > ? ORDER BY name LIMIT ?",
    )
    .bind(after.map_or("", Name::as_str))
    .bind(limit)
    .fetch_all(&mut **db)
    .await?;
    rows.into_iter().map(|row| row.host(&db.vault)).collect()
}

/// What all hosts are called.
///
/// # Errors
/// The database is broken.
pub async fn names(db: &mut Db) -> Result<BTreeMap<HostId, Name>> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT id, name FROM hosts WHERE revoked_at IS NULL")
            .fetch_all(&mut **db)
            .await?;
    rows.into_iter().map(|(id, name)| Ok((id.parse()?, name.parse()?))).collect()
}

/// A host that enrols.
#[derive(Debug)]
pub struct NewHost<'a> {
    /// Its id.
    pub id: HostId,
    /// Its name.
    pub name: &'a Name,
    /// Labels that its token gives it.
    pub labels: &'a BTreeMap<String, String>,
    /// When its certificate expires.
    pub certificate_until: Seconds,
}

/// Writes a new host down.
///
/// # Errors
/// The name is taken, or the database is broken.
pub async fn insert(db: &mut Db, host: &NewHost<'_>, now: Seconds) -> Result<()> {
    let row = sqlx::query(
        "INSERT INTO hosts (id, name, token_labels, created_at, certificate_until)
         VALUES (?, ?, ?, ?, ?)",
    );
    let row = row.bind(host.id.to_string()).bind(host.name.as_str()).bind(to_json(host.labels)?);
    row.bind(now).bind(host.certificate_until).execute(&mut **db).await?;
    Ok(())
}

/// Writes down that a host was removed. Its workloads have no host then.
///
/// # Errors
/// The database is broken.
pub async fn revoke(db: &mut Db, id: HostId, now: Seconds) -> Result<()> {
    let id = id.to_string();
    let revoke = sqlx::query("UPDATE hosts SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL");
    revoke.bind(now).bind(&id).execute(&mut **db).await?;
    for forget in [
        "UPDATE workloads SET host = NULL, leaving = 0 WHERE host = ?",
        "DELETE FROM statuses WHERE host = ?",
        "DELETE FROM issued WHERE host = ?",
        "DELETE FROM sets WHERE host = ?",
        "DELETE FROM rollout_hosts WHERE host = ?",
    ] {
        sqlx::query(forget).bind(&id).execute(&mut **db).await?;
    }
    Ok(())
}

/// Writes down whether a host gets nothing new.
///
/// # Errors
/// The database is broken.
pub async fn set_cordoned(db: &mut Db, id: HostId, is_cordoned: bool) -> Result<()> {
    let update = sqlx::query("UPDATE hosts SET cordoned = ? WHERE id = ?");
    update.bind(is_cordoned).bind(id.to_string()).execute(&mut **db).await?;
    Ok(())
}

/// Writes down when a host's certificate expires.
///
/// # Errors
/// The database is broken.
pub async fn set_certificate_until(db: &mut Db, id: HostId, until: Seconds) -> Result<()> {
    let update = sqlx::query("UPDATE hosts SET certificate_until = ? WHERE id = ?");
    update.bind(until).bind(id.to_string()).execute(&mut **db).await?;
    Ok(())
}

/// Writes down how a host is.
///
/// # Errors
/// The database is broken.
pub async fn set_state(db: &mut Db, id: HostId, state: HostState) -> Result<()> {
    let update = sqlx::query("UPDATE hosts SET state = ? WHERE id = ?");
    update.bind(state.as_str()).bind(id.to_string()).execute(&mut **db).await?;
    Ok(())
}

/// Writes down what a host sent as its set; none forgets it.
///
/// # Errors
/// The database is broken.
pub async fn set_reported_set(db: &mut Db, id: HostId, set: Option<&str>) -> Result<()> {
    let set = set.map(|set| private::seal(&from_json(set)?, &db.vault)).transpose()?;
    let update = sqlx::query("UPDATE hosts SET reported_set = ? WHERE id = ?");
    update.bind(set).bind(id.to_string()).execute(&mut **db).await?;
    Ok(())
}

/// Writes down what a resync forgives.
///
/// # Errors
/// The database is broken.
pub async fn set_pardon(db: &mut Db, id: HostId, mark: &Mark) -> Result<()> {
    let pardon = to_json(&(&mark.lineage, mark.generation, &mark.set_hash))?;
    let update =
        sqlx::query("UPDATE hosts SET pardon = ?, frozen = NULL, reported_set = NULL WHERE id = ?");
    update.bind(pardon).bind(id.to_string()).execute(&mut **db).await?;
    Ok(())
}

/// Writes down what a check-in says.
///
/// # Errors
/// The database is broken.
pub async fn set_seen(db: &mut Db, id: HostId, seen: &Seen) -> Result<()> {
    let update = sqlx::query(
        "UPDATE hosts SET state = ?, frozen = ?, session = ?, boot_id = ?, features = ?, facts = ?,
         local_milli_cpus = ?, local_memory_mib = ?, reported_lineage = ?,
         observed_generation = ?, reported_hash = ?, applied_generation = ? WHERE id = ?",
    );
    let facts = seen.facts.as_ref().map(to_json).transpose()?;
    let update = update
        .bind(seen.state.as_str())
        .bind(seen.frozen.map(Frozen::code))
        .bind(signed(seen.session))
        .bind(&seen.boot_id)
        .bind(to_json(&seen.features)?)
        .bind(facts)
        .bind(i64::from(seen.local.cpus.milli()))
        .bind(signed(seen.local.memory_mib))
        .bind(seen.reported.lineage.map(|lineage| lineage.to_string()))
        .bind(signed(seen.reported.generation))
        .bind(&seen.reported.set_hash)
        .bind(signed(seen.applied_generation))
        .bind(id.to_string());
    update.execute(&mut **db).await?;
    Ok(())
}

/// A host by name, or a fault that says that there is none.
///
/// # Errors
/// There is none, or the database is broken.
pub async fn named(db: &mut Db, name: &Name) -> Result<Host> {
    let found = by_name(db, name).await?;
    found.with_context(|| {
        basalt_api::fault::FaultKind::NotFound.with(format!("there is no host `{name}`"))
    })
}
