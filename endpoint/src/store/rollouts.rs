//! Rollouts and how far their hosts are.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use basalt_api::fault::FaultKind;
use basalt_api::id::{HostId, Name};
use basalt_api::rollout::{OsTarget, RolloutState, Stage};
use basalt_endpoint_core::Seconds;
use basalt_endpoint_core::rollout::{Member, Members, Rollout};

use sqlx::SqliteConnection;

use super::{Db, from_json, to_json};

/// A rollout as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its channel.
    pub channel: Name,
    /// When it began.
    pub started_at: Seconds,
    /// What it is.
    pub rollout: Rollout,
    /// How far its hosts are.
    pub members: Members,
}

/// What a rollout means for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// How far the host is.
    pub stage: Stage,
    /// The release that its set names.
    pub target: Option<OsTarget>,
    /// Whether what may run elsewhere leaves it before it reboots.
    pub drains: bool,
}

#[derive(sqlx::FromRow)]
struct Row {
    channel: String,
    id: String,
    version: String,
    spec: String,
    state: String,
    reason: Option<String>,
    wave: u32,
    forgiven: u32,
    started_at: i64,
}

#[derive(sqlx::FromRow)]
struct HostRow {
    host: String,
    wave: u32,
    stage: String,
    since: i64,
    attempt: u32,
    reason: Option<String>,
}

/// All rollouts, by channel.
///
/// # Errors
/// The database is broken.
pub async fn all(db: &mut Db) -> Result<Vec<Stored>> {
    let rows: Vec<Row> =
        sqlx::query_as("SELECT * FROM rollouts ORDER BY channel").fetch_all(&mut **db).await?;
    let mut stored = Vec::new();
    for row in rows {
        let members = members(db, &row.id).await?;
        stored.push(row.stored(members)?);
    }
    Ok(stored)
}

/// The rollout of a channel, if it ever had one.
///
/// # Errors
/// The database is broken.
pub async fn get(db: &mut Db, channel: &Name) -> Result<Option<Stored>> {
    let row: Option<Row> = sqlx::query_as("SELECT * FROM rollouts WHERE channel = ?")
        .bind(channel.as_str())
        .fetch_optional(&mut **db)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let members = members(db, &row.id).await?;
    row.stored(members).map(Some)
}

/// The rollout of a channel, or a fault that says that there is none.
///
/// # Errors
/// There is none, or the database is broken.
pub async fn of(db: &mut Db, channel: &Name) -> Result<Stored> {
    get(db, channel)
        .await?
        .with_context(|| FaultKind::NotFound.with(format!("channel `{channel}` has no rollout")))
}

async fn members(db: &mut Db, rollout: &str) -> Result<Members> {
    let rows: Vec<HostRow> = sqlx::query_as("SELECT * FROM rollout_hosts WHERE rollout = ?")
        .bind(rollout)
        .fetch_all(&mut **db)
        .await?;
    rows.into_iter()
        .map(|row| {
            let HostRow { wave, since, attempt, reason, .. } = row;
            let stage = Stage::from_word(&row.stage).context("the database has no such stage")?;
            Ok((row.host.parse()?, Member { wave, stage, since, attempt, reason }))
        })
        .collect()
}

impl Row {
    fn stored(self, members: Members) -> Result<Stored> {
        let rollout = Rollout {
            id: self.id.parse()?,
            version: self.version,
            spec: from_json(&self.spec)?,
            state: RolloutState::from_word(&self.state)
                .context("the database has no such state of a rollout")?,
            reason: self.reason,
            wave: self.wave,
            forgiven: self.forgiven,
        };
        let (channel, started_at) = (self.channel.parse()?, self.started_at);
        Ok(Stored { channel, started_at, rollout, members })
    }
}

/// What rollouts mean for hosts, as far as they are in any.
///
/// # Errors
/// The database is broken.
pub async fn parts(db: &mut Db) -> Result<BTreeMap<HostId, Part>> {
    let mut parts = BTreeMap::new();
    for stored in all(db).await? {
        for (host, member) in &stored.members {
            let part = Part {
                stage: member.stage,
                target: stored.rollout.target(member),
                drains: stored.rollout.spec.drain_s > 0,
            };
            // Of a channel that it has left it may still be told of until the next round.
            if part.target.is_some() || !parts.contains_key(host) {
                parts.insert(*host, part);
            }
        }
    }
    Ok(parts)
}

/// Writes a new rollout down; what was known of the channel's last one goes.
///
/// # Errors
/// The database is broken.
pub async fn begin(db: &mut Db, stored: &Stored) -> Result<()> {
    let delete = sqlx::query("DELETE FROM rollouts WHERE channel = ?");
    delete.bind(stored.channel.as_str()).execute(&mut **db).await?;
    let insert = sqlx::query(
        "INSERT INTO rollouts (channel, id, version, spec, state, started_at)
         VALUES (?, ?, ?, ?, ?, ?)",
    );
    let rollout = &stored.rollout;
    let insert = insert.bind(stored.channel.as_str()).bind(rollout.id.to_string());
    let insert = insert.bind(&rollout.version).bind(to_json(&rollout.spec)?);
    insert.bind(rollout.state.as_str()).bind(stored.started_at).execute(&mut **db).await?;
    Ok(())
}

/// Writes down what has changed of a rollout.
///
/// # Errors
/// The database is broken.
pub async fn update(db: &mut Db, before: &Stored, after: &Stored) -> Result<()> {
    let (rollout, id) = (&after.rollout, after.rollout.id.to_string());
    if before.rollout != *rollout {
        let update = sqlx::query(
            "UPDATE rollouts SET state = ?, reason = ?, wave = ?, forgiven = ? WHERE id = ?",
        );
        let update = update.bind(rollout.state.as_str()).bind(&rollout.reason);
        let update = update.bind(rollout.wave).bind(rollout.forgiven);
        update.bind(&id).execute(&mut **db).await?;
    }
    for host in before.members.keys().filter(|host| !after.members.contains_key(host)) {
        let delete = sqlx::query("DELETE FROM rollout_hosts WHERE rollout = ? AND host = ?");
        delete.bind(&id).bind(host.to_string()).execute(&mut **db).await?;
    }
    for (host, member) in &after.members {
        if before.members.get(host) == Some(member) {
            continue;
        }
        let put = sqlx::query(
            "INSERT OR REPLACE INTO rollout_hosts
             (rollout, host, wave, stage, since, attempt, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
        );
        let put = put.bind(&id).bind(host.to_string()).bind(member.wave);
        let put = put.bind(member.stage.as_str()).bind(member.since).bind(member.attempt);
        put.bind(&member.reason).execute(&mut **db).await?;
    }
    Ok(())
}

/// An endpoint that was away for long has not heard hosts that were in time: the time that they have
/// for what they do begins anew.
///
/// # Errors
/// The database is broken.
pub async fn begin_anew(db: &mut Db, now: Seconds) -> Result<()> {
    let update = sqlx::query(
        "UPDATE rollout_hosts SET since = ? WHERE stage IN ('fetching', 'draining', 'rebooting')
         AND rollout IN (SELECT id FROM rollouts WHERE state = 'running')",
    );
    update.bind(now).execute(&mut **db).await?;
    Ok(())
}

/// Holds what goes on, in a database that nobody works on; one of a release before has nothing of
/// the kind. An operator lets it go on again.
///
/// # Errors
/// The database is broken.
pub async fn pause_all(copy: &mut SqliteConnection, reason: &str) -> Result<()> {
    let table = sqlx::query("SELECT 1 FROM sqlite_master WHERE name = 'rollouts'");
    if table.fetch_optional(&mut *copy).await?.is_none() {
        return Ok(());
    }
    let (paused, running) = (RolloutState::Paused.as_str(), RolloutState::Running.as_str());
    let update = sqlx::query("UPDATE rollouts SET state = ?, reason = ? WHERE state = ?");
    update.bind(paused).bind(reason).bind(running).execute(copy).await?;
    Ok(())
}
